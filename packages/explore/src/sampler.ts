// Schedules at random: when there are too many to try them all. Finds bugs fast and proves nothing, except
// that a bug is unlikely to have been missed, if it is of the kind that the method is good at.

import { type Chooser, formatSchedule, PctChooser, pctBound, RandomChooser } from "@faultline/kernel";
import { Ledger } from "./finding.ts";
import type { Program } from "./program.ts";
import { run } from "./replay.ts";
import { NOTHING, type Tally } from "./tally.ts";

export interface SamplerOptions {
  readonly method: "random" | "pct";
  readonly seed: number;
  /** PCT: how many ordering constraints a bug may need. */
  readonly depth: number;
  readonly maxSteps?: number;
}

/** Runs of one program with seeds that follow each other. */
export class Sampler {
  readonly #program: Program;
  readonly #options: SamplerOptions;
  readonly #ledger = new Ledger();
  #runs = 0;
  #deadlocks = 0;
  /** Most tasks and most decisions of a run so far. */
  #tasks = 0;
  #decisions = 1;

  constructor(program: Program, options: SamplerOptions) {
    this.#program = program;
    this.#options = options;
    // One run in order, to see how many decisions there are.
    this.#measure(this.#run(IN_TURN));
  }

  /** Make more runs. */
  sample(runs: number): void {
    for (let i = 0; i < runs; i++) {
      const result = this.#run(this.#chooser(this.#options.seed + this.#runs++));
      this.#measure(result);
      if (result.verdict.kind === "deadlock") this.#deadlocks++;
      if (result.fault === null) continue;
      const schedule = formatSchedule(result.schedule);
      this.#ledger.merge([{ ...result.fault, executions: 1, events: [], schedule }]);
    }
  }

  get tally(): Tally {
    const counts = { ...NOTHING.counts, executions: this.#runs, deadlocks: this.#deadlocks, depth: this.#decisions };
    return { ...NOTHING, counts, sightings: this.#ledger.sightings };
  }

  /**
   * The least probability with which one run shows a given bug: for PCT one that needs `depth` ordering
   * constraints, for random choice any that a schedule of so many decisions shows.
   */
  get bound(): number {
    if (this.#options.method === "random") return this.#tasks ** -this.#decisions;
    return pctBound(this.#tasks, this.#decisions, this.#options.depth);
  }

  /** The least probability with which the runs so far showed it. */
  get boundOfAll(): number {
    return -Math.expm1(this.#runs * Math.log1p(-this.bound));
  }

  #chooser(seed: number): Chooser {
    if (this.#options.method === "random") return new RandomChooser(seed);
    return new PctChooser({ seed, depth: this.#options.depth, decisions: this.#decisions });
  }

  #run(chooser: Chooser): ReturnType<typeof run> {
    const { maxSteps } = this.#options;
    return run(this.#program, chooser, maxSteps === undefined ? {} : { maxSteps });
  }

  #measure({ world, schedule }: ReturnType<typeof run>): void {
    if (this.#tasks === 0) this.#tasks = Math.max(world.newPid() - 1, 1);
    this.#decisions = Math.max(this.#decisions, schedule.decisions.length);
  }
}

/** Everybody in turn, but with every scheduling point counted. */
const IN_TURN: Chooser = { preemptive: true, pickTask: () => 0, choose: () => 0 };
