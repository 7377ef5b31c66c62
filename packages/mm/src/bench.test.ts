// Do the benchmark's workloads do what they say, at a scale where nobody times them? And the costs that do
// not depend on a clock: what a sparse mapping and a fork take.
import { expect, test } from "vitest";
import { mmWorkloads } from "../bench/workloads.ts";

const workloads = mmWorkloads(1 / 256);

test.each(workloads.map((workload) => [workload.name, workload] as const))("%s", (_name, workload) => {
  for (let round = 0; round < 3; round++) {
    workload.reset?.();
    workload.run();
    workload.baseline?.();
  }
  expect(workload.check?.() ?? "").toBe("");
  expect(workload.times).toBeGreaterThan(0);
});
