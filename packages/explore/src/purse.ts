// What the environment spent of its budgets. Two failures may commute and still exclude each other, when the budget
// is for one of them.

import type { Budgets } from "./program.ts";
import type { Step } from "./step.ts";

export class Purse {
  readonly #budgets: Budgets;
  /** By name of the choice: how often it turned out other than 0. */
  readonly #spent = new Map<string, number>();
  #failures = 0;
  /** Is there anything to spend? */
  readonly canSpend: boolean;

  constructor(budgets: Budgets) {
    this.#budgets = budgets;
    this.canSpend = Object.keys(budgets.environment).length > 0;
  }

  /** Has everything been affordable? */
  get isEnough(): boolean {
    const { environment, failures = Number.POSITIVE_INFINITY } = this.#budgets;
    if (this.#failures > failures) return false;
    for (const [choice, spent] of this.#spent) if (spent > (environment[choice] ?? 0)) return false;
    return true;
  }

  clear(): void {
    this.#spent.clear();
    this.#failures = 0;
  }

  /** Pay for the choices of a step, as far as they are settled. */
  pay(step: Step): void {
    for (const choice of step.spends) this.#add(choice, 1);
  }

  /** Take back what was paid for a step. */
  refund(step: Step): void {
    for (const choice of step.spends) this.#add(choice, -1);
  }

  #add(choice: string, times: number): void {
    this.#spent.set(choice, (this.#spent.get(choice) ?? 0) + times);
    this.#failures += times;
  }
}
