// Extents that end where a recording shows it. A kernel's file of 64 pages lay in two places on its disk; the model,
// left alone, puts it into one.
import { REVISIONS } from "@faultline/fs";
import type { Chooser, Task } from "@faultline/kernel";
import { expect, test } from "vitest";
import { pairReturns } from "./events.ts";
import { type AllocatedEnd, ExtentChooser, extentBudget, extentDecisions } from "./extents.ts";
import { parseScenario } from "./format.ts";
import { replayRecording } from "./replay-recording.ts";
import type { RecordedEvent, Recording } from "./result.ts";
import { runScenario } from "./run.ts";

const kernel = REVISIONS["6.12"];
const scenario = parseScenario(
  JSON.stringify({
    id: "read",
    files: [{ name: "a", size: 262144, seed: 1 }],
    ops: [
      { op: "open", fd: "f", file: "a", flags: ["O_RDWR", "O_DIRECT"] },
      { op: "mmap", map: "m", len: 262144, prot: "rw", flags: ["private", "anon", "populate"] },
      { op: "pread", fd: "f", pos: 0, iov: [["m", 0, 262144]] },
    ],
  }),
  "here",
);
const whole = runScenario(scenario, { kernel, traced: true }).recording;

/** The recording with each mapping that goes over these blocks of the file cut in pieces. */
function cutAt(...blocks: readonly number[]): Recording {
  const cut = (events: readonly RecordedEvent[]): RecordedEvent[] => {
    const length = 262144;
    const edges = [...blocks.map((block) => block * 4096), length];
    const first = events.findIndex(([name]) => name === "iomap_begin");
    const pieces = edges.flatMap((edge, i): RecordedEvent[] => {
      const pos = i === 0 ? 0 : edges[i - 1];
      return [
        ["iomap_begin", "pos", pos, "len", length - pos, "flags", 16],
        ["iomap_begin", "ret", 0],
        ["iomap_end", "pos", pos, "len", edge - pos, "written", edge - pos],
        ["iomap_end", "ret", 0],
      ];
    });
    return [...events.slice(0, first), ...pieces, ...events.slice(first + 4)];
  };
  return { ...whole, trace: whole.trace.map((one) => (one.op === 2 ? { ...one, events: cut(one.events) } : one)) };
}

test.each([
  { desc: "within an allocation", blocks: [20] },
  { desc: "between two allocations", blocks: [32] },
  { desc: "both, and after one block", blocks: [1, 20, 32, 63] },
])("an extent ends $desc", ({ blocks }) => {
  const { differences, environment, schedule } = replayRecording(scenario, cutAt(...blocks), { kernel });
  expect(differences).toEqual([]);
  expect(environment).toEqual({ extent: blocks.length });
  expect(schedule).toMatch(/^c\d/);
});

test("an extent ends where the next mapping goes on, if the requests were left out", () => {
  const cut = cutAt(20);
  const trace = cut.trace.map((one) =>
    one.op === 2
      ? {
          ...one,
          elided: { iomap_begin: 2 },
          events: pairReturns(one.events).filter(([name]) => name !== "iomap_begin"),
        }
      : one,
  );
  const { differences, environment } = replayRecording(scenario, { ...cut, trace }, { kernel });
  expect(differences).toEqual([]);
  expect(environment).toEqual({ extent: 1 });
});

test("as many extents end as the recording counts, if it shows none of them", () => {
  const cut = cutAt(20, 32);
  const trace = cut.trace.map((one) =>
    one.op === 2
      ? {
          ...one,
          elided: { iomap_begin: 3, iomap_end: 3 },
          events: pairReturns(one.events).filter(([name]) => name !== "iomap_begin" && name !== "iomap_end"),
        }
      : one,
  );
  const { differences, environment } = replayRecording(scenario, { ...cut, trace }, { kernel });
  expect(differences).toEqual([]);
  expect(environment).toEqual({ extent: 2 });
});

test("nothing is chosen where the extents are equal", () => {
  expect(replayRecording(scenario, whole, { kernel })).toEqual({
    schedule: "c",
    environment: {},
    differences: [],
    leftovers: [],
  });
});

test("a mapping of one file under which another one is read ends where its own request ends", () => {
  // On 5.10 the source is faulted in under the mapping of the file that is written.
  const write = (cached: boolean): ReturnType<typeof runScenario> => {
    const files = ["a", "b"].map((name, seed) => ({ name, size: 131072, seed, cached: cached && name === "b" }));
    const ops = [
      { op: "open", fd: "fa", file: "a", flags: ["O_RDWR"] },
      { op: "open", fd: "fb", file: "b", flags: ["O_RDWR"] },
      { op: "mmap", map: "mb", len: 131072, prot: "r", flags: ["shared"], fd: "fb", off: 0 },
      { op: "pwrite", fd: "fa", pos: 0, iov: [["mb", 0, 65536]] },
    ];
    const nested = parseScenario(JSON.stringify({ id: "nested", files, ops }), "here");
    return runScenario(nested, { kernel: REVISIONS["5.10"], traced: true });
  };
  expect(extentDecisions(write(false).recording, write(true))).toBeNull();
});

/** The thread that began last goes on first. */
class Backwards extends ExtentChooser implements Chooser {
  override readonly preemptive = true as never;

  override pickTask(runnable: readonly Task[] = []): number {
    return Math.max(
      0,
      runnable.findLastIndex(({ daemon }) => !daemon),
    );
  }
}

test("an extent ends at its block also where threads allocate in another order", () => {
  const append = (bytes: number): object[] => [{ op: "barrier" }, { op: "write", fd: "fa", iov: [["m", 0, bytes]] }];
  const appends = parseScenario(
    JSON.stringify({
      id: "appends",
      files: [{ name: "a", size: 0, seed: 1 }],
      ops: [
        { op: "open", fd: "fa", file: "a", flags: ["O_RDWR", "O_APPEND"] },
        { op: "mmap", map: "m", len: 65536, prot: "rw", flags: ["private", "anon"] },
      ],
      threads: [append(8192), append(20480)],
    }),
    "here",
  );
  const run = (chooser: (ends: readonly AllocatedEnd[]) => Chooser, ends: readonly AllocatedEnd[]) =>
    runScenario(appends, { kernel, traced: true, chooser: chooser(ends), environment: extentBudget(ends) });
  const backwards = (ends: readonly AllocatedEnd[]): Recording => run((all) => new Backwards(all), ends).recording;
  const forwards = run((ends) => new ExtentChooser(ends), []);
  const [ino] = forwards.names.inodes.keys();
  const shown = backwards([{ ino, block: 4 }]);
  const ends = shown.trace.flatMap(({ events }) =>
    events.filter(([name, what]) => name === "iomap_end" && what === "pos"),
  );
  expect(ends.map(([, , pos, , length]) => [pos, length])).toEqual([
    [0, 16384],
    [16384, 4096],
    [20480, 8192],
  ]);
  expect(backwards(extentDecisions(shown, forwards) ?? [])).toEqual(shown);
});
