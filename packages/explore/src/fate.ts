// What the environment is told to choose at one point, so that a search can be divided by it: in one part the nth
// choice of a task goes wrong, in the other it does not. Which choice of a task is its nth is the same in all
// executions of a trace, so every trace belongs to exactly one part.

import type { Budgets } from "./program.ts";

/** The nth time, from 1, that a task meets the choice of this name. */
export interface Fate {
  readonly pid: number;
  readonly choice: string;
  readonly nth: number;
  /** Does it turn out other than 0? Then an execution in which it does not come up belongs to another part. */
  readonly fails: boolean;
}

/** What is left of the budgets for choices that nobody has decided. */
export function budgetsBeside(fates: readonly Fate[], { environment, failures }: Budgets): Budgets {
  const failing = fates.filter(({ fails }) => fails);
  const spent = (choice: string): number => failing.filter((fate) => fate.choice === choice).length;
  const left = Object.entries(environment).map(([choice, budget]) => [choice, budget - spent(choice)] as const);
  return {
    environment: Object.fromEntries(left),
    ...(failures === undefined ? {} : { failures: failures - failing.length }),
  };
}

/** Which of the fates of an execution have come up. */
export class Fates {
  readonly #fates: readonly Fate[];
  /** By place in `fates`: how often the task has met the choice. */
  readonly #met: number[];

  constructor(fates: readonly Fate[]) {
    this.#fates = fates;
    this.#met = fates.map(() => 0);
  }

  /** Another execution begins. */
  clear(): void {
    this.#met.fill(0);
  }

  /** A task meets a choice. Returns: what is decided about it, or null. */
  meet(pid: number, choice: string): Fate | null {
    let decided: Fate | null = null;
    for (const [i, fate] of this.#fates.entries()) {
      if (fate.pid === pid && fate.choice === choice && ++this.#met[i] === fate.nth) decided = fate;
    }
    return decided;
  }

  /** Has everything come up that is to go wrong? */
  get areMet(): boolean {
    return this.#fates.every(({ nth, fails }, i) => !fails || this.#met[i] >= nth);
  }
}
