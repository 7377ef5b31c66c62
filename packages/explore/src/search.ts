// One search of a program, whatever the method: open it, advance it for as long as there is patience, look at
// its tally at any time.

import type { EventName } from "./cut.ts";
import type { DriverOptions } from "./driver.ts";
import { Enumerator } from "./enumerator.ts";
import { Explorer, type Part } from "./explorer.ts";
import { crashFault, endingFault, type Fault, Ledger } from "./finding.ts";
import { Injections } from "./injections.ts";
import type { Program } from "./program.ts";
import { Sampler } from "./sampler.ts";
import { restore, type SavedSearch, save } from "./saved.ts";
import { NOTHING, Scribe, type Tally } from "./tally.ts";

/** What to search, and within which bounds. */
export interface SearchOptions {
  /**
   * all: every schedule with every choice of the environment within its budgets.
   * fail-nth: every schedule with each injection point failing once, alone, and with none.
   * random, pct: schedules at random.
   */
  readonly mode?: "all" | "fail-nth" | "random" | "pct";
  /** All schedules with at most so many preemptions, one by one. */
  readonly preemptions?: number;
  /** All schedules with at most so many delays, one by one. */
  readonly delays?: number;
  /** false: without a reduction, one schedule after the other; for small programs only. */
  readonly reduction?: boolean;
  /** Steps after which an execution is given up, which is a finding. */
  readonly maxSteps?: number;
  /** random, pct: how many runs, and the seed of the first. */
  readonly runs?: number;
  readonly seed?: number;
  /** pct: how many ordering constraints a bug may need. */
  readonly depth?: number;
  /** Keep the schedule of every execution, as a certificate needs it. */
  readonly keepSchedules?: boolean;
}

export interface Search {
  /** Go on for about so many executions. Returns: is there anything left? */
  advance(executions: number): boolean;
  readonly tally: Tally;
  /** From 0 to 1, as far as can be told. */
  readonly progress: number;
  /** What a search at random promises, in words; null for the others. */
  readonly promise: string | null;
}

export function openSearch(program: Program, options: SearchOptions = {}, part?: Part): Search {
  const { mode = "all" } = options;
  if (mode === "random" || mode === "pct") return new RandomSearch(program, { ...options, mode });
  const bounded = options.preemptions !== undefined || options.delays !== undefined;
  if (bounded || options.reduction === false) return new PlainSearch(program, options);
  return new ReducedSearch(program, options, part);
}

/** The bounds of one execution. */
export function driverOptions({ mode, maxSteps }: SearchOptions): DriverOptions {
  return { ...(maxSteps === undefined ? {} : { maxSteps }), ...(mode === "fail-nth" ? { failures: 1 } : {}) };
}

/** One execution for each trace. */
export class ReducedSearch implements Search {
  readonly #explorer: Explorer;
  readonly promise = null;
  readonly #scribe: Scribe;

  constructor(program: Program, options: SearchOptions = {}, part?: Part) {
    this.#scribe = new Scribe(program, options);
    const { lockdep } = this.#scribe;
    this.#explorer = new Explorer(program, this.#scribe.witness, { ...driverOptions(options), lockdep }, part);
  }

  /** Begin where another search of the same program was put down. */
  takeUp(saved: SavedSearch): void {
    restore(this.#explorer, saved);
  }

  putDown(): SavedSearch {
    return save(this.#explorer);
  }

  /** Events that this part is cut at and that changed their ways: then the cut is void, and so is what was found. */
  get changed(): readonly EventName[] {
    return this.#explorer.changed;
  }

  advance(executions: number): boolean {
    return this.#explorer.run(executions);
  }

  get tally(): Tally {
    return this.#scribe.tally(this.#explorer.counts);
  }

  get progress(): number {
    return this.#explorer.progress;
  }
}

/** One execution for each schedule, or for each trace that has a schedule within the bound. */
class PlainSearch implements Search {
  readonly promise = null;
  readonly #enumerator: Enumerator;
  readonly #isBounded: boolean;
  readonly #ledger = new Ledger();
  readonly #injections = new Injections();
  readonly #traces = new Set<number>();
  #executions = 0;
  #deadlocks = 0;
  #depth = 0;
  #isDone = false;

  constructor(program: Program, options: SearchOptions) {
    const { preemptions, delays } = options;
    this.#isBounded = preemptions !== undefined || delays !== undefined;
    this.#enumerator = new Enumerator(program, {
      ...driverOptions(options),
      ...(preemptions === undefined ? {} : { preemptions }),
      ...(delays === undefined ? {} : { delays }),
    });
  }

  advance(executions: number): boolean {
    const enumerator = this.#enumerator;
    for (let i = 0; i < executions; i++) {
      if (!enumerator.next()) {
        this.#isDone = true;
        return false;
      }
      if (enumerator.ending === "known" || (this.#isBounded && this.#traces.has(enumerator.fingerprint))) continue;
      this.#traces.add(enumerator.fingerprint);
      this.#note();
    }
    return true;
  }

  get tally(): Tally {
    return {
      ...NOTHING,
      counts: {
        ...NOTHING.counts,
        executions: this.#executions,
        deadlocks: this.#deadlocks,
        depth: this.#depth,
      },
      sightings: this.#ledger.sightings,
      injections: this.#injections.all,
    };
  }

  get progress(): number {
    return this.#isDone ? 1 : this.#enumerator.progress;
  }

  #note(): void {
    const { driver, steps, points, ending } = this.#enumerator;
    this.#executions++;
    this.#depth = Math.max(this.#depth, steps.length);
    if (ending === "deadlock") this.#deadlocks++;
    this.#injections.note(steps, points, driver.tasks);
    const fault: Fault | null = ending === "crashed" ? crashFault(driver.crashes[0]) : endingFault(driver, ending);
    if (fault === null) return;
    const events = steps.map(({ pid, choices }) => ({ pid, choices }));
    this.#ledger.merge([{ ...fault, executions: 1, events, schedule: null }]);
  }
}

/** How many runs a random search makes when nobody says. */
const RUNS = 1000;

class RandomSearch implements Search {
  readonly #sampler: Sampler;
  readonly #runs: number;
  readonly #depth: number;
  readonly #method: "random" | "pct";

  constructor(program: Program, options: SearchOptions & { readonly mode: "random" | "pct" }) {
    const { mode, seed = 1, depth = 3, runs = RUNS, maxSteps } = options;
    this.#runs = runs;
    this.#depth = depth;
    this.#method = mode;
    this.#sampler = new Sampler(program, {
      method: mode,
      seed,
      depth,
      ...(maxSteps === undefined ? {} : { maxSteps }),
    });
  }

  advance(executions: number): boolean {
    this.#sampler.sample(Math.min(executions, this.#runs - this.tally.counts.executions));
    return this.tally.counts.executions < this.#runs;
  }

  get tally(): Tally {
    return this.#sampler.tally;
  }

  get progress(): number {
    return this.tally.counts.executions / this.#runs;
  }

  get promise(): string {
    const [one, all] = [this.#sampler.bound, this.#sampler.boundOfAll].map((bound) => bound.toPrecision(3));
    const bug =
      this.#method === "pct"
        ? `a bug that needs ${this.#depth} ordering constraints`
        : "a bug that one of these schedules shows";
    return `each run shows ${bug} with a probability of ${one} or more; all ${this.#runs} runs, of ${all} or more`;
  }
}
