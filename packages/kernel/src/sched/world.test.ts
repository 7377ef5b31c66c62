// The run loop: who runs when, how time passes, how a run ends, and that a run replays.
import { describe, expect, test } from "vitest";
import {
  bugOn,
  type Chooser,
  Completion,
  FifoChooser,
  KernelBug,
  type MaySleep,
  Mutex,
  mutexLock,
  mutexUnlock,
  PctChooser,
  PREEMPT,
  parseSchedule,
  pctBound,
  RandomChooser,
  ReplayChooser,
  RetryGuard,
  RunError,
  type Task,
  Tracer,
  traceText,
  verdictReport,
  WaitChannel,
  World,
} from "../index.ts";

/** Each task notes `name` + step at every turn, taking a lock around each pair. */
function* worker(task: Task, lock: Mutex, log: string[], turns: number): MaySleep<string> {
  for (let turn = 0; turn < turns; turn++) {
    yield* mutexLock(task, lock);
    log.push(`${task.comm}${turn}`);
    if (task.world.preemptible) yield PREEMPT;
    log.push(`${task.comm}${turn}`);
    mutexUnlock(task, lock);
  }
  return task.comm;
}

function race(chooser: Chooser, tasks = 3, turns = 4) {
  const world = new World({ chooser, trace: new Tracer() });
  const lock = new Mutex(world, "m");
  const log: string[] = [];
  for (let i = 0; i < tasks; i++) world.spawn("abcdefgh"[i], (task) => worker(task, lock, log, turns));
  const { verdict } = world.run();
  return { world, log, verdict };
}

describe("schedules", () => {
  test("first come, first served runs each task to its end", () => {
    const { log, verdict } = race(new FifoChooser());
    expect(verdict.kind).toBe("completed");
    expect(log.join(" ")).toBe("a0 a0 a1 a1 a2 a2 a3 a3 b0 b0 b1 b1 b2 b2 b3 b3 c0 c0 c1 c1 c2 c2 c3 c3");
  });

  test("random schedules differ by seed, and the lock excludes in all of them", () => {
    const logs = new Set<string>();
    for (let seed = 0; seed < 50; seed++) {
      const { log, verdict } = race(new RandomChooser(seed));
      expect(verdict.kind).toBe("completed");
      expect(log).toHaveLength(24);
      for (let i = 0; i < log.length; i += 2) expect(log[i]).toBe(log[i + 1]);
      logs.add(log.join());
    }
    expect(logs.size).toBeGreaterThan(40);
  });

  test("a run replays from its string, event for event", () => {
    const first = race(new RandomChooser(7));
    const again = race(new ReplayChooser(parseSchedule(first.world.scheduleString)));
    const text = (world: World): string => [...traceText(world.trace!.events())].join("");
    expect(again.log).toEqual(first.log);
    expect(text(again.world)).toBe(text(first.world));
    expect(text(first.world).length).toBeGreaterThan(100);
  });

  test("a replay that does not fit says where", () => {
    const chooser = new ReplayChooser(parseSchedule("p0.7"));
    expect(race(chooser).verdict.kind).toBe("completed");
    expect(chooser.divergence).toBe("decision 1 (next task) is 7, but here are only 3 possibilities");
  });

  test("seeds that follow each other give runs that do not: each of three tasks goes first in a third of them", () => {
    const runs = 3000;
    const first = [0, 0, 0];
    for (let seed = 0; seed < runs; seed++) {
      const world = new World({ chooser: new PctChooser({ seed, depth: 1, decisions: 3 }) });
      let winner = -1;
      for (const i of [0, 1, 2]) {
        world.spawn("task", function* () {
          if (winner < 0) winner = i;
        });
      }
      world.run();
      first[winner]++;
    }
    // Three standard deviations.
    for (const wins of first) expect(Math.abs(wins - runs / 3)).toBeLessThan(3 * Math.sqrt((runs * 2) / 9));
  });

  test("PCT finds an order bug of depth 2 about as often as its bound promises", () => {
    // b must run between the two halves of a: one ordering constraint beyond the start.
    const found = (seed: number): boolean => {
      const world = new World({ chooser: new PctChooser({ seed, depth: 2, decisions: 4 }) });
      const seen: string[] = [];
      world.spawn("a", function* () {
        seen.push("a");
        yield PREEMPT;
        seen.push("a");
      });
      world.spawn("b", function* () {
        seen.push("b");
      });
      world.run();
      return seen.join("") === "aba";
    };
    const runs = 2000;
    const hits = Array.from({ length: runs }, (_, seed) => found(seed)).filter(Boolean).length;
    const bound = pctBound(2, 4, 2);
    // The bound is exact for this program; three standard deviations for the sample.
    expect(hits / runs).toBeGreaterThan(bound - 3 * Math.sqrt((bound * (1 - bound)) / runs));
  });
});

