// A reader-writer lock that is fair: what gets in together, and what has to wait behind whom.
import { expect, test } from "vitest";
import {
  Completion,
  downgradeWrite,
  downRead,
  downReadTrylock,
  downWrite,
  downWriteTrylock,
  type MaySleep,
  PREEMPT,
  RandomChooser,
  RwSemaphore,
  type Task,
  upRead,
  upWrite,
  verdictReport,
  World,
} from "../index.ts";

test("under any schedule: readers share, a writer is alone", () => {
  for (let seed = 0; seed < 100; seed++) {
    const world = new World({ chooser: new RandomChooser(seed) });
    const sem = new RwSemaphore(world, "sem");
    let readers = 0;
    let writers = 0;
    let together = 0;
    for (let i = 0; i < 6; i++) {
      world.spawn(`t${i}`, function* (task) {
        if (i % 3 === 0) {
          yield* downWrite(task, sem);
          writers++;
          expect([readers, writers]).toEqual([0, 1]);
          yield PREEMPT;
          writers--;
          upWrite(task, sem);
        } else {
          yield* downRead(task, sem);
          readers++;
          together = Math.max(together, readers);
          expect(writers).toBe(0);
          yield PREEMPT;
          readers--;
          upRead(task, sem);
        }
      });
    }
    expect(world.run().verdict.kind).toBe("completed");
    expect(sem.isFree()).toBe(true);
    if (seed === 0) expect(together).toBeGreaterThan(0);
  }
});

test("a writer that waits keeps out later readers: a reader that comes twice deadlocks with it", () => {
  const world = new World();
  const sem = new RwSemaphore(world, "mmap_lock");
  const held = new Completion("held");
  const waiting = new Completion("waiting");
  world.spawn("reader", function* (task: Task): MaySleep<void> {
    yield* downRead(task, sem);
    held.complete();
    while (!waiting.isReady()) yield waiting;
    yield* downRead(task, sem);
  });
  world.spawn("writer", function* (task: Task): MaySleep<void> {
    while (!held.isReady()) yield held;
    waiting.complete();
    yield* downWrite(task, sem);
  });
  expect(verdictReport(world.run().verdict).slice(0, 7)).toEqual([
    "DEADLOCK: 2 tasks wait for each other",
    "",
    "  ┌> reader (pid 1)  holds mmap_lock (read)",
    "  │                  wants mmap_lock (read)",
    "  │                    ▼ held by",
    "  │  writer (pid 2)  holds nothing",
    "  └─                 wants mmap_lock (write)",
  ]);
});

test("trylocks do not barge past those who wait, and downgrade lets readers in", () => {
  const world = new World();
  const sem = new RwSemaphore(world, "sem");
  const log: string[] = [];
  world.spawn("w", function* (task) {
    expect(downWriteTrylock(task, sem)).toBe(true);
    yield PREEMPT;
    expect([downReadTrylock(task, sem), downWriteTrylock(task, sem)]).toEqual([false, false]);
    downgradeWrite(task, sem);
    log.push("downgraded");
    yield PREEMPT;
    log.push("w done");
    upRead(task, sem);
  });
  world.spawn("r", function* (task) {
    yield* downRead(task, sem);
    log.push("r in");
    upRead(task, sem);
  });
  expect(world.run().verdict.kind).toBe("completed");
  expect(log).toEqual(["downgraded", "r in", "w done"]);
});
