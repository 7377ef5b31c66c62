// Which choices of the environment came up in a search, and which of them were made to go wrong.

import type { Task } from "@faultline/kernel";
import type { Point } from "./driver.ts";
import type { Step } from "./step.ts";

/** The nth choice of this name that a task met. */
export interface Injection {
  readonly task: string;
  readonly choice: string;
  /** From 1. */
  readonly nth: number;
  /** Did it turn out other than 0 in some execution? */
  readonly failed: boolean;
}

export class Injections {
  readonly #met = new Map<string, Injection>();

  /** In a fixed order. */
  get all(): Injection[] {
    return [...this.#met.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, injection]) => injection);
  }

  /** Note the choices of one execution. */
  note(steps: readonly Step[], points: readonly (readonly Point[])[], tasks: readonly (Task | undefined)[]): void {
    const counts = new Map<string, number>();
    for (const [e, { pid }] of steps.entries()) {
      for (const { choice, picked } of points[e]) {
        const task = tasks[pid]?.comm ?? "";
        const nth = (counts.get(`${pid} ${choice}`) ?? 0) + 1;
        counts.set(`${pid} ${choice}`, nth);
        this.add({ task, choice, nth, failed: picked !== 0 });
      }
    }
  }

  add(injection: Injection): void {
    const { task, choice, nth, failed } = injection;
    const key = `${task} ${choice} ${String(nth).padStart(6, "0")}`;
    if (this.#met.get(key)?.failed === true || (this.#met.has(key) && !failed)) return;
    this.#met.set(key, injection);
  }
}
