// One writer and n readers of one variable: every reader comes before the writer or after it, 2^n traces.

import { bugOn, type MaySleep, PREEMPT, type Task } from "@faultline/kernel";
import { Cell } from "../cell.ts";
import type { Program } from "../program.ts";

/** `values`: what the writer writes, one after the other; the readers expect 0 or 1. */
function withValues(name: string, n: number, values: readonly number[]): Program {
  function* writer(task: Task, x: Cell<number>): MaySleep<void> {
    for (const value of values) {
      yield PREEMPT;
      x.store(task, value);
    }
  }
  function* reader(task: Task, x: Cell<number>): MaySleep<void> {
    yield PREEMPT;
    const seen = x.load(task);
    bugOn(seen !== 0 && seen !== 1, `a reader saw ${seen}, which was never meant to be seen`);
  }
  return {
    name,
    revision: `n=${n}`,
    start(world) {
      const x = new Cell(world, 0, "x");
      world.spawn("writer", (task) => writer(task, x));
      for (let i = 1; i <= n; i++) world.spawn(`reader-${i}`, (task) => reader(task, x));
      return {};
    },
  };
}

export function readers(n: number): Program {
  return { ...withValues("readers", n, [1]), mutants: [withValues("the writer writes in two steps", n, [2, 1])] };
}
