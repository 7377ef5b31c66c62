// Runs a program by a schedule, or by a list of turns, and notes every event. Part of verification: it shares
// no code with the search.

import {
  type AccessLog,
  type Chooser,
  formatSchedule,
  type Schedule,
  type Task,
  type Verdict,
  World,
} from "@faultline/kernel";
import { conflict, LEAVE, PASS, READ, SHARE, TAKE, UNSHARE, WRITE } from "./access.ts";
import type { Program } from "./program.ts";

/** One choice of the environment, and how long the event's access list was when it came up. */
export interface Asked {
  readonly choice: string;
  readonly count: number;
  readonly picked: number;
  readonly position: number;
}

/** A step in which something was shared with others. */
export interface Happening {
  readonly pid: number;
  readonly accesses: number[];
  readonly asked: Asked[];
  /** Tasks that it spawned. */
  readonly spawned: number[];
  /** Simulated time of the event. */
  readonly now: number;
}

/** Whose turn it is until something happens, and what the environment chooses meanwhile. */
export interface Turn {
  readonly pid: number;
  readonly choices: readonly number[];
}

export interface Rerun {
  readonly events: readonly Happening[];
  readonly verdict: Verdict;
  /** What is wrong with the run, or null. */
  readonly fault: string | null;
  /** Tasks that wait for a lock at the end, and its number. */
  readonly waiting: readonly { readonly pid: number; readonly lock: number }[];
  /** Did every turn come as it should? */
  readonly isOnCourse: boolean;
  readonly schedule: string;
}

export interface RerunOptions {
  readonly maxSteps: number;
  readonly environment: Readonly<Record<string, number>>;
}

/** Run by schedule. */
export function rerun(program: Program, schedule: Schedule, options: RerunOptions): Rerun {
  return new Course(options, schedule.decisions, []).run(program);
}

/** Give each of these its turn, and then let whoever can go on, with nothing special happening. */
export function runTurns(program: Program, turns: readonly Turn[], options: RerunOptions): Rerun {
  return new Course(options, null, turns).run(program);
}

class Course implements Chooser, AccessLog {
  readonly preemptive = true;
  readonly #options: RerunOptions;
  readonly #decisions: readonly number[] | null;
  readonly #turns: readonly Turn[];
  readonly #left: Map<string, number>;
  readonly #events: Happening[] = [];
  /** Lock -> who has it, and whether alone. */
  readonly #holds = new Map<number, { readonly pid: number; readonly alone: boolean }[]>();
  #world!: World;
  #known: readonly number[] = [];
  #next = 0;
  #turn = 0;
  #step: Happening | null = null;
  #isOnCourse = true;

  constructor(options: RerunOptions, decisions: readonly number[] | null, turns: readonly Turn[]) {
    this.#options = options;
    this.#decisions = decisions;
    this.#turns = turns;
    this.#left = new Map(Object.entries(options.environment));
  }

