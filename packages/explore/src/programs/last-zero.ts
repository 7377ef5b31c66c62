// An array of zeros; task i makes element i one larger than element i-1 is, and a reader looks for the last
// zero from the end. How far the reader comes decides which races there are: (n+3) * 2^(n-2) traces.

import { bugOn, type MaySleep, PREEMPT, type Task } from "@faultline/kernel";
import { Cell } from "../cell.ts";
import type { Program } from "../program.ts";

/** `sentinel`: element 0, which nobody writes and which stops the reader when it is 0. */
function withSentinel(name: string, n: number, sentinel: number): Program {
  const labels = Array.from({ length: n + 1 }, (_, i) => `array[${i}]`);
  const writers = labels.map((_, i) => `writer-${i}`);
  function* reader(task: Task, array: readonly Cell<number>[]): MaySleep<void> {
    for (let i = n; ; i--) {
      bugOn(i < 0, "the reader ran off the array");
      yield PREEMPT;
      if (array[i].load(task) === 0) return;
    }
  }
  function* writer(task: Task, from: Cell<number>, to: Cell<number>): MaySleep<void> {
    yield PREEMPT;
    const value = from.load(task);
    yield PREEMPT;
    to.store(task, value + 1);
  }
  return {
    name,
    revision: `n=${n}`,
    start(world) {
      const array = labels.map((label, i) => new Cell(world, i === 0 ? sentinel : 0, label));
      world.spawn("reader", (task) => reader(task, array));
      for (let i = 1; i <= n; i++) world.spawn(writers[i], (task) => writer(task, array[i - 1], array[i]));
      return {};
    },
  };
}

export function lastZero(n: number): Program {
  return { ...withSentinel("lastzero", n, 0), mutants: [withSentinel("no zero to stop at", n, 1)] };
}
