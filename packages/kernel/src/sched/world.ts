// One world: its tasks, its clock, its choices, its trace. A broken and a fixed world run side by side in
// one process because nothing of the model lives outside a World.
//
// The run loop below owns every next() of every task body. Tasks never run at the same time; between two
// yields a task is alone. Time is simulated, in microseconds, and passes only when no task can run.

import FlatQueue from "flatqueue";
import { KernelBug } from "../bug.ts";
import { Lockdep } from "../locking/lockdep.ts";
import type { Tracer } from "../trace/ring.ts";
import { type AccessLog, wholeOf } from "./access-log.ts";
import { type Chooser, FifoChooser, STOP } from "./chooser.ts";
import type { Device } from "./device.ts";
import { formatSchedule, type Schedule } from "./schedule.ts";
import { Task, type TaskBody } from "./task.ts";
import { Livelock, type Verdict } from "./verdict.ts";
import { WaitChannel } from "./wait.ts";

export interface WorldOptions {
  /** Who decides; first come, first served by default. */
  readonly chooser?: Chooser;
  /** Where events go; nowhere by default. */
  readonly trace?: Tracer | null;
  /** Check the order in which lock classes are taken, here or over several worlds; off by default. */
  readonly lockdep?: boolean | Lockdep;
  /**
   * Budgets of the environment's choices, by name: how often each may turn out other than 0 in this run.
   * A choice without a budget is always 0, is not asked and is not part of the schedule.
   */
  readonly environment?: Readonly<Record<string, number>>;
  /** Steps after which a run ends with the verdict "limit"; 20 million by default. */
  readonly maxSteps?: number;
  /** Preemptive runs: let daemons finish what they can do before the run is complete; off by default. */
  readonly settle?: boolean;
}

export interface RunResult {
  readonly verdict: Verdict;
  /** How often a task was resumed. */
  readonly steps: number;
}

export class World {
  readonly chooser: Chooser;
  /** Do tasks stop at every scheduling point? Then hot paths must not take their shortcuts. */
  readonly preemptible: boolean;
  /** May time pass at any scheduling point? */
  readonly interrupts: boolean;
  readonly trace: Tracer | null;
  /** Labels of the numbers that newId gave out, for whoever prints a trace; kept only while there is one. */
  readonly labels: Map<number, string> | null;
  readonly #partLabels: Map<number, (part: number) => string> | null;
  /** Names of the tasks by pid, for the same reader; kept only while there is a trace. */
  readonly comms: Map<number, string> | null;
  readonly lockdep: Lockdep | null;
  readonly maxSteps: number;
  readonly settle: boolean;
  /** Set by whoever explores schedules, before the first task starts. */
  accesses: AccessLog | null = null;
  /** Simulated time in microseconds. */
  now = 0;
  /** The task that is running or ran last. For reports; the model passes tasks as arguments. */
  current: Task | null = null;

  /** Nobody sees the way to a result: no events, no lock order, no choices, no preemption. */
  readonly #unwatched: boolean;
  #steps = 0;
  #isAside = false;
  #lastPid = 0;
  #lastId = 0;
  #lastTimer = 0;
  #lastTicket = 0;
  /** Live tasks that are not daemons: when none is left, the run is complete. */
  #regular = 0;
  readonly #live: Task[] = [];
  readonly #runnable: Task[] = [];
  /** Runnable tasks, oldest at #queueHead; slots before it are spent. */
  #queue: Task[] = [];
  #queueHead = 0;
  readonly #timers = new FlatQueue<() => void>();
  readonly #devices: Device[] = [];
  readonly #decisions: number[] = [];
  readonly #budgets: Map<string, number>;

  constructor(options: WorldOptions = {}) {
    this.chooser = options.chooser ?? new FifoChooser();
    this.preemptible = this.chooser.preemptive;
    this.interrupts = this.preemptible && this.chooser.interrupts === true;
    this.trace = options.trace ?? null;
    this.labels = this.trace === null ? null : new Map();
    this.#partLabels = this.trace === null ? null : new Map();
    this.comms = this.trace === null ? null : new Map();
    this.lockdep = options.lockdep === true ? new Lockdep() : options.lockdep || null;
    this.maxSteps = options.maxSteps ?? 20_000_000;
    this.settle = options.settle ?? false;
    this.#budgets = new Map(Object.entries(options.environment ?? {}));
    this.#unwatched = !this.preemptible && this.trace === null && this.lockdep === null && this.#budgets.size === 0;
  }

  /** Does nobody see the way to a result? Only then may a hot path take a shortcut to it. */
  get unwatched(): boolean {
    return this.#unwatched && this.accesses === null;
  }

