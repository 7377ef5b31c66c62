// When the disk is done: what a run leaves to it, and what a recording tells of it.
import { type Gfs2Revision, REVISIONS } from "@faultline/fs";
import type { Chooser, Task } from "@faultline/kernel";
import { expect, test } from "vitest";
import { pairReturns } from "./events.ts";
import { type AllocatedEnd, ExtentChooser, extentBudget } from "./extents.ts";
import { parseScenario } from "./format.ts";
import type { Scenario } from "./op.ts";
import { reproduce } from "./reproduce.ts";
import type { OpTrace, Recording } from "./result.ts";
import { runScenario } from "./run.ts";

const kernel: Gfs2Revision = REVISIONS["6.12"];
const PAGE = 4096;
const scenarioOf = (pages: number, ops: readonly object[]): Scenario =>
  parseScenario(
    JSON.stringify({
      id: "disk",
      files: [{ name: "a", size: pages * PAGE, seed: 1 }],
      ops: [{ op: "open", fd: "f", file: "a", flags: ["O_RDWR"] }, ...ops],
    }),
    "here",
  );
const shared = (pages: number): object => ({
  op: "mmap",
  map: "m",
  len: pages * PAGE,
  prot: "rw",
  flags: ["shared"],
  fd: "f",
  off: 0,
});

test("read-ahead is over when the recorder has added up what came before", () => {
  const scenario = scenarioOf(400, [{ op: "sum", fd: "f", off: 0, len: 400 * PAGE }]);
  const { trace } = runScenario(scenario, { kernel, traced: true }).recording;
  const reads = (trace[0] as OpTrace).events.filter(([name, what]) => name === "filemap_read" && what === "ret");
  expect(reads.map(([, , bytes]) => bytes)).toEqual([-11, 256 * PAGE, 144 * PAGE]);
});

/** The disk does nothing before somebody waits for it, and interrupts once, at the place after so many others. */
class Interrupting extends ExtentChooser implements Chooser {
  override readonly preemptive = true as never;
  readonly interrupts = true;
  #before: number;

  constructor(extents: readonly AllocatedEnd[], before: number) {
    super(extents);
    this.#before = before;
  }

  override pickTask(runnable?: readonly Task[]): number {
    return Math.max(0, runnable?.findIndex(({ daemon }) => !daemon) ?? 0);
  }

  override choose(choice: string, count: number, about?: string): number {
    return choice === "interrupt" ? Number(this.#before-- === 0) : super.choose(choice, count, about);
  }
}

test.each([
  { desc: "not at all", before: 9, pages: "F*8,.*1,F*4,.*3" },
  { desc: "after the first page that is not there yet", before: 0, pages: "F*8,.*1,F*4,.*1,F*2" },
  { desc: "after the second", before: 1, pages: "F*8,.*1,F*4,.*2,F*1" },
])("while a fault maps what is around it the disk interrupts $desc", ({ before, pages }) => {
  const scenario = scenarioOf(16, [
    shared(16),
    { op: "touch", map: "m", off: 10 * PAGE, len: PAGE, how: "read" },
    { op: "pagemap", map: "m", off: 0, len: 16 * PAGE },
  ]);
  const extents = [...runScenario(scenario, { kernel }).names.inodes.keys()].map((ino) => ({ ino, block: 13 }));
  const chooser = new Interrupting(extents, before);
  const { recording } = runScenario(scenario, { kernel, chooser, environment: extentBudget(extents) });
  expect(recording.results[3].pages).toBe(pages);
});

/** A long read of 512 pages into the file's own evicted mapping, piece by piece. */
const pieces = Array.from({ length: 30 }, (_, i) => ["m", 256 * PAGE + i * 30_000, 15_000]);
const long = scenarioOf(512, [shared(512), { op: "preadv", fd: "f", pos: 0, iov: pieces }]);

/** The recording with all but the first and the last events of its longest operation cut out. */
function cutMiddle(recording: Recording): Recording {
  const kept = 60;
  const trace = recording.trace.map((one): OpTrace => {
    const events = pairReturns(one.events);
    const middle = events.length - 2 * kept;
    if (middle < 1000) return one;
    return { ...one, elided: { middle }, events: [...events.slice(0, kept), ["...", middle], ...events.slice(-kept)] };
  });
  return { ...recording, trace };
}

test("pages that were late where nobody saw it are found, one after the other", () => {
  const old = REVISIONS["6.1"];
  const { recording } = runScenario(long, { kernel: old, traced: true });
  const { recording: late } = runScenario(long, { kernel: old, traced: true, chooser: new Interrupting([], 9999) });
  const faults = ({ results }: Recording): unknown => [results[2].minflt, results[2].majflt];
  for (const one of [recording, late]) {
    const found = reproduce(long, cutMiddle(one), { kernel: old, maxRuns: 30 });
    expect(found?.differences).toEqual([]);
    expect(faults(found?.run.recording as Recording)).toEqual(faults(one));
  }
});
