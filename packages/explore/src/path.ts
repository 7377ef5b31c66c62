// The execution that is being explored, event by event, with what the search knows at each point of it: what
// was explored from there, what sleeps, what is still to be explored, and what could be reversed.

import { type Accesses, conflict, TAKE } from "./access.ts";
import type { Driver, Point } from "./driver.ts";
import { CLOCK, HappensBefore } from "./happens-before.ts";
import { foreseen, NONE, type Step, trimmed, weakInitial } from "./step.ts";
import { type Branch, insert } from "./wakeup-tree.ts";

/** `last` could come before event `first` and all that depends on it. */
interface Reversal {
  readonly first: number;
  readonly last: Step;
  /** What the environment chooses in `last` that it did not choose before; null when nothing. */
  readonly choice: string | null;
  /** A step that was explored from there and that such an execution could begin with, as long as it can. */
  witness: Step | null;
}

const NOBODY: readonly number[] = [];

export class Path {
  readonly order: HappensBefore = new HappensBefore();
  readonly steps: Step[] = [];

  // By event number: what a re-execution needs to know.
  /** The steps to run for an event, when it is not just one of its task. */
  readonly runs: (readonly number[] | null)[] = [];
  readonly points: (readonly Point[] | null)[] = [];
  /** Tasks that it let go on, other than by releasing a lock. */
  readonly woken: (readonly number[])[] = [];
  readonly spawned: (readonly number[])[] = [];
  /** The bug or livelock that it ran into, in words. */
  readonly crashes: (string | null)[] = [];

  // By event number: the search, at the point before the event.
  /** What was explored from there, the event itself included, or is known to repeat what was. */
  readonly done: Step[][] = [[]];
  /** What somebody else explores: not to be entered, but no reason to leave anything else out. */
  readonly barred: Step[][] = [[]];
  /** What is still to be explored. */
  readonly pending: Branch[][] = [[]];
  /** How many branches were entered. */
  readonly entered: number[] = [0];

  readonly #reversals: Reversal[][] = [];
  readonly #budgets: ReadonlyMap<string, number>;
  /** Pid -> the event that let it go on, other than by releasing a lock. */
  readonly #wakers: number[] = [];
  readonly #scratch: Step[] = [];

  constructor(budgets: ReadonlyMap<string, number>) {
    this.#budgets = budgets;
  }

  /** Drop events from number `length` on. */
  truncate(length: number): void {
    this.steps.length = length;
    this.order.truncate(length);
    this.#wakers.length = 0;
    for (let e = 0; e < length; e++) for (const pid of this.woken[e]) this.#wakers[pid] = e;
  }

  /** Add what the driver's latest event did. `pending`: what is to be explored after it. */
  append(driver: Driver, pid: number, pending: Branch[]): void {
    const e = this.steps.length;
    const points = driver.points.length === 0 ? null : driver.points.slice();
    const choices = points === null ? NONE : trimmed(points.map(({ picked }) => picked));
    const step: Step = { pid, accesses: driver.accesses.slice(), choices, settled: Number.POSITIVE_INFINITY };
    this.runs[e] = driver.steps.length === 1 ? null : driver.steps.slice();
    driver.steps.length = 0;
    this.points[e] = points;
    this.woken[e] = driver.woken.length === 0 ? NOBODY : driver.woken.slice();
    this.spawned[e] = driver.spawned.length === 0 ? NOBODY : driver.spawned.slice();
    this.crashes[e] = driver.crash === null ? null : driver.crash.error.message;
    this.admit(step, pending);
  }

  /** Add an event of which everything but its place in the order is noted already. */
  admit(step: Step, pending: Branch[]): void {
    const { order, steps } = this;
    const e = steps.length;
    const { pid, accesses } = step;
    if (pid === CLOCK) {
      order.tick();
    } else {
      const waker = this.#wakers[pid] ?? -1;
      order.add(pid, accesses, waker > order.latest(pid) ? waker : -1);
    }
    for (const woken of this.woken[e]) this.#wakers[woken] = e;
    for (const spawned of this.spawned[e]) order.spawned(spawned, e);
    steps.push(step);
    this.#noteReversals(e);
    this.done[e].push(step);
    this.entered[e]++;
    this.done[e + 1] = asleepAfter(step, this.done[e], this.done[e + 1]);
    this.barred[e + 1] = asleepAfter(step, this.barred[e], this.barred[e + 1]);
    this.pending[e + 1] = pending;
    this.entered[e + 1] = 0;
  }

  /** Has the step that a task would make, when nothing special happens, been explored from the last point? */
  isAsleep(pid: number): boolean {
    const e = this.steps.length;
    return includes(this.done[e], pid) || includes(this.barred[e], pid);
  }

  /** Is it left to somebody else to explore the step that a task would make? */
  isBarred(pid: number): boolean {
    return includes(this.barred[this.steps.length], pid);
  }

