// Published programs have published numbers of traces: does the search execute each trace once, and nothing else?
import { Completion, type MaySleep, Mutex, mutexLock, mutexUnlock, PREEMPT, type Task } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import { Cell } from "./cell.ts";
import { Explorer } from "./explorer.ts";
import type { Program } from "./program.ts";
import { CATALOGUE } from "./programs/catalogue.ts";

const factorial = (n: number): number => (n <= 1 ? 1 : n * factorial(n - 1));
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

function countsOf(program: Program): Explorer["counts"] {
  const explorer = new Explorer(program, () => {});
  expect(explorer.run(100_000)).toBe(false);
  return explorer.counts;
}

describe("every trace once, nothing blocked", () => {
  test.each([
    { name: "readers", sizes: range(1, 13), executions: (n: number) => 2 ** n },
    { name: "lastzero", sizes: range(2, 10), executions: (n: number) => (n + 3) * 2 ** (n - 2) },
    { name: "indexer", sizes: range(12, 15), executions: (n: number) => 8 ** (n - 11) },
    { name: "filesystem", sizes: range(14, 20), executions: (n: number) => 2 ** (n - 13) },
    { name: "lock-inc", sizes: range(1, 7), executions: factorial },
    { name: "lock-no-unlock", sizes: range(2, 7), executions: (n: number) => n, deadlocks: (n: number) => n },
    { name: "racy-inc", sizes: range(1, 4), executions: (n: number) => factorial(n) ** 2 },
    { name: "writers-reader", sizes: range(1, 6), executions: (n: number) => factorial(n + 1) },
    { name: "abba", sizes: [2], executions: () => 3, deadlocks: () => 1 },
    { name: "philosophers", sizes: range(2, 6), executions: (n: number) => 2 ** n - 1, deadlocks: () => 1 },
    { name: "philosophers-ordered", sizes: range(2, 6), executions: (n: number) => 2 ** n - 2 },
  ])("$name", ({ name, sizes, executions, deadlocks = () => 0 }) => {
    for (const n of sizes) {
      const counts = countsOf(CATALOGUE[name].make(n));
      const want = { executions: executions(n), blocked: 0, foreign: 0, deadlocks: deadlocks(n), surprises: 0 };
      expect({ n, ...counts }).toEqual({ n, ...want, depth: counts.depth });
    }
  });
});

test("eleven indexers and thirteen tasks of the filesystem never meet: one trace", () => {
  expect(countsOf(CATALOGUE.indexer.make(11)).executions).toBe(1);
  expect(countsOf(CATALOGUE.filesystem.make(13)).executions).toBe(1);
});

describe("time", () => {
  /** A task sleeps on a timer while it holds the lock that another one wants. */
  const sleeper: Program = {
    name: "sleeper",
    start(world) {
      const lock = new Mutex(world, "m");
      const order: string[] = [];
      world.spawn("sleeper", function* (task) {
        yield* mutexLock(task, lock);
        const timer = new Completion("timer", world);
        world.after(100, () => timer.complete());
        yield* timer.wait(task);
        order.push("sleeper");
        mutexUnlock(task, lock);
      });
      world.spawn("other", function* (task) {
        yield* mutexLock(task, lock);
        order.push(`other at ${world.now}`);
        mutexUnlock(task, lock);
      });
      return { state: () => order.join(", ") };
    },
  };

  test("passes when nobody can go on, and who waited meanwhile could have come first", () => {
    const states: string[] = [];
    const explorer = new Explorer(sleeper, ({ driver }) => states.push(driver.running.state?.() ?? ""));
    explorer.run(100);
    expect(states.sort()).toEqual(["other at 0, sleeper", "sleeper, other at 100"]);
  });
});

test("daemons finish what they can do before an execution is over, and races with them are explored", () => {
  const program: Program = {
    name: "daemon",
    start(world) {
      const asked = new Completion("asked", world);
      const x = new Cell(world, 0, "x");
      world.spawn(
        "daemon",
        function* (task) {
          yield* asked.wait(task);
          yield* x.write(task, 1);
          const never = new Completion("never", world);
          yield* never.wait(task);
        },
        { daemon: true },
      );
      let seen = -1;
      world.spawn("user", function* (task) {
        yield PREEMPT;
        asked.complete();
        seen = yield* x.read(task);
      });
      return { state: () => `saw ${seen}, left ${x.value}` };
    },
  };
  const states: string[] = [];
  const explorer = new Explorer(program, ({ driver }) => states.push(driver.running.state?.() ?? ""));
  explorer.run(100);
  expect(states.sort()).toEqual(["saw 0, left 1", "saw 1, left 1"]);
});

test("who shares more than is declared is found out", () => {
  const program: Program = {
    name: "secretive",
    start(world) {
      // A flag that nobody declares decides who touches what.
      let flag = false;
      const [x, y] = [new Cell(world, 0, "x"), new Cell(world, 0, "y")];
      const wait = new Completion("flag");
      world.spawn("a", function* (task) {
        yield* x.write(task, 1);
        flag = true;
        wait.complete();
        yield* y.write(task, 1);
      });
      world.spawn("b", function* (task) {
        yield* y.write(task, 2);
        while (!flag) yield wait;
        yield* x.write(task, 2);
      });
      return {};
    },
  };
  expect(countsOf(program).surprises).toBeGreaterThan(0);
});

test("an error of the program's own reaches the caller", () => {
  const program: Program = {
    name: "broken",
    start(world) {
      world.spawn("t", function* () {
        throw new TypeError("mine");
      });
      return {};
    },
  };
  expect(() => countsOf(program)).toThrow("mine");
});

test("what races after time has passed is tried in both orders", () => {
  const program: Program = {
    name: "sleepers",
    start(world) {
      const cell = new Cell(world, 0, "cell");
      const [first, second] = [new Completion("first", world), new Completion("second", world)];
      world.after(1, () => {
        first.complete();
        second.complete();
      });
      const sleeper = (done: Completion, own = new Cell(world, 0)) =>
        function* (task: Task): MaySleep<void> {
          // An event of its own, so that nothing but the clock moves when everybody sleeps.
          yield* own.write(task, 1);
          while (!done.isReady()) yield done;
          yield* cell.write(task, task.pid);
        };
      world.spawn("A", sleeper(first));
      world.spawn("B", sleeper(second));
      return {};
    },
  };
  expect(countsOf(program)).toMatchObject({ executions: 2, deadlocks: 0, surprises: 0 });
});
