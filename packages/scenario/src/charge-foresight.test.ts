// Who has to commit the journal, by the windows and allowances that are recorded afterwards.
import { type FsTask, Machine, REVISIONS } from "@faultline/fs";
import { expect, test } from "vitest";
import { ChargeForesight } from "./charge-foresight.ts";
import type { Expectation } from "./expectation.ts";
import type { Op, Scenario } from "./op.ts";
import type { Progress } from "./progress.ts";
import type { RecordedEvent, Recording } from "./result.ts";

const PAUSE = 128;
/** What each of two threads has dirtied when both are about to commit. */
const DIRTIED = 105;
const EVICT = 1;

/** Two threads evict each other's file, and then read into it. `after`: what each of them does then, round by round. */
class Rounds {
  readonly #foresight: ChargeForesight;
  readonly #lanes: readonly Progress[];

  constructor(after: readonly (readonly RecordedEvent[])[][], dirtied: readonly number[] = [DIRTIED, DIRTIED]) {
    const machine = new Machine({ kernel: REVISIONS["6.12"] });
    const files = ["a", "b"];
    for (const file of files) machine.file(file, 4096);
    const tasks = files.map((file) => machine.task(`writer of ${file}`));
    const { root } = tasks[0];
    const inodes = files.map((file) => root.lookup(file, false));
    for (const inode of inodes) if (typeof inode !== "number") root.journaled.add(inode);
    const [ino] = inodes.map((inode) => (typeof inode === "number" ? 0 : inode.ino));
    const round = (lane: number): Op[] => [
      { op: "barrier" },
      { op: "evict", map: files[lane], off: 0, len: 4096 },
      { op: "barrier" },
      { op: "pread", fd: files[1 - lane], pos: 0, iov: [[files[lane], 0, 131072]] },
    ];
    const scenario: Partial<Scenario> = {
      files: files.map((name) => ({ name, size: 4096, seed: 0, holes: [], cached: false })),
      ops: [
        ...files.map((file): Op => ({ op: "open", fd: file, file, flags: ["O_RDWR"] })),
        ...files.map((file): Op => ({ op: "mmap", map: file, len: 4096, prot: "rw", flags: ["shared"], fd: file })),
      ],
      threads: files.map((_, lane) => after.flatMap(() => round(lane))),
    };
    const recording: Partial<Recording> = {
      trace: after.flatMap((lanes, at) => lanes.map((events, thread) => ({ thread, op: at * 4 + 3, events }))),
    };
    const expectation: Partial<Expectation> = {
      scenario: scenario as Scenario,
      recording: recording as Recording,
      unseen: new Set(),
    };
    this.#foresight = new ChargeForesight(expectation as Expectation, (of) => (of === ino ? "a" : "b"));
    this.#lanes = tasks.map((task: FsTask, lane) => {
      task.nrDirtied = dirtied[lane];
      task.nrDirtiedPause = PAUSE;
      return { lane, op: EVICT, task, done: false } as Partial<Progress> as Progress;
    });
  }

  committers(leaky = false): readonly number[] | null {
    return this.#foresight.committers(this.#lanes, leaky);
  }

  missing(lane: number): number {
    return this.#foresight.missing(this.#lanes, lane);
  }
}

const window = (pages: number): RecordedEvent => ["fault_in_safe_w", "a", 0, pages * 4096];
/** A page of a lane's own map becomes dirty, and its dinode. */
const fault = (file: string, page: number): RecordedEvent[] => [
  ["mm_fault", file, 0, "w"],
  ["gfs2_mkwrite", page],
  ["update_time"],
  ["gfs2_mkwrite", "ret", "LOCKED"],
];
const LEFT = PAUSE - DIRTIED;

test("who has a smaller window afterwards commits for both files", () => {
  expect(new Rounds([[[window(LEFT - 2)], []]]).committers()).toEqual([0]);
  expect(new Rounds([[[], [window(LEFT - 2)]]]).committers()).toEqual([1]);
  expect(new Rounds([[[], []]]).committers()).toEqual([0, 1]);
});

test("a window that is as large as all that is left tells that there is so much of the allowance", () => {
  const whole = PAUSE - 32;
  expect(new Rounds([[[window(32)], [window(32)]]], [whole, whole - 20]).committers()).toEqual([1]);
});

test("the end of an allowance tells how many pages were charged by then", () => {
  const ends = (pages: number): RecordedEvent[] => [...fault("a", 0), ["balance_dirty", pages]];
  expect(new Rounds([[ends(DIRTIED + 3), []]]).committers()).toEqual([0]);
  expect(new Rounds([[ends(DIRTIED + 1), []]]).committers()).toEqual([1]);
});

test("what is recorded several rounds later counts", () => {
  const quiet = [fault("a", 0), fault("b", 0)];
  const later = (charged: number): Rounds => new Rounds([quiet, [[window(LEFT - 1 - charged)], []]]);
  expect(later(4).committers()).toEqual([0]);
  expect(later(2).committers()).toEqual([0, 1]);
  expect(later(0).committers()).toEqual([1]);
});

test("who commits leaves nothing in the journal for the next round", () => {
  const still: RecordedEvent[][] = [[], []];
  expect(new Rounds([still, [[window(LEFT - 2)], []]]).committers()).toEqual([0]);
});

test("what nobody can be charged with is what another one has left over", () => {
  const rounds = new Rounds([[[["balance_dirty", DIRTIED + 30]], [window(LEFT - 2)]]]);
  expect(rounds.committers(false)).toEqual([]);
  expect(rounds.committers(true)).toEqual([1]);
});

test("what was left over before is corrected as little as explains everything", () => {
  const pinned = new Rounds([[[window(LEFT - 12)], [["balance_dirty", DIRTIED]]]]);
  expect(pinned.committers()).toEqual([]);
  expect(pinned.missing(0)).toBe(10);
  expect(pinned.missing(1)).toBe(0);
  const open = new Rounds([[[window(LEFT - 12)], []]]);
  expect(open.missing(0)).toBe(10);
});