  /** Events that come right after the last one, for certain: explore an execution for each of these tasks. */
  widen(e: number, pids: Iterable<number>, accesses: Accesses): void {
    for (const pid of pids) {
      if (includes(this.done[e], pid) || includes(this.barred[e], pid)) continue;
      this.#scratch[0] = foreseen(pid, accesses);
      insert(this.pending[e], this.#scratch, 1);
    }
  }

  /**
   * Look at every reversal in this execution, of which the events from number `fresh` on are new, and put
   * down what is to be explored because of them; nothing before event `root`.
   */
  reverse(fresh: number, root: number): void {
    for (let e = root; e < this.steps.length; e++) {
      for (const reversal of this.#reversals[e]) {
        const { first, last, choice, witness } = reversal;
        if (first < root) continue;
        if (e < fresh && witness !== null && this.#holds(witness, first, fresh)) continue;
        if (choice !== null && this.#spent(choice, last.settled - 1, first) >= (this.#budgets.get(choice) ?? 0)) continue;
        reversal.witness = this.#consider(first, last);
      }
    }
  }

  /** A task that waits for a lock races with those that took it, although it never got to take it. */
  foresee(pid: number, lock: number, root: number): void {
    const { races } = this.order;
    this.order.foresee(pid, lock);
    for (let i = 0; i < races.length; i += 2) {
      if (races[i] >= root) this.#consider(races[i], foreseen(pid, [lock, TAKE]));
    }
  }

  #noteReversals(e: number): void {
    this.#reversals[e] ??= [];
    const reversals = this.#reversals[e];
    const { races } = this.order;
    const step = this.steps[e];
    reversals.length = 0;
    if (step.pid === CLOCK) return;
    for (let i = 0; i < races.length; i += 2) {
      reversals.push({ first: races[i], last: this.#upTo(e, races[i + 1]), choice: null, witness: null });
    }
    if (this.points[e] !== null) this.#vary(e, this.points[e], reversals);
  }

  /** An event as far as it is sure to go the same way when it comes before the one that it races with. */
  #upTo(e: number, position: number): Step {
    const step = this.steps[e];
    const points = this.points[e];
    if (position + 2 === step.accesses.length && points === null) return step;
    const settled = points?.filter((point) => point.position <= position).length ?? 0;
    return foreseen(step.pid, step.accesses.slice(0, position + 2), step.choices.slice(0, settled), settled);
  }

  /** The other ways in which the choices of an event could have gone. */
  #vary(e: number, points: readonly Point[], reversals: Reversal[]): void {
    const { pid, accesses } = this.steps[e];
    const choices = points.map(({ picked }) => picked);
    for (const [i, { choice, count, picked, position }] of points.entries()) {
      for (let other = 0; other < count; other++) {
        if (other === picked) continue;
        const last = foreseen(pid, accesses.slice(0, position), [...choices.slice(0, i), other], i + 1);
        reversals.push({ first: e, last, choice: other === 0 ? null : choice, witness: null });
      }
    }
  }

  /** Can an execution that reverses something still begin with `witness`, given what is new in this one? */
  #holds(witness: Step, first: number, fresh: number): boolean {
    const { steps, order } = this;
    for (let e = fresh; e < steps.length; e++) {
      const step = steps[e];
      if (order.ordered(first, e)) continue;
      if (step.pid === witness.pid || conflict(step.accesses, witness.accesses)) return false;
    }
    return true;
  }

  /**
   * Should an execution be explored in which `last` comes before event `first` and all that depends on it?
   *
   * Returns: a step that such an execution could begin with, if one was explored; null if it is now put down.
   */
  #consider(first: number, last: Step): Step | null {
    const { steps, order } = this;
    const sequence = this.#scratch;
    let length = 0;
    for (let e = first + 1; e < steps.length; e++) {
      if (!order.ordered(first, e)) sequence[length++] = steps[e];
    }
    sequence[length++] = last;
    for (const step of this.done[first]) {
      if (step !== steps[first] && weakInitial(step, sequence, length) >= 0) return step;
    }
    insert(this.pending[first], sequence, length);
    return null;
  }

  /** How often a choice turned out other than 0 in what stays when choice i of event `changed` is changed. */
  #spent(choice: string, i: number, changed: number): number {
    let spent = 0;
    for (let e = 0; e < this.steps.length; e++) {
      const points = this.points[e];
      if (points === null || (e > changed && this.order.ordered(changed, e))) continue;
      for (const [j, point] of points.entries()) {
        if (e === changed && j >= i) break;
        if (point.choice === choice && point.picked !== 0) spent++;
      }
    }
    return spent;
  }
}

function includes(steps: readonly Step[], pid: number): boolean {
  for (const step of steps) if (step.pid === pid && step.choices.length === 0) return true;
  return false;
}

/** Which of these steps still sleep after `step`, written over `asleep` when that is there. */
function asleepAfter(step: Step, steps: readonly Step[], asleep: Step[] = []): Step[] {
  asleep.length = 0;
  for (const other of steps) {
    if (other.pid !== step.pid && !conflict(other.accesses, step.accesses)) asleep.push(other);
  }
  return asleep;
}