describe("choices of the environment", () => {
  const always: Chooser = { preemptive: false, pickTask: () => 0, choose: (_choice, count) => count - 1 };

  test("without a budget nothing happens and nobody is asked; with one, as often as it says", () => {
    const world = new World({ chooser: always, environment: { evict: 2 } });
    expect([1, 2, 3].map(() => world.choose("evict", 2))).toEqual([1, 1, 0]);
    expect(world.choose("alloc-fail", 2)).toBe(0);
    expect(world.scheduleString).toBe("c1x2");
  });

  test("a chooser that picks outside the possibilities is an error", () => {
    const world = new World({ chooser: { ...always, choose: () => 2 }, environment: { evict: 1 } });
    expect(() => world.choose("evict", 2)).toThrow('chooser picked 2 of 2 for "evict"');
  });
});

describe("verdicts", () => {
  test("deadlock: the ring is drawn, with locks held and wanted and the call chains", () => {
    const world = new World();
    const a = new Mutex(world, "lock", "lock A");
    const b = new Mutex(world, "lock", "lock B");
    const gate = new Completion("gate");
    function* takeBoth(task: Task, first: Mutex, second: Mutex): MaySleep<void> {
      yield* mutexLock(task, first);
      if (first === b) gate.complete();
      while (!gate.isReady()) yield gate;
      yield* mutexLock(task, second);
    }
    world.spawn("ab", (task) => takeBoth(task, a, b));
    world.spawn("ba", (task) => takeBoth(task, b, a));
    const { verdict } = world.run();
    expect(verdictReport(verdict)).toEqual([
      "DEADLOCK: 2 tasks wait for each other",
      "",
      "  ┌> ab (pid 1)  holds lock A",
      "  │              wants lock B",
      "  │                ▼ held by",
      "  │  ba (pid 2)  holds lock B",
      "  └─             wants lock A",
      "",
      "  ab (pid 1) sleeps in",
      "    mutex_lock",
      "    take_both",
      "  ba (pid 2) sleeps in",
      "    mutex_lock",
      "    take_both",
    ]);
  });

  test("bug: the invariant, the task and the call chain", () => {
    const world = new World();
    const lock = new Mutex(world, "m", "lock M");
    function* unlockOnly(task: Task): MaySleep<void> {
      mutexUnlock(task, lock);
    }
    world.spawn("t", unlockOnly);
    expect(verdictReport(world.run().verdict)).toEqual([
      "BUG: lock M is released by t, which does not hold it",
      "  in t (pid 1):",
      "    bug_not_held",
      "    mutex_unlock",
      "    unlock_only",
    ]);
  });

  test("livelock: which loop, which state", () => {
    const world = new World();
    world.spawn("t", function* () {
      const guard = new RetryGuard("gfs2_file_buffered_write");
      for (;;) guard.again("0 bytes done");
    });
    expect(verdictReport(world.run().verdict)[0]).toBe(
      "LIVELOCK: t (pid 1) repeats gfs2_file_buffered_write without progress",
    );
  });

  test("limit: a task that never ends", () => {
    const world = new World({ maxSteps: 10 });
    world.spawn("t", function* () {
      for (;;) yield PREEMPT;
    });
    expect(world.run().verdict).toEqual({ kind: "limit", limit: "10 steps" });
  });

  test("an error that is ours, not the kernel's, reaches the caller", () => {
    const world = new World();
    world.spawn("t", function* () {
      throw new TypeError("mine");
    });
    expect(() => world.run()).toThrow("mine");
  });
});

describe("time", () => {
  test("passes only when nobody can run, in order, and ties keep their order", () => {
    const world = new World();
    const log: string[] = [];
    const done = new Completion("timer");
    world.after(30, () => done.complete());
    world.after(10, () => log.push(`first at ${world.now}`));
    world.after(10, () => log.push(`second at ${world.now}`));
    world.spawn("t", function* () {
      yield PREEMPT;
      log.push(`ran at ${world.now}`);
      while (!done.isReady()) yield done;
      log.push(`woke at ${world.now}`);
    });
    expect(world.run().verdict.kind).toBe("completed");
    expect(log).toEqual(["ran at 0", "first at 10", "second at 10", "woke at 30"]);
  });

  test("a daemon that sleeps does not keep a run from completing", () => {
    const world = new World();
    world.spawn(
      "d",
      function* () {
        const never = new Completion("never");
        while (!never.isReady()) yield never;
      },
      { daemon: true },
    );
    world.spawn("t", function* () {});
    expect(world.run().verdict.kind).toBe("completed");
  });
});

