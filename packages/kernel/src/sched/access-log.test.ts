// What an explorer of schedules is told: which steps declare what, and which steps there are at all.
import { expect, test } from "vitest";
import {
  type AccessLog,
  type Chooser,
  Completion,
  downReadTrylock,
  downWrite,
  Mutex,
  mutexLock,
  mutexTrylock,
  mutexUnlock,
  PREEMPT,
  partOf,
  RwSemaphore,
  type Task,
  Tracer,
  upWrite,
  World,
} from "../index.ts";

/** Every access as one word: `1+2` is task 1 taking lock 2. */
class Notes implements AccessLog {
  readonly words: string[] = [];
  #pid = 0;
  beginStep(task: Task): void {
    this.#pid = task.pid;
  }
  read(object: number): void {
    this.words.push(`${this.#pid}r${object}`);
  }
  write(object: number): void {
    this.words.push(`${this.#pid}w${object}`);
  }
  acquire(lock: number, exclusive: boolean): void {
    this.words.push(`${this.#pid}${exclusive ? "+" : "s"}${lock}`);
  }
  release(lock: number): void {
    this.words.push(`${this.#pid}-${lock}`);
  }
}

/** Always somebody else than the task that ran last. */
const turns: Chooser = { preemptive: true, pickTask: () => 1, choose: () => 0 };

function watched(): { world: World; words: readonly string[] } {
  const world = new World({ chooser: turns });
  const notes = new Notes();
  world.accesses = notes;
  return { world, words: notes.words };
}

test("a task that wants a held mutex is not resumed in vain: waiting is no step", () => {
  const { world, words } = watched();
  const lock = new Mutex(world, "m");
  for (const comm of ["a", "b"]) {
    world.spawn(comm, function* (task) {
      yield* mutexLock(task, lock);
      yield PREEMPT;
      mutexUnlock(task, lock);
    });
  }
  expect(lock.contended).toBe(lock.id);
  expect(world.run().steps).toBe(6);
  expect(words.join(" ")).toBe("2+1 2-1 1+1 1-1");
});

test("an attempt is an event also when it fails: it told the task that the lock was taken", () => {
  const { world, words } = watched();
  const lock = new Mutex(world, "m");
  const sem = new RwSemaphore(world, "s");
  world.spawn("holder", function* (task) {
    mutexTrylock(task, lock);
    yield* downWrite(task, sem);
    yield PREEMPT;
    upWrite(task, sem);
    mutexUnlock(task, lock);
  });
  world.spawn("other", function* (task) {
    yield PREEMPT;
    yield PREEMPT;
    expect([mutexTrylock(task, lock), downReadTrylock(task, sem)]).toEqual([false, false]);
  });
  world.run();
  expect(words).toContain("2r1");
  expect(words).toContain(`2r${sem.line}`);
});

test("a completion is to those who wait what a lock's release is: it orders, and is not raced with", () => {
  const { world, words } = watched();
  const done = new Completion("done", world);
  world.spawn("waiter", (task) => done.wait(task));
  world.spawn("first", function* () {
    yield PREEMPT;
    done.complete();
    done.complete();
  });
  expect(world.run().verdict.kind).toBe("completed");
  expect(words).toEqual([`2w${partOf(1, 1)}`, "2-1", `2w${partOf(1, 1)}`, "1s1"]);
});

test("numbers given out while tasks run depend on who comes first, so that is declared too", () => {
  const { world, words } = watched();
  world.newId();
  world.spawn("a", function* (task) {
    task.world.newId();
    task.world.spawn("child", function* () {});
  });
  world.run();
  expect(words).toEqual(["1w0", "1w0"]);
});

test("a traced world knows the labels of its locks", () => {
  const world = new World({ trace: new Tracer() });
  const lock = new Mutex(world, "m", "lock M");
  expect(world.labels?.get(lock.id)).toBe("lock M");
  expect(new World().labels).toBeNull();
});

test("a settled run lets its daemons finish what they can do", () => {
  const ran = (settle: boolean): boolean => {
    const world = new World({ chooser: { ...turns, pickTask: () => 0 }, settle });
    const asked = new Completion("asked");
    let served = false;
    world.spawn(
      "daemon",
      function* () {
        while (!asked.isReady()) yield asked;
        served = true;
        const never = new Completion("never");
        while (!never.isReady()) yield never;
      },
      { daemon: true },
    );
    world.spawn("user", function* () {
      asked.complete();
    });
    expect(world.run().verdict.kind).toBe("completed");
    return served;
  };
  expect([ran(false), ran(true)]).toEqual([false, true]);
});
