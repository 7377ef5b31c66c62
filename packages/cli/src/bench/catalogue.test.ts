// Do the benchmark's workloads do what their names say, at a scale where nobody looks at the clock? And does
// what is measured come out as it should when the clock is known?
import { expect, test } from "vitest";
import { allWorkloads } from "./catalogue.ts";
import { measure } from "./measure.ts";
import type { Workload } from "./workload.ts";

const workloads = allWorkloads(1 / 1000);

test.each(workloads.map((workload) => [workload.name, workload] as const))("%s", (_name, workload) => {
  const work = workload.prepare();
  if (!("run" in work)) {
    expect(work.ours / work.theirs).toBeLessThanOrEqual(workload.goal);
    return;
  }
  for (let round = 0; round < 2; round++) {
    work.reset?.();
    work.run();
    if (typeof work.theirs === "function") work.theirs();
  }
  expect(work.check?.() ?? "").toBe("");
  expect(work.times).toBeGreaterThan(0);
});

test("every row that must be there is there, once", () => {
  const names = workloads.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(names).toEqual(
    expect.arrayContaining([
      "pwrite 4 KiB / memfs",
      "pread 4 KiB / memfs",
      "pwrite 64 KiB / raw copy",
      "pread 64 KiB / raw copy",
      "pwrite 1 MiB / raw copy",
      "pread 1 MiB / raw copy",
      "copy_from_user 4 KiB / copyWithin",
      "copy_from_user 64 KiB / copyWithin",
      "64 nodes, 1,000 tasks on one file / 2 nodes, 10 tasks",
    ]),
  );
});

/** A clock that only moves when somebody works; both sides have rounds that are disturbed. */
function clockwork(ours: readonly number[], theirs: readonly number[], goal: number): [Workload, () => number] {
  let now = 0;
  const worker = (rounds: readonly number[]): (() => void) => {
    let round = 0;
    return () => {
      now += rounds[round++ % rounds.length];
    };
  };
  const prepare = () => ({ times: 10, run: worker(ours), theirs: worker(theirs), reset: () => {} });
  return [{ name: "ours / theirs", goal, prepare }, () => now];
}

test("the best round of each side counts", () => {
  const row = measure(...clockwork([0.3, 0.2, 0.9], [0.1, 0.4], 2.1));
  expect(row.ours_ns).toBeCloseTo(0.02e9);
  expect(row.theirs_ns).toBeCloseTo(0.01e9);
  expect(row.ratio).toBeCloseTo(2);
  expect(row.passed).toBe(true);
});

test("a goal that is missed is told, and so is work that went wrong", () => {
  const [missed, now] = clockwork([0.3], [0.1], 2.9);
  expect(measure(missed, now).passed).toBe(false);
  const broken: Workload = {
    ...missed,
    goal: 9,
    prepare: () => ({ times: 1, run: () => {}, theirs: 5, check: () => "nothing was faulted in" }),
  };
  let tick = 0;
  expect(measure(broken, () => tick++)).toMatchObject({ passed: false, wrong: "nothing was faulted in" });
});
