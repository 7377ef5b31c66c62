import type { Gfs2Revision } from "@faultline/fs";
import type { HostMemory } from "@faultline/mm";
import { compareRecordings, type Difference } from "./compare.ts";
import { ExtentChooser, extentBudget, extentDecisions } from "./extents.ts";
import type { Scenario } from "./op.ts";
import { isCloser, reproduce } from "./reproduce.ts";
import type { Recording } from "./result.ts";
import { runScenario, type ScenarioRun, scenarioMemory } from "./run.ts";
import { TIERS, type Tier } from "./tier.ts";

export interface ReplayOptions {
  readonly kernel: Gfs2Revision;
  readonly tiers?: readonly Tier[];
  /** Kinds of events that the recorded kernel could not show. */
  readonly unseen?: ReadonlySet<string>;
  /** As `scenarioMemory` makes it, for runs one after the other. */
  readonly hostMemory?: HostMemory;
  /** Runs that the search for a schedule may take in each tier, instead of its own bound. */
  readonly maxRuns?: number;
}

export interface Replay {
  /** Makes the run that was compared happen again. */
  readonly schedule: string;
  /** Budgets of the environment's choices that it needs. */
  readonly environment: Readonly<Record<string, number>>;
  readonly differences: readonly Difference[];
  /** What the first run left behind: see ScenarioRun. */
  readonly leftovers: readonly string[];
}

/**
 * Run a scenario and compare it with a recording: first come, first served; where that differs, with the extents that
 * the recording shows; and where that differs too, in the order and with the timing that the recording shows, if
 * the model can do that.
 */
export function replayRecording(scenario: Scenario, recording: Recording, options: ReplayOptions): Replay {
  const { kernel, tiers = TIERS, unseen = new Set<string>(), hostMemory = scenarioMemory() } = options;
  const { maxRuns } = options;
  const traced = tiers.some((tier) => tier !== "results");
  const compare = (run: ScenarioRun): Difference[] =>
    compareRecordings(scenario, recording, run.recording, { tiers, unseen });
  const run = runScenario(scenario, { kernel, traced, hostMemory });
  const schedule = run.machine.world.scheduleString;
  const leftovers = run.leftovers();
  let best: Replay = { schedule, environment: {}, differences: compare(run), leftovers };
  if (best.differences.length === 0) return best;

  const extents = traced ? extentDecisions(recording, run) : null;
  if (extents !== null) {
    const environment = extentBudget(extents);
    const chooser = new ExtentChooser(extents);
    const again = runScenario(scenario, { kernel, traced, hostMemory, environment, chooser });
    const differences = compare(again);
    if (isCloser(differences, best.differences)) {
      best = { schedule: again.machine.world.scheduleString, environment, differences, leftovers };
    }
    if (differences.length === 0) return best;
  }

  const found = reproduce(scenario, recording, { kernel, unseen, hostMemory, maxRuns, extents: extents ?? [] });
  if (found === null) return best;
  const left = found.differences.filter(({ tier }) => tiers.includes(tier));
  if (!isCloser(left, best.differences)) return best;
  return { schedule: found.schedule, environment: extentBudget(extents ?? []), differences: left, leftovers };
}
