// Times the workloads: the best of several rounds each, baselines in turn with what they are compared to.
//
//   npx esbuild packages/mm/bench/run.ts --bundle --platform=node --format=esm --conditions=@faultline/source \
//     | node --input-type=module -
import { mmWorkloads, type Workload } from "./workloads.ts";

/** Rounds of a workload: enough to be compiled, and then some. */
const MIN_ROUNDS = 8;
const MIN_NANOSECONDS = 400e6;

function timed(run: () => void): number {
  const start = process.hrtime.bigint();
  run();
  return Number(process.hrtime.bigint() - start);
}

function measure(workload: Workload): { each: number; baseline: number } {
  let each = Number.POSITIVE_INFINITY;
  let baseline = Number.POSITIVE_INFINITY;
  for (let round = 0, spent = 0; round < MIN_ROUNDS || spent < MIN_NANOSECONDS; round++) {
    workload.reset?.();
    const took = timed(() => workload.run());
    spent += took;
    each = Math.min(each, took / workload.times);
    if (workload.baseline !== undefined) {
      baseline = Math.min(baseline, timed(() => workload.baseline?.()) / workload.times);
    }
  }
  return { each, baseline };
}

let missed = 0;
for (const workload of mmWorkloads()) {
  const { each, baseline } = measure(workload);
  const { goal } = workload;
  const reached = "ratio" in goal ? each / baseline <= goal.ratio : each <= goal.nanoseconds;
  const number =
    "ratio" in goal ? `${(each / baseline).toFixed(2)}x of ${baseline.toFixed(0)} ns` : `${each.toFixed(0)} ns`;
  const wanted = "ratio" in goal ? `${goal.ratio}x` : `${goal.nanoseconds} ns`;
  const wrong = workload.check?.() ?? "";
  if (!reached || wrong !== "") missed++;
  console.log(
    `${reached ? "ok    " : "MISSED"} ${workload.name.padEnd(52)} ${number.padEnd(22)} (at most ${wanted}) ${wrong}`,
  );
}
process.exitCode = missed > 0 ? 1 : 0;
