// A task that is let go on before its turn, until it has done something that shows, or for so many steps.

import type { Task } from "@faultline/kernel";

export class Burst {
  #task: Task | null = null;
  #left = 0;
  #steps = 0;

  /** Is one under way? */
  get isOn(): boolean {
    return this.#task !== null;
  }

  /** Steps of the one that is under way. */
  get steps(): number {
    return this.#steps;
  }

  /** A task makes its first step, and at most so many more. */
  begin(task: Task, left: number): void {
    this.#task = task;
    this.#left = left;
    this.#steps = 1;
  }

  /** Returns: the place of the task among those that can run; -1 when the burst is over. */
  goOn(runnable: readonly Task[]): number {
    if (this.#task === null) return -1;
    const i = runnable.indexOf(this.#task);
    if (i < 0 || this.#left <= 0) {
      this.#end();
      return -1;
    }
    this.#left--;
    this.#steps++;
    return i;
  }

  /** This task has done something that shows. */
  endsFor(task: Task): void {
    if (this.#task === task) this.#end();
  }

  #end(): void {
    this.#task = null;
    this.#steps = 0;
  }
}