describe("synchronous calls", () => {
  test("return the value, also when the call sleeps", () => {
    const world = new World();
    const task = world.spawn("main", function* () {});
    world.run();
    const done = new Completion("timer");
    world.after(5, () => done.complete());
    const call = function* (): MaySleep<number> {
      while (!done.isReady()) yield done;
      return 42;
    };
    expect(world.runSync(task, call())).toBe(42);
    expect(world.runSync(task, call())).toBe(42);
    expect(world.now).toBe(5);
  });

  test("a bug or a deadlock is thrown with its verdict", () => {
    const world = new World();
    const task = world.spawn("main", function* () {});
    world.run();
    const failing = function* (): MaySleep<void> {
      throw new KernelBug("broken");
    };
    let thrown: unknown;
    try {
      world.runSync(task, failing());
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(RunError);
    const { verdict } = thrown as RunError;
    expect(verdict).toMatchObject({ kind: "bug", task, bug: { message: "broken", frames: ["failing"] } });
    const hanging = function* (): MaySleep<void> {
      const never = new Completion("never");
      while (!never.isReady()) yield never;
    };
    expect(() => world.runSync(task, hanging())).toThrow("the call did not return: deadlock");
  });
});

test("a thousand tasks contend on one lock and finish, in the order they came", () => {
  const world = new World();
  const lock = new Mutex(world, "m");
  const order: number[] = [];
  for (let i = 0; i < 1000; i++) {
    world.spawn(`t${i}`, function* (task) {
      yield* mutexLock(task, lock);
      yield PREEMPT;
      order.push(i);
      mutexUnlock(task, lock);
    });
  }
  const { verdict, steps } = world.run();
  expect(verdict.kind).toBe("completed");
  expect(order).toEqual([...order].sort((x, y) => x - y));
  // Futile wake-ups do not resume anybody: each task starts, goes on after PREEMPT, and wakes at most once.
  expect(steps).toBeLessThanOrEqual(3000);
});

test.each([
  { desc: "at random", chooser: new RandomChooser(1) },
  { desc: "by priority", chooser: new PctChooser({ seed: 1, depth: 3, decisions: 5000 }) },
])("a thousand tasks contend on one lock and finish, each alone in it: $desc", ({ chooser }) => {
  const world = new World({ chooser });
  const lock = new Mutex(world, "m");
  let inside = 0;
  const order: number[] = [];
  for (let i = 0; i < 1000; i++) {
    world.spawn(`t${i}`, function* (task) {
      yield* mutexLock(task, lock);
      expect(++inside).toBe(1);
      yield PREEMPT;
      inside--;
      order.push(i);
      mutexUnlock(task, lock);
    });
  }
  expect(world.run().verdict.kind).toBe("completed");
  expect(new Set(order).size).toBe(1000);
  expect(order).not.toEqual([...order].sort((x, y) => x - y));
});

test("a waiter that was woken in vain keeps its place", () => {
  class Turnstile extends WaitChannel {
    open = 0;
    override isReady(): boolean {
      return this.open > 0;
    }
  }
  const world = new World();
  const gate = new Turnstile("gate");
  const through: string[] = [];
  for (const comm of ["a", "b", "c"]) {
    world.spawn(comm, function* (task) {
      while (!gate.isReady()) yield gate;
      gate.open--;
      through.push(task.comm);
    });
  }
  world.spawn("opener", function* (task) {
    for (let i = 0; i < 3; i++) {
      gate.open++;
      // Wakes all; only one gets through, the others go back to their places.
      for (const waiter of gate.waiters.splice(0)) task.world.makeRunnable(waiter);
      yield PREEMPT;
      yield PREEMPT;
    }
  });
  expect(world.run().verdict.kind).toBe("completed");
  expect(through).toEqual(["a", "b", "c"]);
});

test("a bug knows the whole call chain, from where it is to the system call", () => {
  const world = new World();
  const deep = function* deepDown(left: number): MaySleep<void> {
    if (left === 0) bugOn(true, "at the bottom");
    yield PREEMPT;
    yield* deep(left - 1);
  };
  const task = world.spawn("main", function* sysNanosleep(): MaySleep<void> {
    yield* deep(30);
  });
  const { verdict } = world.run();
  expect(verdict.kind === "bug" && verdict.task).toBe(task);
  const frames = verdict.kind === "bug" ? verdict.bug.frames : [];
  expect(frames).toEqual(["bug_on", ...Array(31).fill("deep_down"), "sys_nanosleep"]);
});

test.each([
  { desc: "on one CPU without preemption a task's work takes time", chooser: new FifoChooser(), now: 7 },
  {
    desc: "where every point is a decision, time passes only while everybody sleeps",
    chooser: new RandomChooser(1),
    now: 5,
  },
])("$desc", ({ chooser, now }) => {
  const world = new World({ chooser });
  const done = new Completion("timer");
  world.after(5, () => done.complete());
  world.spawn("worker", function* (task): MaySleep<void> {
    task.world.elapse(7);
    while (!done.isReady()) yield done;
  });
  expect([world.run().verdict.kind, world.now]).toEqual(["completed", now]);
});
