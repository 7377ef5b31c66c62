// What a search has seen so far, as plain data. The tallies of its parts add up to the tally of the whole,
// whatever the parts are and in whatever order they come.

import { Lockdep } from "@faultline/kernel";
import type { Counts, Ending, Explorer } from "./explorer.ts";
import { type Event, Ledger, type Sighting } from "./finding.ts";
import { type Injection, Injections } from "./injections.ts";
import { type ClassEdge, edgesOf } from "./lock-order.ts";
import type { Program } from "./program.ts";
import { scheduleOf, scheduleText } from "./replay.ts";

export interface Tally {
  readonly counts: Counts;
  readonly sightings: readonly Sighting[];
  readonly injections: readonly Injection[];
  /** The order of lock classes, as lockdep learned it. */
  readonly edges: readonly ClassEdge[];
  /** The schedule of every execution, in order; empty unless it was asked for. */
  readonly schedules: readonly string[];
}

export const NOTHING: Tally = {
  counts: { executions: 0, blocked: 0, foreign: 0, deadlocks: 0, surprises: 0, depth: 0 },
  sightings: [],
  injections: [],
  edges: [],
  schedules: [],
};

export function addTallies(a: Tally, b: Tally): Tally {
  const ledger = new Ledger();
  const injections = new Injections();
  for (const { sightings } of [a, b]) ledger.merge(sightings);
  for (const injection of [...a.injections, ...b.injections]) injections.add(injection);
  return {
    counts: {
      executions: a.counts.executions + b.counts.executions,
      blocked: a.counts.blocked + b.counts.blocked,
      foreign: a.counts.foreign + b.counts.foreign,
      deadlocks: a.counts.deadlocks + b.counts.deadlocks,
      surprises: a.counts.surprises + b.counts.surprises,
      depth: Math.max(a.counts.depth, b.counts.depth),
    },
    sightings: ledger.sightings,
    injections: injections.all,
    edges: [...new Set([...a.edges, ...b.edges])].sort(),
    schedules: b.schedules.length === 0 ? a.schedules : [...a.schedules, ...b.schedules].sort(),
  };
}

/** Takes notes while an explorer works. */
export class Scribe {
  readonly lockdep: Lockdep = new Lockdep();
  readonly #program: Program;
  readonly #maxSteps: number | undefined;
  readonly #keepsSchedules: boolean;
  /** Is there anything that the environment may choose? */
  readonly #asks: boolean;
  readonly #ledger = new Ledger();
  readonly #injections = new Injections();
  readonly #schedules: string[] = [];

  /** `keepSchedules`: note the schedule of every execution, which costs two more runs of each. */
  constructor(program: Program, options: { readonly maxSteps?: number; readonly keepSchedules?: boolean } = {}) {
    this.#program = program;
    this.#maxSteps = options.maxSteps;
    this.#asks = Object.keys(program.environment ?? {}).length > 0;
    this.#keepsSchedules = options.keepSchedules ?? false;
  }

  get hasFinding(): boolean {
    return !this.#ledger.isEmpty;
  }

  /** Look at an execution that just ended. */
  readonly witness = (explorer: Explorer, ending: Ending): void => {
    const { path, driver } = explorer;
    this.#ledger.note(explorer, ending);
    if (this.#asks)
      this.#injections.note(
        path.steps,
        path.details.map(({ points }) => points),
        driver.tasks,
      );
    if (this.#keepsSchedules) this.#schedules.push(this.#scheduleOf(path.steps));
  };

  tally(counts: Counts): Tally {
    return {
      counts: { ...counts },
      sightings: this.#ledger.sightings,
      injections: this.#injections.all,
      edges: edgesOf(this.lockdep),
      schedules: [...this.#schedules].sort(),
    };
  }

  #scheduleOf(events: readonly Event[]): string {
    const schedule = scheduleOf(this.#program, events, this.#maxSteps);
    if (schedule === null) throw new Error("an execution does not happen again: the program is not deterministic");
    return scheduleText(schedule);
  }
}