  run(program: Program): Rerun {
    const names = Object.keys(this.#options.environment);
    this.#world = new World({
      chooser: this,
      // The budgets are kept below, so that every choice comes up whether or not its budget is spent.
      environment: Object.fromEntries(names.map((name) => [name, Number.POSITIVE_INFINITY])),
      trace: program.trace ?? null,
      maxSteps: this.#options.maxSteps,
      settle: true,
    });
    const running = program.start(this.#world);
    this.#known = this.#world.live.map((task) => task.pid);
    this.#world.accesses = this;
    const { verdict } = this.#world.run();
    this.#endStep();
    const invariant = verdict.kind === "completed" ? (running.invariant?.() ?? null) : null;
    return {
      events: this.#events,
      verdict,
      fault: verdict.kind === "completed" ? invariant : verdict.kind,
      waiting: this.#waiting(),
      isOnCourse: this.#isOnCourse && this.#turn === this.#turns.length,
      schedule: formatSchedule(this.#world.schedule),
    };
  }

  pickTask(runnable: readonly Task[]): number {
    this.#endStep();
    if (this.#decisions !== null) return Math.min(this.#decisions[this.#next++] ?? 0, runnable.length - 1);
    const turn = this.#turns[this.#turn];
    if (turn === undefined) return 0;
    const found = runnable.findIndex((task) => task.pid === turn.pid);
    if (found < 0) this.#isOnCourse = false;
    return Math.max(found, 0);
  }

  choose(choice: string, count: number): number {
    const step = this.#step as Happening;
    const left = this.#left.get(choice) ?? 0;
    let picked = 0;
    if (this.#decisions === null) picked = this.#turns[this.#turn]?.choices[step.asked.length] ?? 0;
    else if (left > 0) picked = this.#decisions[this.#next++] ?? 0;
    if (picked >= count) picked = 0;
    if (picked !== 0) this.#left.set(choice, left - 1);
    step.asked.push({ choice, count, picked, position: step.accesses.length });
    return picked;
  }

  beginStep(task: Task): void {
    this.#endStep();
    this.#step = { pid: task.pid, accesses: [], asked: [], spawned: [], now: this.#world.now };
  }

  read(object: number): void {
    this.#step?.accesses.push(object, READ);
  }

  write(object: number): void {
    this.#step?.accesses.push(object, WRITE);
  }

  acquire(lock: number, exclusive: boolean): void {
    this.#step?.accesses.push(lock, exclusive ? TAKE : SHARE);
    const holds = this.#holds.get(lock) ?? [];
    holds.push({ pid: this.#step?.pid ?? 0, alone: exclusive });
    this.#holds.set(lock, holds);
  }

  release(lock: number): void {
    const holds = this.#holds.get(lock) ?? [];
    const own = holds.findLastIndex(({ pid }) => pid === this.#step?.pid);
    const alone = own < 0 || holds[own].alone;
    if (own >= 0) holds.splice(own, 1);
    if (alone && this.#passes(lock)) return;
    this.#step?.accesses.push(lock, alone ? LEAVE : UNSHARE);
  }

  /** Was the lock taken in this very step? Then nobody else sees it taken. */
  #passes(lock: number): boolean {
    const accesses = this.#step?.accesses ?? [];
    const taken = accesses.findLastIndex((deed, i) => i % 2 === 1 && deed === TAKE && accesses[i - 1] === lock);
    if (taken >= 0) accesses[taken] = PASS;
    return taken >= 0;
  }

  /** Note the step that just ended, if it was an event. */
  #endStep(): void {
    const step = this.#step;
    this.#step = null;
    if (step === null || step.accesses.length + step.asked.length === 0) return;
    for (const { pid } of this.#world.live) if (!this.#known.includes(pid)) step.spawned.push(pid);
    this.#known = [...this.#known, ...step.spawned];
    this.#events.push(step);
    const turn = this.#turns[this.#turn];
    if (turn === undefined) return;
    if (turn.pid === step.pid) this.#turn++;
    else this.#isOnCourse = false;
  }

  #waiting(): { pid: number; lock: number }[] {
    return this.#world.live.flatMap(({ pid, sleepingOn }) => {
      const lock = sleepingOn !== null && "contended" in sleepingOn ? sleepingOn.contended : 0;
      return lock === 0 ? [] : [{ pid, lock }];
    });
  }
}

/**
 * Which trace a run belongs to, as a number of 53 bits: equal for runs that differ only in the order of
 * events that commute.
 */
export function identityOf(events: readonly Happening[]): number {
  const counts = new Map<number, number>();
  const names = events.map(({ pid }) => {
    counts.set(pid, (counts.get(pid) ?? 0) + 1);
    return `${pid}.${counts.get(pid)}`;
  });
  const lines = events.map(({ accesses, asked }, e) => {
    const before = names.filter((_, i) => i < e && conflict(events[i].accesses, accesses)).sort();
    return `${names[e]} ${accesses.join()} ${asked.map(({ picked }) => picked).join()} after ${before.join()}`;
  });
  return hashText(lines.sort().join("\n"));
}

/** 53 bits of FNV-1a in two lanes. */
export function hashText(text: string): number {
  let high = 0x811c9dc5;
  let low = 0x01000193;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    high = Math.imul(high ^ code, 0x01000193);
    low = Math.imul(low ^ code, 0x5bd1e995) ^ (low >>> 15);
  }
  return (high >>> 0) * 0x200000 + (low >>> 11);
}
