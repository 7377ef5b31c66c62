// n writers and one reader of one variable: everybody races with everybody, (n+1)! traces.

import { bugOn, type MaySleep, PREEMPT, type Task } from "@faultline/kernel";
import { Cell } from "../cell.ts";
import type { Program } from "../program.ts";

/** Writer i writes i, times `factor`; the reader expects 0 or the number of a writer. */
function withFactor(name: string, n: number, factor: number): Program {
  function* reader(task: Task, x: Cell<number>): MaySleep<void> {
    yield PREEMPT;
    const seen = x.load(task);
    bugOn(seen < 0 || seen > n, `the reader saw ${seen}, which no writer wrote`);
  }
  return {
    name,
    revision: `n=${n}`,
    start(world) {
      const x = new Cell(world, 0, "x");
      for (let i = 1; i <= n; i++) world.spawn(`writer-${i}`, (task) => x.write(task, i * factor));
      world.spawn("reader", (task) => reader(task, x));
      return { state: () => String(x.value) };
    },
  };
}

export function writersReader(n: number): Program {
  return { ...withFactor("writers-reader", n, 1), mutants: [withFactor("a writer writes too much", n, 2)] };
}
