// Ours and theirs in turn, in many short rounds; the best round of each counts. Whatever else the machine does
// only ever makes a round longer, so the best one is what both have in common: the code, the caches, the clock.

import type { Timed, Workload } from "./workload.ts";

export interface Row {
  readonly name: string;
  /** ours / theirs */
  readonly ratio: number;
  /** Nanoseconds of one, or whatever `unit` says. */
  readonly ours_ns: number;
  readonly theirs_ns: number;
  readonly unit: string;
  /** The ratio that is wanted at most. */
  readonly goal: number;
  readonly passed: boolean;
  /** What turned out wrong, whatever the numbers say; "" = nothing. */
  readonly wrong: string;
}

/** A row takes as many rounds as fit into this, in seconds, but at least MIN_ROUNDS. */
const SECONDS = 0.8;
const MIN_ROUNDS = 6;
/** A round that is much shorter than this is repeated within the round: clocks have a grain. In seconds. */
const SHORTEST_ROUND = 100e-6;

/** Set a workload up and measure it. `now`: seconds. */
export function measure(workload: Workload, now: () => number): Row {
  const work = workload.prepare();
  if (!("run" in work)) return row(workload, work.ours, work.theirs, work.unit, "");
  const { ours, theirs } = best(work, now);
  return row(workload, ours, theirs, "ns", work.check?.() ?? "");
}

function row({ name, goal }: Workload, ours: number, theirs: number, unit: string, wrong: string): Row {
  const ratio = ours / theirs;
  return { name, ratio, ours_ns: ours, theirs_ns: theirs, unit, goal, passed: ratio <= goal && wrong === "", wrong };
}

function best(work: Timed, now: () => number): { ours: number; theirs: number } {
  const { theirs: other } = work;
  const end = now() + SECONDS;
  let ours = Number.POSITIVE_INFINITY;
  let theirs = typeof other === "number" ? other : Number.POSITIVE_INFINITY;
  for (let round = 0; round < MIN_ROUNDS || now() < end; round++) {
    work.reset?.();
    // What has to be reset can be done only once a round.
    ours = Math.min(ours, timed(() => work.run(), work.reset === undefined, now) / work.times);
    if (typeof other === "function") theirs = Math.min(theirs, timed(other, true, now) / work.times);
  }
  return { ours, theirs };
}

/** Returns: nanoseconds of one call. */
function timed(run: () => void, repeat: boolean, now: () => number): number {
  const start = now();
  let calls = 0;
  let took: number;
  do {
    run();
    calls++;
    took = now() - start;
  } while (repeat && took < SHORTEST_ROUND);
  return (took * 1e9) / calls;
}
