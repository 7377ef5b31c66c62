// n tasks that add one to a counter: under a lock (n! traces), with a lock that is never let go (n traces,
// all deadlocked) and without any (n!^2 traces, and lost updates).

import { type MaySleep, Mutex, mutexLock, mutexUnlock, PREEMPT, type Task } from "@faultline/kernel";
import { Cell } from "../cell.ts";
import type { Program } from "../program.ts";

interface Counter {
  readonly lock: Mutex;
  readonly value: Cell<number>;
}

type Increment = (task: Task, counter: Counter) => MaySleep<void>;

function withIncrement(name: string, n: number, increment: Increment): Program {
  return {
    name,
    revision: `n=${n}`,
    start(world) {
      const counter: Counter = { lock: new Mutex(world, "counter", "the lock"), value: new Cell(world, 0, "counter") };
      for (let i = 1; i <= n; i++) world.spawn(`task-${i}`, (task) => increment(task, counter));
      return {
        invariant: () => (counter.value.value === n ? null : `the counter is ${counter.value.value} instead of ${n}`),
        state: () => String(counter.value.value),
      };
    },
  };
}

function* readThenWrite(task: Task, { value }: Counter): MaySleep<void> {
  yield PREEMPT;
  const before = value.load(task);
  yield PREEMPT;
  value.store(task, before + 1);
}

function* locked(task: Task, counter: Counter): MaySleep<void> {
  yield* mutexLock(task, counter.lock);
  yield* readThenWrite(task, counter);
  mutexUnlock(task, counter.lock);
}

function* lockedForEver(task: Task, counter: Counter): MaySleep<void> {
  yield* mutexLock(task, counter.lock);
}

export function racyIncrement(n: number): Program {
  return withIncrement("racy-inc", n, readThenWrite);
}

export function lockedIncrement(n: number): Program {
  return { ...withIncrement("lock-inc", n, locked), mutants: [racyIncrement(n)] };
}

export function lockWithoutUnlock(n: number): Program {
  return withIncrement("lock-no-unlock", n, lockedForEver);
}
