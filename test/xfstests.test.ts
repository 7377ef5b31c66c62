// The tests of xfstests that this deadlock and its repairs are known by, re-enacted from what they are described to
// do: how each ends at every revision, and that the data are right where it ends well.
import { readFileSync } from "node:fs";
import { REVISIONS } from "@faultline/fs";
import { Fnv1a, fillPattern, parseScenarios, runScenario, type Scenario, type ScenarioRun } from "@faultline/scenario";
import { describe, expect, test } from "vitest";

const text = readFileSync(new URL("../scenarios/xfstests.jsonl", import.meta.url), "utf8");
const scenarios = new Map(parseScenarios(text, "xfstests.jsonl").map((scenario) => [scenario.id, scenario]));

const SINCE_5_16 = ["5.16", "5.18", "6.1", "6.12", "7.2"];
const ALL = ["5.10", "v4", ...SINCE_5_16];

/** Verdicts that are not "completed", by revision. */
const ENDS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  // The task faults on the file that it has locked.
  "generic-647": { "5.10": "bug" },
  // The write drops its source from the page cache each time, until 6.4 leaves it to the page cache.
  "generic-729": { "5.10": "bug", v4: "livelock", "5.16": "livelock", "5.18": "livelock" },
  "generic-708": {},
  // Faulted in for reading, untouched memory is the zero page, which the fast walk refuses.
  "generic-208": { v4: "livelock" },
  "generic-095": {},
  "generic-248": { "5.10": "bug" },
  "generic-443": {},
  "generic-246": {},
  "generic-638": { "5.10": "bug" },
  "generic-678": {},
  // Extents were copied out under the lock for longer than anything else; the recorded 6.1 has the repair of 2026.
  "generic-742": { "5.10": "bug", v4: "bug", "5.16": "bug", "5.18": "bug" },
};

const runs = new Map<string, ScenarioRun>();

/** A run is a value: one is enough for all who look at it. */
function run(id: string, kernel: string): ScenarioRun {
  const key = `${id} ${kernel}`;
  const done = runs.get(key) ?? runScenario(scenarios.get(id) as Scenario, { kernel: REVISIONS[kernel] });
  if (!runs.has(key)) expect(done.leftovers()).toEqual([]);
  runs.set(key, done);
  return done;
}

test("every scenario of the file has its row", () =>
  expect(Object.keys(ENDS).sort()).toEqual([...scenarios.keys()].sort()));

describe.each(Object.keys(ENDS))("%s", (id) => {
  test.each(ALL)("ends as expected (%s)", (kernel) => {
    const { verdict } = run(id, kernel);
    expect(verdict.kind).toBe(ENDS[id][kernel] ?? "completed");
    if (verdict.kind === "livelock") expect(verdict.loop).toBe("gfs2_file_direct_write");
    // Which line it was is known of the recorded 5.10.
    const line = kernel === "5.10" ? ":1403" : "";
    if (verdict.kind === "bug") expect(verdict.bug.message).toBe(`kernel BUG at fs/gfs2/glock.c${line}!`);
  });
});

/** Results of the operations of one kind: what they returned, or the sum. */
function results({ recording }: ScenarioRun, id: string, op: string): unknown[] {
  const { ops } = scenarios.get(id) as Scenario;
  return recording.results.filter((_, index) => ops[index].op === op).map(({ ret, errno, sum }) => sum ?? errno ?? ret);
}

function pattern(seed: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  fillPattern(bytes, seed, offset);
  return bytes;
}

function sumOf(bytes: Uint8Array): string {
  const sum = new Fnv1a();
  sum.add(bytes);
  return sum.hex;
}

describe.each(SINCE_5_16)("the data are right (%s)", (kernel) => {
  test("647: each reads or writes a page, and memory shows page 1; for the hole, zeroes", () => {
    const done = run("generic-647", kernel);
    expect([...results(done, "generic-647", "pread"), ...results(done, "generic-647", "pwrite")]).toEqual(
      Array(5).fill(4096),
    );
    const pages = [1, 2, 3, 4].map((seed) => sumOf(pattern(seed, 4096, 4096)));
    expect(results(done, "generic-647", "sum")).toEqual([...pages, sumOf(new Uint8Array(4096))]);
  });

  test("708: the copy is the original", () => {
    const done = run("generic-708", kernel);
    expect(results(done, "generic-708", "pwrite")).toEqual([2 << 20]);
    const [source, copy] = results(done, "generic-708", "sum");
    expect(copy).toBe(source);
  });

  test("248: one byte, and the file shows it", () => {
    const done = run("generic-248", kernel);
    expect(results(done, "generic-248", "pwrite")).toEqual([1]);
    const bytes = pattern(7, 0, 5);
    bytes[3] = bytes[2];
    expect(results(done, "generic-248", "sum")).toEqual([sumOf(bytes)]);
  });

  test("443: as many bytes as segments", () => {
    expect(results(run("generic-443", kernel), "generic-443", "writev")).toEqual([16]);
  });

  test("246: what could be written is, and nothing else of the file changed", () => {
    const done = run("generic-246", kernel);
    expect(results(done, "generic-246", "pwritev")).toEqual([5010]);
    const bytes = pattern(9, 0, 3 * 4096);
    bytes.set(pattern(8, 0, 5010), 100);
    expect(results(done, "generic-246", "sum")).toEqual([sumOf(bytes)]);
  });

  test("678: every extent, holes too", () => {
    const done = run("generic-678", kernel);
    expect(results(done, "generic-678", "preadv")).toEqual([16 * 4096]);
    const [memory, file] = results(done, "generic-678", "sum");
    expect(memory).toBe(file);
  });
});

test("742: all extents are told, and the file is what it was", () => {
  for (const kernel of ["6.1", "6.12", "7.2"]) {
    const done = run("generic-742", kernel);
    expect(done.recording.results[2]).toMatchObject({ ret: 0, count: 100 });
    const bytes = pattern(12, 0, 200 * 4096);
    for (let page = 1; page < 200; page += 2) bytes.fill(0, page * 4096, (page + 1) * 4096);
    expect(results(done, "generic-742", "sum")).toEqual([sumOf(bytes)]);
  }
});

test("729: the page is what it was, once it ends", () => {
  for (const kernel of ["6.1", "6.12", "7.2"]) {
    const done = run("generic-729", kernel);
    expect(results(done, "generic-729", "pwrite")).toEqual([4096]);
    expect(results(done, "generic-729", "sum")).toEqual([sumOf(pattern(6, 4096, 4096))]);
  }
});

test("246 before: 5.10 gives up the chunk of a page, v4 all of it; the file keeps its bytes both times", () => {
  const told = { "5.10": 3996, v4: "EFAULT" };
  for (const [kernel, ret] of Object.entries(told)) {
    const done = run("generic-246", kernel);
    expect(results(done, "generic-246", "pwritev")).toEqual([ret]);
    const bytes = pattern(9, 0, 3 * 4096);
    if (typeof ret === "number") bytes.set(pattern(8, 0, ret), 100);
    expect(results(done, "generic-246", "sum")).toEqual([sumOf(bytes)]);
  }
});

test("what xfstests does not have: a page read directly into a shared mapping of itself never ends, not even today", () => {
  const found = readFileSync(new URL("../scenarios/found.jsonl", import.meta.url), "utf8");
  const [scenario] = parseScenarios(found, "found.jsonl");
  const { verdict } = runScenario(scenario, { kernel: REVISIONS["6.12"] });
  expect(verdict).toMatchObject({ kind: "livelock", loop: "gfs2_file_direct_read" });
});