  /**
   * A number for a lock, a page or anything else that traces and access logs name.
   *
   * `partLabel`: what a part of it is called, where its place alone says little.
   */
  newId(label?: string, partLabel?: (part: number) => string): number {
    this.#number();
    if (label !== undefined) this.labels?.set(this.#lastId + 1, label);
    if (partLabel !== undefined) this.#partLabels?.set(this.#lastId + 1, partLabel);
    return ++this.#lastId;
  }

  /** What a number from newId() or partOf() stands for, in words. */
  labelOf(object: number): string {
    if (object === 0) return "the numbering of objects";
    const whole = wholeOf(object);
    if (whole === null) return this.labels?.get(object) ?? `object ${object}`;
    return this.#partLabels?.get(whole.object)?.(whole.part) ?? `${this.labelOf(whole.object)}[${whole.part}]`;
  }

  newPid(): number {
    this.#number();
    return ++this.#lastPid;
  }

  /** Who gets which number depends on who comes first, once tasks run: the counters are an object, number 0. */
  #number(): void {
    if (this.current !== null) this.accesses?.write(0);
  }

  /** The tasks that have not returned, by the order in which they started. */
  get live(): readonly Task[] {
    return this.#live;
  }

  get steps(): number {
    return this.#steps;
  }

  /** Create a task and let it run `body` once the run loop comes to it. Context: atomic. */
  spawn(comm: string, body: (task: Task) => TaskBody, options: { readonly daemon?: boolean } = {}): Task {
    const task = new Task(this, this.newPid(), comm, options.daemon);
    this.start(task, body(task));
    return task;
  }

  /** Let an existing task run `body`. Context: atomic. */
  start(task: Task, body: TaskBody): void {
    if (task.alive) throw new TypeError(`task ${task.comm} (pid ${task.pid}) is already running`);
    task.body = body;
    this.comms?.set(task.pid, task.comm);
    this.#live.push(task);
    if (!task.daemon) this.#regular++;
    this.makeRunnable(task);
  }

  /**
   * The computer that a task runs on stops: it never goes on, runs no clean-up, and keeps what it held.
   *
   * Context: atomic; also between runs.
   */
  abandon(task: Task): void {
    if (task.alive) this.#end(task);
  }

