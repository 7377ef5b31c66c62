// Does lockdep see a possible deadlock in a run that did not hang?
import { expect, test } from "vitest";
import { MAY_FAULT, type MaySleep, Mutex, mutexLock, mutexUnlock, type Task, World } from "../index.ts";

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
