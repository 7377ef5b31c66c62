// Does lockdep see a possible deadlock in a run that did not hang?
import { expect, test } from "vitest";
import {
  downReadTrylock,
  downWrite,
  downWriteNow,
  MAY_FAULT,
  type MaySleep,
  Mutex,
  mutexLock,
  mutexLockNow,
  mutexTrylock,
  mutexUnlock,
  RwSemaphore,
  type Task,
  upRead,
  upWrite,
  World,
} from "../index.ts";

function* takeInOrder(task: Task, locks: readonly Mutex[]): MaySleep<void> {
  for (const lock of locks) yield* mutexLock(task, lock);
  for (const lock of locks.toReversed()) mutexUnlock(task, lock);
}

test("ABBA in one task after the other: reported once, with who and where", () => {
  const world = new World({ lockdep: true });
  const [a, b] = ["A", "B"].map((name) => new Mutex(world, name));
  world.spawn("first", (task) => takeInOrder(task, [a, b]));
  world.spawn("second", (task) => takeInOrder(task, [b, a]));
  world.spawn("third", (task) => takeInOrder(task, [b, a]));
  expect(world.run().verdict.kind).toBe("completed");
  const cycles = world.lockdep!.cycles.map((cycle) =>
    cycle.edges.map(({ from, to, comm }) => `${from}->${to} ${comm}`),
  );
  expect(cycles).toEqual([["B->A second", "A->B first"]]);
  expect(world.lockdep!.cycles[0].edges[0].frames.slice(-2)).toEqual(["mutex_lock", "take_in_order"]);
});

test("one order, no report; two locks of one class at once, a report", () => {
  const world = new World({ lockdep: true });
  const [a, b] = ["A", "B"].map((name) => new Mutex(world, name));
  const twins = [new Mutex(world, "inode"), new Mutex(world, "inode")];
  world.spawn("t", (task) => takeInOrder(task, [a, b]));
  world.run();
  expect(world.lockdep!.cycles).toEqual([]);
  world.spawn("t", (task) => takeInOrder(task, twins));
  world.run();
  expect(world.lockdep!.cycles).toHaveLength(1);
});

test("whoever only tries does not wait, so no order follows; what is waited for under the lock that it got, does", () => {
  const world = new World({ lockdep: true });
  const [a, b, c] = ["A", "B", "C"].map((name) => new Mutex(world, name));
  const sem = new RwSemaphore(world, "sem");
  world.spawn("in order", (task) => takeInOrder(task, [a, b]));
  world.spawn("tries", function* (task): MaySleep<void> {
    yield* mutexLock(task, b);
    expect([mutexTrylock(task, a), downReadTrylock(task, sem)]).toEqual([true, true]);
    yield* mutexLock(task, c);
    for (const lock of [c, a, b]) mutexUnlock(task, lock);
    upRead(task, sem);
  });
  expect(world.run().verdict.kind).toBe("completed");
  const order = world.lockdep!.edges.map(({ from, to }) => `${from}->${to}`).sort();
  expect([order, world.lockdep!.cycles]).toEqual([["A->B", "A->C", "B->C", "sem->C"], []]);
  // A first try that goes on to wait is no trying.
  world.spawn("waits", function* (task): MaySleep<void> {
    if (!mutexLockNow(task, c)) yield* mutexLock(task, c);
    if (!downWriteNow(task, sem)) yield* downWrite(task, sem);
    upWrite(task, sem);
    mutexUnlock(task, c);
  });
  world.run();
  expect(world.lockdep!.cycles.map(({ edges }) => edges.map(({ from, to }) => `${from}->${to}`))).toEqual([
    ["C->sem", "sem->C"],
  ]);
});

test("touching user memory under a lock that the fault handler takes is a cycle, resident or not", () => {
  const world = new World({ lockdep: true });
  const glock = new Mutex(world, "glock");
  world.spawn("faulter", function* (task) {
    world.lockdep!.enterFault(task);
    yield* mutexLock(task, glock);
    mutexUnlock(task, glock);
    world.lockdep!.exitFault(task);
  });
  world.spawn("writer", function* (task) {
    yield* mutexLock(task, glock);
    world.lockdep!.mightFault(task);
    mutexUnlock(task, glock);
  });
  expect(world.run().verdict.kind).toBe("completed");
  const edges = world.lockdep!.cycles[0].edges.map(({ from, to }) => [from, to]);
  expect(edges).toEqual([
    ["glock", MAY_FAULT],
    [MAY_FAULT, "glock"],
  ]);
});
