// Leaves the making of a scenario's files alone: what is to be tried out at random is the scenario.

import type { Chooser, Task } from "@faultline/kernel";

export class SetUpFirst implements Chooser {
  readonly preemptive: boolean;
  readonly #chooser: Chooser;
  #isSetUp = false;

  constructor(chooser: Chooser) {
    this.preemptive = chooser.preemptive;
    this.#chooser = chooser;
  }

  pickTask(runnable: readonly Task[]): number {
    this.#isSetUp ||= !runnable.some(({ comm }) => comm === "setup");
    return this.#isSetUp ? this.#chooser.pickTask(runnable) : 0;
  }

  choose(choice: string, count: number): number {
    return this.#isSetUp ? this.#chooser.choose(choice, count) : 0;
  }
}
