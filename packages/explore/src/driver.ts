// Drives one execution of a program, event by event, and notes what each event did.
//
// An event is what a task does up to its next scheduling point, if others can notice: it declared an
// access, settled a choice, spawned a task, let another task go on, or hit a bug. Steps that nobody can
// notice are run together with the event that follows them.

import {
  type AccessLog,
  type Chooser,
  KernelBug,
  Livelock,
  type Lockdep,
  PREEMPT,
  type Task,
  WaitChannel,
  World,
  type WorldOptions,
} from "@faultline/kernel";
import { LEAVE, PASS, READ, SHARE, TAKE, WRITE } from "./access.ts";
import { type Fate, Fates } from "./fate.ts";
import { CLOCK } from "./happens-before.ts";
import type { Program, Running } from "./program.ts";
import { NONE } from "./step.ts";

/** One choice of the environment that came up during an event. */
export interface Point {
  readonly choice: string;
  /** How many possibilities there were. */
  readonly count: number;
  readonly picked: number;
  /** What it is when nothing special happens: 0, but where it is decided that something does. */
  readonly least: number;
  /** Length of the event's access list when it came up. */
  readonly position: number;
}

/** A bug or a livelock, and who ran into it. The task is dead then; the others go on, as after an oops. */
export interface Crash {
  readonly task: Task;
  readonly error: KernelBug | Livelock;
}

export interface DriverOptions {
  /** Steps after which an execution is given up. */
  readonly maxSteps?: number;
  /** How often choices of the environment may turn out other than 0 in one execution, all together. */
  readonly failures?: number;
  /** Learns the order of lock classes from every execution. */
  readonly lockdep?: Lockdep | null;
}

export class Driver implements Chooser, AccessLog {
  readonly preemptive = true;
  readonly program: Program;
  world!: World;
  running!: Running;
  /** By pid; also those that are dead. A number may have no task yet. */
  readonly tasks: (Task | undefined)[] = [undefined];
  /** Pid -> 1 when the task can go on. */
  readonly able: number[] = [0];
  /** Whose steps were run, in order, CLOCK for a timer; since they were last taken. */
  #steps: number[] = [];

  /** What the latest event did; the next one gets new lists. */
  accesses: number[] = [];
  points: Point[] = [];
  spawned: number[] = [];
  /** Tasks that it let go on, other than by releasing a lock. */
  woken: number[] = [];
  crash: Crash | null = null;
  /** Bugs and livelocks of this execution. */
  crashes: Crash[] = [];

  readonly fates: Fates;
  readonly #options: WorldOptions;
  readonly #maxSteps: number;
  /** Live tasks when they were last looked through for new ones. */
  #known = 0;
  #choices: readonly number[] = NONE;
  #chosen = 0;

