// One recording replayed and compared, in a worker thread or in the main one.

import { REVISIONS } from "@faultline/fs";
import {
  type Difference,
  type EventDifference,
  replayRecording,
  scenarioMemory,
  type Tier,
  verdictText,
} from "@faultline/scenario";
import type { Pair } from "./corpus.ts";

export interface ReplayTask {
  readonly pair: Pair;
  readonly kernel: string;
  readonly tiers: readonly Tier[];
  /** Kinds of events that the recorded kernel could not show. */
  readonly unseen: ReadonlySet<string>;
}

export interface Replayed {
  readonly id: string;
  readonly title: string;
  /** The file that holds the scenario. */
  readonly file: string;
  /** The schedule of the run that was compared. */
  readonly schedule: string;
  /** Budgets of the environment's choices that it needs. */
  readonly environment: Readonly<Record<string, number>>;
  /** The first difference of each tier that differs. */
  readonly differences: readonly ToldDifference[];
}

/** A difference with the events around it only: the rest is not worth sending. */
export interface ToldDifference extends Omit<Difference, "events"> {
  readonly events: (EventDifference & { readonly skipped: number }) | null;
}

/** One run after the other has it. */
const hostMemory = scenarioMemory();

export default function replay({ pair, kernel, tiers, unseen }: ReplayTask): Replayed {
  const { scenario, file, recording } = pair;
  const { id, title } = scenario;
  try {
    const options = { kernel: REVISIONS[kernel], tiers, unseen, hostMemory };
    const { schedule, environment, differences } = replayRecording(scenario, recording, options);
    return { id, title, file, schedule, environment, differences: firstOfTiers(differences, tiers).map(around) };
  } catch (error) {
    const differences = tiers.map((tier) => ({
      tier,
      where: "verdict",
      what: "outcome",
      expected: verdictText(recording),
      actual: `the model stops: ${(error as Error).message}`,
      events: null,
    }));
    return { id, title, file, schedule: "c", environment: {}, differences };
  }
}

function firstOfTiers(all: readonly Difference[], tiers: readonly Tier[]): Difference[] {
  return tiers.flatMap((tier) => all.filter((difference) => difference.tier === tier).slice(0, 1));
}

/** Events kept before and after the first that differs; those behind it also say what was left out or put in. */
const BEFORE = 4;
const AFTER = 16;

function around(difference: Difference): ToldDifference {
  const { events = null } = difference;
  if (events === null) return { ...difference, events };
  const skipped = Math.max(0, events.at - BEFORE);
  const part = (list: readonly string[]): string[] => list.slice(skipped, events.at + AFTER + 1);
  return {
    ...difference,
    events: { at: events.at, skipped, expected: part(events.expected), actual: part(events.actual) },
  };
}
