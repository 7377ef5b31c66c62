// A shared variable: the smallest thing that two tasks can race for.

import { type MaySleep, PREEMPT, type Task, type World } from "@faultline/kernel";

export class Cell<T> {
  readonly id: number;
  #value: T;

  constructor(world: World, value: T, label?: string) {
    this.id = world.newId(label);
    this.#value = value;
  }

  /** Read it; another task may run first. Context: sleeps. */
  *read(task: Task): MaySleep<T> {
    if (task.world.preemptible) yield PREEMPT;
    task.world.accesses?.read(this.id);
    return this.#value;
  }

  /** Write it; another task may run first. Context: sleeps. */
  *write(task: Task, value: T): MaySleep<void> {
    if (task.world.preemptible) yield PREEMPT;
    task.world.accesses?.write(this.id);
    this.#value = value;
  }

  /**
   * Write `value` if it holds `expected`, in one step; another task may run first. Context: sleeps.
   *
   * Returns: was it written? A failed attempt counts as a write, too: it is as much a race as one that succeeds.
   */
  *compareAndSwap(task: Task, expected: T, value: T): MaySleep<boolean> {
    if (task.world.preemptible) yield PREEMPT;
    task.world.accesses?.write(this.id);
    if (this.#value !== expected) return false;
    this.#value = value;
    return true;
  }

  /** What it holds, for whoever looks at the end of a run. Not an access. */
  get value(): T {
    return this.#value;
  }
}
