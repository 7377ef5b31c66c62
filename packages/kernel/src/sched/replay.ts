// Replays the decisions of a schedule; after the recorded part every decision is 0, the default.

import type { Chooser } from "./chooser.ts";
import type { Schedule } from "./schedule.ts";
import type { Task } from "./task.ts";

export class ReplayChooser implements Chooser {
  readonly preemptive: boolean;
  readonly interrupts: boolean;
  /** The first decision that did not fit this run, in words; null while the replay is faithful. */
  divergence: string | null = null;
  readonly #decisions: readonly number[];
  #next = 0;

  constructor(schedule: Schedule) {
    this.preemptive = schedule.preemptive;
    this.interrupts = schedule.interrupts === true;
    this.#decisions = schedule.decisions;
  }

  pickTask(runnable: readonly Task[]): number {
    return this.#decide("next task", runnable.length);
  }

  choose(choice: string, count: number): number {
    return this.#decide(choice, count);
  }

  #decide(what: string, count: number): number {
    const position = this.#next++;
    const decision = this.#decisions[position] ?? 0;
    if (decision < count) return decision;
    this.divergence ??= `decision ${position} (${what}) is ${decision}, but here are only ${count} possibilities`;
    return 0;
  }
}