  #end(task: Task): void {
    task.body = null;
    // Those that come and go quickly are at the end.
    this.#live.splice(this.#live.lastIndexOf(task), 1);
    if (!task.daemon) this.#regular--;
  }

  /** Put a task in the run queue; whether it can go on is asked when its turn comes. Context: atomic. */
  makeRunnable(task: Task): void {
    if (!this.preemptible) this.#queue.push(task);
  }

  /** Call `expire` when `delay` microseconds of simulated time have passed. Context: atomic. */
  after(delay: number, expire: () => void): void {
    // One number orders by time and then by age: 2^20 timers may share an instant.
    this.#timers.push(expire, (this.now + delay) * 0x100000 + (this.#lastTimer++ % 0x100000));
  }

  /**
   * Settle a choice of the environment: does reclaim take this page now, does this allocation fail.
   *
   * Context: atomic.
   * Returns: a number below `count`; 0 is "nothing special happens".
   */
  choose(choice: string, count: number, about?: string): number {
    if (this.#isAside || this.#budgets.size === 0) return 0;
    const budget = this.#budgets.get(choice) ?? 0;
    if (budget <= 0 || count < 2) return 0;
    const picked = this.#settle(choice, count, about);
    if (picked !== 0) this.#budgets.set(choice, budget - 1);
    return picked;
  }

  /**
   * Has the clock ticked since it was last looked at, although no time has passed here?
   *
   * Context: atomic.
   */
  ticked(): boolean {
    return this.chooseCircumstance("tick", 2) === 1;
  }

  /**
   * Settle what depends on the circumstances of a real machine; always 0 in a world without interrupts.
   *
   * Context: atomic. Returns: a number below `count`.
   */
  chooseCircumstance(choice: string, count: number, about?: string): number {
    return this.interrupts ? this.#settle(choice, count, about) : 0;
  }

  /** From now on it may interrupt. Context: atomic. */
  addDevice(device: Device): void {
    if (this.interrupts) this.#devices.push(device);
  }

  /**
   * A place where it shows whether a device was done: one may finish a request here, in the middle of atomic code.
   *
   * Context: atomic.
   */
  interrupt(): void {
    const device = this.#devices.find((one) => one.isReady());
    if (device !== undefined && this.chooseCircumstance("interrupt", 2) === 1) device.serve();
  }

  #settle(choice: string, count: number, about?: string): number {
    const picked = this.chooser.choose(choice, count, about);
    if (!(Number.isInteger(picked) && picked >= 0 && picked < count)) {
      throw new RangeError(`chooser picked ${picked} of ${count} for "${choice}"`);
    }
    this.#decisions.push(picked);
    return picked;
  }

  /** May this choice turn out other than 0 at all? For whoever would have to prepare it. */
  mayChoose(choice: string): boolean {
    return (this.#budgets.get(choice) ?? 0) > 0;
  }

  /** The decisions of this run so far. */
  get schedule(): Schedule {
    const { preemptible: preemptive } = this;
    return { preemptive, ...(this.interrupts ? { interrupts: true } : {}), decisions: this.#decisions };
  }

  /** The decisions of this run so far, as a string that replays it. */
  get scheduleString(): string {
    return formatSchedule(this.schedule);
  }

  /**
   * Run until every task that is not a daemon has returned, or until the run ends otherwise.
   *
   * After any verdict but "completed" the world keeps its locks and queues as they were: it is for
   * reading, not for running on. May be called again after "completed", with new tasks.
   */
  run(): RunResult {
    const start = this.#steps;
    const verdict = this.#runToVerdict();
    return { verdict, steps: this.#steps - start };
  }

  /**
   * Run all tasks to their end, in turn, with nobody asked and nothing special happening: to set up what is then
   * explored, or to look at it afterwards. Not part of the schedule, the steps or the access log.
   */
  runAside(): Verdict {
    const { accesses, current } = this;
    const steps = this.#steps;
    let task: Task | undefined;
    this.accesses = null;
    this.#isAside = true;
    try {
      for (;;) {
        task = this.#live.find(isRunnable);
        if (task !== undefined) {
          this.resume(task);
          continue;
        }
        const verdict = this.#idle();
        if (verdict !== null) return verdict;
      }
    } catch (error) {
      return verdictOf(error, task ?? null);
    } finally {
      this.accesses = accesses;
      this.current = current;
      this.#steps = steps;
      this.#isAside = false;
    }
  }

  /**
   * Run one body to its end on behalf of `task` and return its value: the way to call a system call
   * like a function. Daemons and timers run while it sleeps.
   *
   * Throws: RunError when the run ends in any verdict but "completed".
   */
  runSync<T>(task: Task, body: Generator<TaskBody extends Generator<infer Y> ? Y : never, T, void>): T {
    if (!this.preemptible) {
      // The common case never sleeps, and then needs no run queue.
      try {
        const first = body.next();
        if (first.done === true) {
          if (this.#queueHead < this.#queue.length) this.run();
          return first.value;
        }
        task.sleepingOn = first.value;
      } catch (error) {
        throw new RunError(verdictOf(error, task));
      }
    }
    this.start(task, body);
    const { verdict } = this.run();
    if (verdict.kind !== "completed") throw new RunError(verdict);
    return task.result as T;
  }

  #runToVerdict(): Verdict {
    let task: Task | null = null;
    try {
      for (;;) {
        task = this.preemptible ? this.#pick() : this.#shift();
        if (task === null) {
          const verdict = this.#idle();
          if (verdict !== null) return verdict;
          continue;
        }
        if (this.#steps >= this.maxSteps) return { kind: "limit", limit: `${this.maxSteps} steps` };
        this.resume(task);
      }
    } catch (error) {
      return verdictOf(error, task);
    }
  }

  /**
   * Run one step of a task that can go on: from where it stopped to its next yield.
   *
   * For whoever drives a preemptive world step by step instead of calling run(). Throws what the task throws.
   */
  resume(task: Task): void {
    this.#steps++;
    if (this.current !== task) {
      if (this.current !== null) this.trace?.emit(this.current, "sched_switch", task.pid);
      this.current = task;
    }
    this.accesses?.beginStep(task);
    task.sleepingOn = null;
    const step = (task.body as TaskBody).next();
    if (!task.alive) return;
    if (step.done === true) {
      task.result = step.value;
      this.#end(task);
      this.trace?.emit(task, "sched_process_exit");
      return;
    }
    task.sleepingOn = step.value;
    if (this.preemptible) return;
    if (step.value.isReady(task)) this.#queue.push(task);
    else this.#park(task, step.value);
  }

  /** Cooperative: the oldest runnable task; those whose condition no longer holds go back to sleep. */
  #shift(): Task | null {
    while (this.#queueHead < this.#queue.length) {
      const task = this.#queue[this.#queueHead++];
      if (this.#queueHead > 1024 && this.#queueHead * 2 > this.#queue.length) {
        this.#queue = this.#queue.slice(this.#queueHead);
        this.#queueHead = 0;
      }
      if (!task.alive) continue;
      if (task.sleepingOn === null || task.sleepingOn.isReady(task)) {
        task.ticket = 0;
        return task;
      }
      this.#park(task, task.sleepingOn);
    }
    this.#queue.length = 0;
    this.#queueHead = 0;
    return null;
  }

  /** A sleeper keeps its place: one that was woken in vain goes before those who came later. */
  #park(task: Task, channel: WaitChannel | { isReady(task: Task): boolean }): void {
    if (!(channel instanceof WaitChannel)) return;
    if (task.ticket === 0) {
      task.ticket = ++this.#lastTicket;
      channel.waiters.push(task);
      return;
    }
    const later = channel.waiters.findIndex((other) => other.ticket > task.ticket);
    channel.waiters.splice(later < 0 ? channel.waiters.length : later, 0, task);
  }

  /** Preemptive: whoever the chooser picks among all that can run. */
  #pick(): Task | null {
    if (this.#regular === 0 && !this.settle) return null;
    const runnable = this.#findRunnable();
    if (this.interrupts && runnable.length > 0) {
      while (this.#timers.length > 0 && this.#settle("timer", 2) === 1) this.expireTimer();
      this.#findRunnable();
    }
    if (runnable.length < 2) return runnable.length === 0 ? null : runnable[0];
    const picked = this.chooser.pickTask(runnable);
    if (picked === STOP) throw ABANDONED;
    if (!(Number.isInteger(picked) && picked >= 0 && picked < runnable.length)) {
      throw new RangeError(`chooser picked task ${picked} of ${runnable.length}`);
    }
    this.#decisions.push(picked);
    return runnable[picked];
  }

  #findRunnable(): readonly Task[] {
    const runnable = this.#runnable;
    const last = this.current;
    runnable.length = 0;
    if (last !== null && last.body !== null && isRunnable(last)) runnable.push(last);
    for (const task of this.#live) if (task !== last && isRunnable(task)) runnable.push(task);
    return runnable;
  }

  /** Nobody can run: let time pass, or find out why. Returns: the verdict, or null to go on. */
  #idle(): Verdict | null {
    if (this.#regular === 0) return { kind: "completed" };
    if (this.expireTimer()) return null;
    return { kind: "deadlock", blocked: this.#live.filter((task) => !task.daemon) };
  }

  /**
   * The running task has used the CPU for so long: what is due by now happens, as an interrupt would bring it.
   *
   * In a preemptive world without interrupts nothing happens: there the clock would be one more thing that all
   * tasks share, and each fault would race with every other.
   *
   * Context: atomic; timers may wake tasks, not run them. Time passes by itself only while everybody sleeps.
   */
  elapse(microseconds: number): void {
    if (this.preemptible && !this.interrupts) return;
    this.now += microseconds;
    while ((this.#timers.peekValue() ?? Number.POSITIVE_INFINITY) < (this.now + 1) * 0x100000) this.expireTimer();
  }

  /** Let time pass to the next timer; for when no task can run. Returns: false when there is none. */
  expireTimer(): boolean {
    const expire = this.#timers.peek();
    if (expire === undefined) return false;
    this.now = Math.max(this.now, Math.floor((this.#timers.peekValue() as number) / 0x100000));
    this.#timers.pop();
    expire();
    return true;
  }
}

function isRunnable(task: Task): boolean {
  return task.sleepingOn === null || task.sleepingOn.isReady(task);
}

const ABANDONED = new Error("abandoned by the chooser");

/** The verdict that an error thrown by a task means; other errors are ours and go on to the caller. */
function verdictOf(error: unknown, task: Task | null): Verdict {
  if (error === ABANDONED) return { kind: "limit", limit: "abandoned by the chooser" };
  if (task !== null && error instanceof KernelBug) return { kind: "bug", task, bug: error };
  if (task !== null && error instanceof Livelock) {
    return { kind: "livelock", task, loop: error.loop, state: error.state };
  }
  throw error;
}

/** A synchronous call could not return because its run ended otherwise: deadlock, bug, livelock or limit. */
export class RunError extends Error {
  readonly verdict: Verdict;

  constructor(verdict: Verdict) {
    super(verdict.kind === "bug" ? verdict.bug.message : `the call did not return: ${verdict.kind}`);
    this.name = "RunError";
    this.verdict = verdict;
  }
}
