// What is a person told at the end of a run, for each way in which it can end? The ring of two is in world.test.ts.
import { expect, test } from "vitest";
import {
  Completion,
  LIVELOCK_ROUNDS,
  Livelock,
  type MaySleep,
  Mutex,
  mutexLock,
  PREEMPT,
  RetryGuard,
  type Task,
  type Verdict,
  verdictReport,
  World,
} from "../index.ts";

const COMM = "writer";

function endOf(body: (task: Task) => MaySleep<void>, world: World = new World({ maxSteps: 1000 })): Verdict {
  world.spawn(COMM, body);
  return world.run().verdict;
}

test("completed", () => {
  expect(verdictReport(endOf(function* () {}))).toEqual(["COMPLETED"]);
});

test("a limit is named", () => {
  const verdict = endOf(function* () {
    for (;;) yield PREEMPT;
  });
  expect(verdictReport(verdict)).toEqual(["LIMIT: 1000 steps"]);
});

test("a livelock: the loop, and the state that repeats; progress starts the count again", () => {
  let turns = 0;
  const verdict = endOf(function* () {
    const guard = new RetryGuard("gfs2_file_write_iter");
    for (let i = 0; i < LIVELOCK_ROUNDS; i++, turns++) guard.again("0 bytes done");
    for (;;) {
      guard.again("4096 bytes done");
      turns++;
    }
  });
  expect(turns).toBe(2 * LIVELOCK_ROUNDS);
  expect(verdictReport(verdict)).toEqual([
    "LIVELOCK: writer (pid 1) repeats gfs2_file_write_iter without progress",
    "  the state that repeats: 4096 bytes done",
  ]);
});

test("a livelock that nobody caught says the same as an error", () => {
  expect(new Livelock("filemap_read", "0 bytes").message).toBe("filemap_read repeats without progress: 0 bytes");
});

test("a task that waits for itself is a ring of one", () => {
  const world = new World();
  const lock = new Mutex(world, "m", "lock M");
  const verdict = endOf(function* takeTwice(task): MaySleep<void> {
    yield* mutexLock(task, lock);
    yield* mutexLock(task, lock);
  }, world);
  expect(verdictReport(verdict)).toEqual([
    "DEADLOCK: 1 task waits for itself",
    "",
    "  ┌> writer (pid 1)  holds lock M",
    "  └─                 wants lock M",
    "",
    "  writer (pid 1) sleeps in",
    "    mutex_lock",
    "    take_twice",
  ]);
});

test("a wait for what nobody will do is no ring", () => {
  const verdict = endOf(function* waitForEver(task): MaySleep<void> {
    yield* new Completion("answer of the lock manager").wait(task);
  });
  expect(verdictReport(verdict)).toEqual([
    "DEADLOCK: 1 task can never go on",
    "",
    "  writer (pid 1) wants answer of the lock manager",
    "  writer (pid 1) sleeps in",
    "    wait",
    "    wait_for_ever",
  ]);
});

test("whoever waits for a ring is told apart from it", () => {
  const world = new World();
  const [m, n] = ["M", "N"].map((name) => new Mutex(world, name, `lock ${name}`));
  world.spawn("twice", function* takeTwice(task): MaySleep<void> {
    yield* mutexLock(task, m);
    yield* mutexLock(task, m);
  });
  world.spawn("bystander", function* takeBoth(task): MaySleep<void> {
    yield* mutexLock(task, n);
    yield* mutexLock(task, m);
  });
  const lines = verdictReport(world.run().verdict);
  expect(lines.slice(0, 4)).toEqual([
    "DEADLOCK: 1 task waits for itself",
    "",
    "  ┌> twice (pid 1)      holds lock M",
    "  └─                    wants lock M",
  ]);
  expect(lines).toContain("  bystander (pid 2) holds lock N, wants lock M");
});
