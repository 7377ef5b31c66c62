// Finds a schedule under which the model does what a recording of threads shows.
//
// Linux ran the threads in one of many orders. The recording tells the order of lock events; what it leaves
// open is searched: first a run that equals the recording in every event, then one that equals it in its
// protocol.

import type { Gfs2Revision } from "@faultline/fs";
import { formatSchedule } from "@faultline/kernel";
import type { HostMemory } from "@faultline/mm";
import { Circumstances } from "./circumstances.ts";
import { compareRecordings, type Difference } from "./compare.ts";
import { Expectation } from "./expectation.ts";
import { type AllocatedEnd, ExtentChooser, extentBudget } from "./extents.ts";
import { Follower } from "./follow.ts";
import type { Scenario } from "./op.ts";
import { Plan } from "./plan.ts";
import type { Recording } from "./result.ts";
import { runObserved, type ScenarioRun, scenarioMemory } from "./run.ts";
import { TIERS, type Tier } from "./tier.ts";

export interface ReproduceOptions {
  readonly kernel: Gfs2Revision;
  readonly unseen?: ReadonlySet<string>;
  /** Runs that each tier may take, and steps of tasks that all of them may take together. */
  readonly maxRuns?: number | undefined;
  readonly maxSteps?: number;
  /** As `scenarioMemory` makes it, for all of them. */
  readonly hostMemory?: HostMemory;
  /** Where extents end in all of them. */
  readonly extents?: readonly AllocatedEnd[];
}

export interface Reproduction {
  /** Replays the run. */
  readonly schedule: string;
  readonly run: ScenarioRun;
  /** What is left of the differences; nothing when the recording was reproduced. */
  readonly differences: readonly Difference[];
  /** Runs that the search took. */
  readonly runs: number;
  /** Where the last run that was given up left the recording. */
  readonly failure: string | null;
}

/** The bounds, when nothing else is said: threads leave more open than the timing of the disk does. */
const MAX_RUNS: Readonly<Record<Tier, number>> = { results: 0, protocol: 12, memory: 100 };
const MAX_STEPS = 200_000;
const MAX_STEPS_OF_THREADS = 320_000;

/**
 * Search for a schedule that reproduces a recording of a scenario with threads. Deterministic.
 *
 * Returns: the run that comes closest; null when none came to its end.
 */
export function reproduce(scenario: Scenario, recording: Recording, options: ReproduceOptions): Reproduction | null {
  const { kernel, unseen = new Set<string>(), hostMemory = scenarioMemory() } = options;
  const { maxRuns, extents = [] } = options;
  const { maxSteps = scenario.threads.length > 0 ? MAX_STEPS_OF_THREADS : MAX_STEPS } = options;
  const environment = extentBudget(extents);
  let best: Reproduction | null = null;
  let runs = 0;
  let steps = 0;
  let failure: string | null = null;
  const circumstances = new Circumstances();
  for (const tier of ["memory", "protocol"] as const) {
    const expectation = new Expectation(scenario, recording, tier, unseen);
    const plan = new Plan();
    for (let tries = 0; tries < (maxRuns ?? MAX_RUNS[tier]) && (runs === 0 || steps < maxSteps); tries++) {
      plan.restart();
      const follower = new Follower(expectation, plan, circumstances, new ExtentChooser(extents));
      const run = runObserved(scenario, { kernel, chooser: follower, traced: true, hostMemory, environment }, follower);
      runs++;
      steps += run.machine.world.steps;
      if (follower.failure === null) {
        const differences = compareRecordings(scenario, recording, run.recording, { unseen });
        const schedule = formatSchedule(run.machine.world.schedule);
        const found = { schedule, run, differences, runs, failure };
        if (best === null || isCloser(differences, best.differences)) best = found;
        if (differences.length === 0) return best;
      }
      failure = follower.failure;
      if (follower.learned) continue;
      if (!plan.next(follower.ending)) break;
    }
    // What a closer look could not find equal is not found by a coarser one.
    if (best !== null && isEqual(best.differences, tier)) break;
  }
  return best === null ? null : { ...best, runs, failure };
}

function isEqual(differences: readonly Difference[], tier: Tier): boolean {
  return differences.every((difference) => TIERS.indexOf(difference.tier) > TIERS.indexOf(tier));
}

/** Does a run with these differences come closer to the recording than one with those? Results count most. */
export function isCloser(these: readonly Difference[], those: readonly Difference[]): boolean {
  const [one, other] = [kindOf(these), kindOf(those)];
  return one < other || (one === other && these.length < those.length);
}

function kindOf(differences: readonly Difference[]): number {
  const kinds = new Set(differences.map(({ tier }) => tier));
  return (kinds.has("results") ? 4 : 0) + (kinds.has("protocol") ? 2 : 0) + (kinds.has("memory") ? 1 : 0);
}
