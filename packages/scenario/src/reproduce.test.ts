// Is an order of threads found from what each of them did and the order of lock events? Runs of the model itself, in orders
// drawn by chance and with read-ahead interrupted here and there, stand for recordings.
import { REVISIONS } from "@faultline/fs";
import type { Chooser, Task } from "@faultline/kernel";
import { expect, test } from "vitest";
import { convertEvent } from "./convert.ts";
import { isMerged } from "./expectation.ts";
import { parseScenario } from "./format.ts";
import type { Scenario } from "./op.ts";
import { reproduce } from "./reproduce.ts";
import type { RecordedEvent, Recording } from "./result.ts";
import { runScenario, scenarioMemory } from "./run.ts";

const kernel = REVISIONS["6.12"];
const hostMemory = scenarioMemory();
const SIZE = 262144;

function scenarioOf(threads: readonly unknown[], post: readonly unknown[] = [], cached = false): Scenario {
  const text = JSON.stringify({
    id: "here",
    files: [
      { name: "a", size: SIZE, seed: 1, cached },
      { name: "b", size: SIZE, seed: 2 },
    ],
    ops: [
      { op: "open", fd: "fa", file: "a", flags: ["O_RDWR"] },
      { op: "open", fd: "fb", file: "b", flags: ["O_RDWR"] },
      { op: "mmap", map: "ma", len: SIZE, prot: "rw", flags: ["shared"], fd: "fa", off: 0 },
      { op: "mmap", map: "mb", len: SIZE, prot: "rw", flags: ["shared"], fd: "fb", off: 0 },
      { op: "mmap", map: "m", len: SIZE, prot: "rw", flags: ["private", "anon", "populate"] },
    ],
    threads,
    post,
  });
  return parseScenario(text, "here");
}

const CROSS = scenarioOf([
  [{ op: "barrier" }, { op: "pread", fd: "fa", pos: 0, iov: [["mb", SIZE / 2, SIZE / 2]] }],
  [{ op: "barrier" }, { op: "pwrite", fd: "fb", pos: 0, iov: [["ma", SIZE / 2, SIZE / 2]] }],
]);
const OVERTAKEN = scenarioOf(
  [
    [{ op: "barrier" }, { op: "pwrite", fd: "fa", pos: 0, iov: [["mb", 0, SIZE / 4]] }],
    [{ op: "barrier" }, { op: "touch", map: "mb", off: 0, len: SIZE / 4, how: "write" }],
  ],
  [{ op: "sum", fd: "fa", off: 0, len: SIZE }],
);

/** Where a task may let others go on. */
const YIELDING: ReadonlySet<string> = new Set(["unmarked", "request"]);

/** Changes the task seldom, as a real machine does, and interrupts one page in thirty. */
class Chance implements Chooser {
  readonly preemptive = true;
  readonly interrupts = true;
  #state: number;

  constructor(seed: number) {
    this.#state = seed * 2654435761 + 12345;
  }

  pickTask(runnable: readonly unknown[]): number {
    return this.#below(3) > 0 ? 0 : this.#below(runnable.length);
  }

  choose(choice: string): number {
    if (YIELDING.has(choice)) return this.#below(4) === 0 ? 1 : 0;
    return choice === "interruption" && this.#below(30) === 0 ? 1 : 0;
  }

  #below(count: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * count);
  }
}

/** The first of two threads goes on until it has been picked so often before the other one, and then the other one does all that it is to do. */
class Once extends Chance {
  #picks: number;

  constructor(picks: number) {
    super(0);
    this.#picks = picks;
  }

  override pickTask(runnable: readonly Task[]): number {
    const [first, second] = ["thread 0", "thread 1"].map((comm) => runnable.findIndex((task) => task.comm === comm));
    const isOther = second >= 0 && (first < 0 || this.#picks-- <= 0);
    return Math.max(0, isOther ? second : first);
  }

  override choose(): number {
    return 0;
  }
}

/** The run as a kernel's recorder would have kept it: with the order of lock events. */
function recorded(scenario: Scenario, chooser: Chooser): Recording {
  const run = runScenario(scenario, { kernel, traced: true, hostMemory, chooser });
  const lanes = new Map(run.spans.flatMap(({ pid, at }) => (at.thread === undefined ? [] : [[pid, at.thread]])));
  const interleave: RecordedEvent[] = [];
  for (const event of run.events()) {
    const lane = lanes.get(event.task);
    const converted = lane === undefined ? null : convertEvent(event, run.names);
    if (lane !== undefined && converted !== null && isMerged(converted)) interleave.push([lane, ...converted]);
  }
  return { ...run.recording, interleave };
}

test.each([
  { desc: "of locks and pages", scenario: CROSS, runs: 8, least: 10 },
  { desc: "that shows only in a sum", scenario: OVERTAKEN, runs: 2, least: 11 },
  { desc: "that shows only in a sum", scenario: OVERTAKEN, runs: 6, least: 12 },
])(
  "orders $desc of twelve runs are found in $runs, $least of them at least",
  { timeout: 120_000 },
  ({ scenario, runs, least }) => {
    let found = 0;
    for (let seed = 1; seed <= 12; seed++) {
      const run = reproduce(scenario, recorded(scenario, new Chance(seed)), { kernel, hostMemory, maxRuns: runs });
      if (run?.differences.length === 0) found++;
    }
    expect(found).toBeGreaterThanOrEqual(least);
  },
);

test("where a read lost the page behind its first batch, or behind the next one, is found at once", () => {
  const read = { op: "pread", fd: "fa", pos: 0, iov: [["m", 0, SIZE]] };
  const evict = { op: "evict", map: "ma", off: 0, len: SIZE };
  const lost = scenarioOf(
    [
      [{ op: "barrier" }, read],
      [{ op: "barrier" }, evict],
    ],
    [],
    true,
  );
  const ends = new Set<unknown>();
  for (let picks = 1; picks < 100; picks++) {
    const recording = recorded(lost, new Once(picks));
    const [first] = recording.trace
      .filter(({ thread, op }) => thread === 0 && op === 1)
      .flatMap(({ events }) => events.filter(([name, what]) => name === "filemap_read" && what === "ret"));
    if (Number(first[2]) <= 0 || first[2] === SIZE || ends.has(first[2])) continue;
    ends.add(first[2]);
    expect(reproduce(lost, recording, { kernel, hostMemory, maxRuns: 1 })?.differences).toEqual([]);
  }
  expect(ends).toEqual(new Set([31 * 4096, 62 * 4096]));
});
