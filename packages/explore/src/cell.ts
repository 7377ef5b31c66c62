// A shared variable: the smallest thing that two tasks can race for.
//
// load, store and compareAndSwap are atomic and belong after a scheduling point, as in
//
//   yield PREEMPT;
//   const value = cell.load(task);
//
// read and write are the same with the scheduling point in them.

import { type MaySleep, PREEMPT, type Task, type World } from "@faultline/kernel";

export class Cell<T> {
  readonly id: number;
  #value: T;

  constructor(world: World, value: T, label?: string) {
    this.id = world.newId(label);
    this.#value = value;
  }

  /** Context: atomic. */
  load(task: Task): T {
    task.world.accesses?.read(this.id);
    return this.#value;
  }

  /** Context: atomic. */
  store(task: Task, value: T): void {
    task.world.accesses?.write(this.id);
    this.#value = value;
  }

  /**
   * Store `value` if the cell holds `expected`.
   *
   * Context: atomic.
   * Returns: was it stored? A failed attempt counts as a write, too: it is as much a race as one that succeeds.
   */
  compareAndSwap(task: Task, expected: T, value: T): boolean {
    task.world.accesses?.write(this.id);
    if (this.#value !== expected) return false;
    this.#value = value;
    return true;
  }

  /** Context: sleeps. */
  *read(task: Task): MaySleep<T> {
    if (task.world.preemptible) yield PREEMPT;
    return this.load(task);
  }

  /** Context: sleeps. */
  *write(task: Task, value: T): MaySleep<void> {
    if (task.world.preemptible) yield PREEMPT;
    this.store(task, value);
  }

  /** What it holds, for whoever looks at the end of a run. Not an access. */
  get value(): T {
    return this.#value;
  }
}
