// How far a run has come that follows a recording, lane by lane.

import type { FsTask, Gfs2Inode } from "@faultline/fs";
import type { EventConverter } from "./convert.ts";
import { type ExpectedEvents, isMerged } from "./expectation.ts";
import type { Call } from "./ops.ts";
import type { RecordedEvent } from "./result.ts";
import type { TierFilter } from "./tier.ts";

/** How far one lane has come. */
export interface Progress {
  readonly lane: number;
  readonly task: FsTask;
  readonly converter: EventConverter;
  /** Its events in `merged` so far. */
  merged: number;
  where: string;
  /** The number of its operation. */
  op: number;
  /** It is between two operations. */
  idle: boolean;
  /** The call that comes next, in an operation of several; null before the first of them. */
  call: Call | null;
  /** What the current operation is to do, and has done; null when nothing is known. */
  expected: ExpectedEvents | null;
  filter: TierFilter | null;
  got: RecordedEvent[];
  /** Steps that it has begun since its latest event. */
  steps: number;
  /** Updates of time stamps that it may still make. */
  updates: number[];
  /** The processor that it was on when that mattered last. */
  processor: number;
  /** How many times it is still to let a lock go in an operation that shows nothing else. */
  unlocks: number;
  /** The page that somebody else is to add before it goes on, if it was interrupted. */
  interruptedAt: { readonly ino: number; readonly page: number } | null;
  /** It is in the middle of a copy. */
  isInterrupted: boolean;
  /** It has no more operations. */
  done: boolean;
}

/** Is there something that the lane is to do before its next event in `merged`? */
export function comesBeforeMerged({ expected, got }: Progress): boolean {
  if (expected === null) return false;
  const { events } = expected;
  const last = got[got.length - 1];
  // A call that has not returned yet returns before anything else, if nothing was recorded within it.
  const next =
    last !== undefined && last.length < events[got.length - 1]?.length ? events[got.length - 1] : events[got.length];
  return next !== undefined && !isMerged(next);
}

/** The inode of a file as the lane's task finds it; null if there is no such file. */
export function inodeOf({ task }: Progress, file: string | undefined): Gfs2Inode | null {
  const inode = file === undefined ? -1 : task.root.lookup(file, false);
  return typeof inode === "number" ? null : inode;
}