  constructor(program: Program, options: DriverOptions = {}, fates: readonly Fate[] = []) {
    this.program = program;
    this.fates = new Fates(fates);
    this.#maxSteps = options.maxSteps ?? 20_000_000;
    // Budgets are the explorer's business: to the world each choice may turn out any way at any time.
    const names = Object.keys(program.environment ?? {});
    const boundless = Object.fromEntries(names.map((name) => [name, Number.POSITIVE_INFINITY]));
    this.#options = {
      chooser: this,
      trace: program.trace ?? null,
      ...(names.length > 0 ? { environment: boundless } : {}),
      lockdep: options.lockdep ?? false,
    };
  }

  /** Start the program in a new world. */
  begin(): void {
    this.world = new World(this.#options);
    this.tasks.fill(undefined);
    this.able.fill(0);
    this.fates.clear();
    if (this.#steps.length > 0) this.#steps = [];
    if (this.crashes.length > 0) this.crashes = [];
    if (this.spawned.length > 0) this.spawned = [];
    this.running = this.program.start(this.world);
    this.#meet();
  }

  /** Have the regular tasks all returned? */
  get completed(): boolean {
    for (const task of this.world.live) if (!task.daemon && task.body !== null) return false;
    return true;
  }

  /** Has this execution run for as long as it may? */
  get exhausted(): boolean {
    return this.world.steps >= this.#maxSteps;
  }

  /**
   * Run a task that can go on until it has done something that others can notice.
   *
   * `choices`: what the environment chooses meanwhile, then 0 for ever.
   * Returns: false when it did nothing of the kind before it fell asleep or returned.
   */
  perform(pid: number, choices: readonly number[]): boolean {
    this.#open(choices);
    this.world.accesses = this;
    const isEvent = this.#run(pid);
    // Who looks at the end of an execution is not part of it.
    this.world.accesses = null;
    return isEvent;
  }

  #run(pid: number): boolean {
    const task = this.tasks[pid] as Task;
    do {
      this.#steps.push(pid);
      this.#resume(task);
      this.#look(pid);
      if (this.accesses.length > 0 || this.points.length > 0 || this.woken.length > 0) return true;
      if (this.crash !== null || this.spawned.length > 0) return true;
    } while (this.able[pid] === 1 && !this.exhausted);
    return false;
  }

  /** Whose steps were run since this was last asked, in order. */
  takeSteps(): number[] {
    const steps = this.#steps;
    this.#steps = [];
    return steps;
  }

  /** Let time pass, when nobody can go on. Returns: false when nothing is due. */
  tick(): boolean {
    this.#open(NONE);
    if (!this.world.expireTimer()) return false;
    this.#steps.push(CLOCK);
    this.#look(CLOCK);
    return true;
  }

  /** Repeat steps of an earlier execution, and nothing but these: one of `pid`, or those of `run`. */
  repeat(pid: number, run: readonly number[] | null, choices: readonly number[]): void {
    this.#choices = choices;
    this.#chosen = 0;
    if (run === null) {
      this.#resume(this.tasks[pid] as Task);
    } else {
      for (const each of run) {
        if (each === CLOCK) this.world.expireTimer();
        else this.#resume(this.tasks[each] as Task);
      }
    }
    if (this.world.live.length !== this.#known) this.#meet();
  }

  /** After the last repeat(): who can go on? */
  resumeWatch(): void {
    this.#look(CLOCK);
  }

  pickTask(): number {
    throw new TypeError("a driven world picks no tasks");
  }

  choose(choice: string, count: number): number {
    const fate = this.fates.meet(this.world.current?.pid ?? 0, choice);
    const given = this.#choices[this.#chosen++] ?? 0;
    const least = fate?.fails === true ? 1 : 0;
    const picked = Math.max(given < count ? given : 0, least);
    const decided = fate?.fails === false;
    this.points.push({ choice, count: decided ? 1 : count, picked, least, position: this.accesses.length });
    return picked;
  }

  beginStep(): void {}

  read(object: number): void {
    this.accesses.push(object, READ);
  }

  write(object: number): void {
    this.accesses.push(object, WRITE);
  }

  acquire(lock: number, exclusive: boolean): void {
    this.accesses.push(lock, exclusive ? TAKE : SHARE);
  }

  release(lock: number): void {
    const { accesses } = this;
    let taken = accesses.length - 2;
    while (taken >= 0 && !(accesses[taken] === lock && accesses[taken + 1] === TAKE)) taken -= 2;
    if (taken >= 0) accesses[taken + 1] = PASS;
    else accesses.push(lock, LEAVE);
  }

  #open(choices: readonly number[]): void {
    this.#choices = choices;
    this.#chosen = 0;
    this.accesses = [];
    if (this.points.length > 0) this.points = [];
    if (this.spawned.length > 0) this.spawned = [];
    if (this.woken.length > 0) this.woken = [];
    this.crash = null;
  }

  #resume(task: Task): void {
    try {
      this.world.resume(task);
    } catch (error) {
      task.body = null;
      if (error instanceof KernelBug || error instanceof Livelock) {
        this.crash = { task, error };
        this.crashes.push(this.crash);
      } else if (this.crashes.length === 0) {
        throw error;
      }
      // After a bug the state may be anything: what else goes wrong then is not news.
      return;
    }
    if (task.body === null) this.#known--;
  }

  /** Update who can go on, after a step of `pid`. */
  #look(pid: number): void {
    if (this.world.live.length !== this.#known) this.#meet();
    const { tasks, able } = this;
    for (let other = 1; other < tasks.length; other++) {
      const task = tasks[other];
      if (task === undefined) continue;
      const now = canGoOn(task) ? 1 : 0;
      if (now === able[other]) continue;
      able[other] = now;
      if (now === 1 && other !== pid && !isContended(task)) this.woken.push(other);
    }
  }

  /** Get to know the tasks that are new. */
  #meet(): void {
    for (const task of this.world.live) {
      if (this.tasks[task.pid] === task) continue;
      while (this.tasks.length <= task.pid) {
        this.tasks.push(undefined);
        this.able.push(0);
      }
      this.tasks[task.pid] = task;
      this.able[task.pid] = canGoOn(task) ? 1 : 0;
      this.spawned.push(task.pid);
    }
    this.#known = this.world.live.length;
  }
}

function canGoOn(task: Task): boolean {
  if (task.body === null) return false;
  const channel = task.sleepingOn;
  return channel === null || channel === PREEMPT || channel.isReady(task);
}

/** A lock that is let go does not wake whoever waits for it: that is a race of everybody who wants it. */
function isContended(task: Task): boolean {
  return task.sleepingOn instanceof WaitChannel && task.sleepingOn.contended !== 0;
}
