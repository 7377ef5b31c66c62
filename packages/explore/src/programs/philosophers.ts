// Dijkstra's dining philosophers: n tasks in a ring, each takes the fork on either side and puts both back.
// If all take the left one first, each fork goes to one or the other first, but not all of them to the right:
// 2^n - 1 traces, in one of which all hold their left forks and starve. If the last one takes the right fork
// first, 2^n - 2 traces, and everybody eats. ABBA is two philosophers.

import { type MaySleep, Mutex, mutexLock, mutexUnlock, type Task } from "@faultline/kernel";
import type { Program } from "../program.ts";

function* dine(task: Task, first: Mutex, second: Mutex): MaySleep<void> {
  yield* mutexLock(task, first);
  yield* mutexLock(task, second);
  mutexUnlock(task, second);
  mutexUnlock(task, first);
}

/** `ordered`: does everybody take the lower-numbered fork first? */
function atTable(name: string, n: number, ordered: boolean): Program {
  return {
    name,
    revision: `n=${n}`,
    start(world) {
      const forks = Array.from({ length: n }, (_, i) => new Mutex(world, "fork", `fork ${i + 1}`));
      for (let i = 0; i < n; i++) {
        const sides = [forks[i], forks[(i + 1) % n]];
        if (ordered) sides.sort((a, b) => a.id - b.id);
        world.spawn(`philosopher-${i + 1}`, (task) => dine(task, sides[0], sides[1]));
      }
      return {};
    },
  };
}

export function philosophers(n: number): Program {
  return atTable("philosophers", n, false);
}

export function orderedPhilosophers(n: number): Program {
  return { ...atTable("philosophers-ordered", n, true), mutants: [philosophers(n)] };
}

/** Two locks of two classes, taken in opposite orders. */
export function abba(): Program {
  return {
    name: "abba",
    start(world) {
      const a = new Mutex(world, "A", "lock A");
      const b = new Mutex(world, "B", "lock B");
      world.spawn("task-ab", (task) => dine(task, a, b));
      world.spawn("task-ba", (task) => dine(task, b, a));
      return {};
    },
  };
}
