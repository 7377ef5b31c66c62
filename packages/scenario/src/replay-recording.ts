import type { Gfs2Revision } from "@faultline/fs";
import type { HostMemory } from "@faultline/mm";
import { compareRecordings, type Difference } from "./compare.ts";
import type { Scenario } from "./op.ts";
import { isCloser, reproduce } from "./reproduce.ts";
import type { Recording } from "./result.ts";
import { runScenario, scenarioMemory } from "./run.ts";
import { TIERS, type Tier } from "./tier.ts";

export interface ReplayOptions {
  readonly kernel: Gfs2Revision;
  readonly tiers?: readonly Tier[];
  /** Kinds of events that the recorded kernel could not show. */
  readonly unseen?: ReadonlySet<string>;
  /** As `scenarioMemory` makes it, for runs one after the other. */
  readonly hostMemory?: HostMemory;
}

export interface Replay {
  /** Makes the run that was compared happen again. */
  readonly schedule: string;
  readonly differences: readonly Difference[];
}

/**
 * Run a scenario and compare it with a recording: first come, first served; and where that differs, in the order
 * and with the timing that the recording shows, if the model can do that.
 */
export function replayRecording(scenario: Scenario, recording: Recording, options: ReplayOptions): Replay {
  const { kernel, tiers = TIERS, unseen = new Set<string>(), hostMemory = scenarioMemory() } = options;
  const traced = tiers.some((tier) => tier !== "results");
  const run = runScenario(scenario, { kernel, traced, hostMemory });
  const differences = compareRecordings(scenario, recording, run.recording, { tiers, unseen });
  const plain = { schedule: run.machine.world.scheduleString, differences };
  if (differences.length === 0) return plain;
  const found = reproduce(scenario, recording, { kernel, unseen, hostMemory });
  if (found === null) return plain;
  const left = found.differences.filter(({ tier }) => tiers.includes(tier));
  return isCloser(left, differences) ? { schedule: found.schedule, differences: left } : plain;
}
