// Returns that a recorder lost: a kernel that watches a function's returns has room for a few calls at a time. Tasks that
// hang for ever in scenarios before take that room up, and then calls of the function are recorded but not their
// returns.

import { expandRepeats } from "./events.ts";
import type { RecordedEvent, Recording } from "./result.ts";

/** Kinds of events that have returns of their own, and fields. */
const WITH_FIELDS: ReadonlySet<string> = new Set([
  "iomap_begin",
  "iomap_end",
  "dio",
  "dio_start",
  "fault_in_readable",
  "fault_in_safe_w",
  "fixup_user_fault",
  "mm_fault",
  "gfs2_fault",
  "gfs2_mkwrite",
  "filemap_fault",
  "populate",
]);
/** Those without: a call that returned at once looks like the return of another one. */
const WITHOUT_FIELDS: ReadonlySet<string> = new Set([
  "file_read",
  "file_write",
  "buffered_write",
  "generic_read",
  "filemap_read",
  "iomap_write",
  "pipe_read",
  "pipe_write",
]);

/** Calls that make no other. */
const LEAVES: ReadonlySet<string | undefined> = new Set(["iomap_begin", "iomap_end"]);

/**
 * What a recording does not show because it lacks returns of calls that were over: "mm_fault ret" stands for all
 * returns of that kind, and "filemap_read" for all events of a kind of which calls cannot be told from returns.
 */
export function lostReturns(recording: Recording): Set<string> {
  const lost = new Set<string>();
  for (const { op, thread, post, events, elided } of recording.trace) {
    const { results, threads, post: last } = recording;
    const list = thread !== undefined ? threads?.[thread] : post === true ? last : results;
    if (elided === undefined) findLost(events, list?.[op] !== undefined, lost);
  }
  return new Set([...lost].map((kind) => (WITH_FIELDS.has(kind) ? `${kind} ret` : kind)));
}

function findLost(events: readonly RecordedEvent[], isOver: boolean, lost: Set<string>): void {
  const under: string[] = [];
  const leave = (to: number): void => {
    for (const kind of under.splice(to)) lost.add(kind);
  };
  for (const event of expandRepeats(events)) {
    const kind = String(event[0]);
    if (!WITH_FIELDS.has(kind) && !WITHOUT_FIELDS.has(kind)) continue;
    const at = under.lastIndexOf(kind);
    if (isReturn(event)) {
      if (at < 0) continue;
      leave(at + 1);
      under.pop();
    } else if (!event.includes("ret")) {
      // No call is made under one of its own kind, and none while a mapping is looked up or given back.
      if (at >= 0) leave(at);
      while (LEAVES.has(under[under.length - 1])) leave(under.length - 1);
      under.push(kind);
    }
  }
  if (isOver) leave(0);
}

function isReturn(event: RecordedEvent): boolean {
  return event[1] === "ret" && event.length === 3;
}
