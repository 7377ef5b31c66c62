// The execution that is being explored, event by event, with what the search knows at each point of it: what
// was explored from there, what sleeps, what is still to be explored, and what could be reversed.

import { TAKE } from "./access.ts";
import type { EventName, Order } from "./cut.ts";
import type { Driver, Point } from "./driver.ts";
import { crashFault, type Fault } from "./finding.ts";
import { CLOCK, clear, HappensBefore } from "./happens-before.ts";
import type { Budgets } from "./program.ts";
import { Purse } from "./purse.ts";
import { executed, foreseen, isSameStep, type Step, stepsConflict, unforeseen, weakInitial } from "./step.ts";
import { type Branch, insert } from "./wakeup-tree.ts";

/** `last` could come before event `first` and all that depends on it. */
interface Reversal {
  readonly first: number;
  readonly last: Step;
  /** Does the environment choose something else than 0 in `last` that it did not choose before? */
  readonly isFailure: boolean;
  /** A step that was explored from there and that such an execution could begin with, as long as it can. */
  witness: Step | null;
}

/** What a re-execution and a report need to know of an event, beside its step. */
export interface Details {
  /** The steps to run, when it is not just one of its task. */
  readonly run: readonly number[] | null;
  readonly points: readonly Point[];
  /** Tasks that it let go on, other than by releasing a lock. */
  readonly woken: readonly number[];
  readonly spawned: readonly number[];
  /** The bug or livelock that it ran into. */
  readonly crash: Fault | null;
}

/** Most events are one step of one task and nothing else. */
const PLAIN: Details = { run: null, points: [], woken: [], spawned: [], crash: null };

/** Of the driver's latest event. Its lists are kept only when they are not empty: the driver uses those again. */
function detailsOf({ points, woken, spawned, crash }: Driver, run: readonly number[] | null): Details {
  return {
    run,
    points: points.length === 0 ? PLAIN.points : points,
    woken: woken.length === 0 ? PLAIN.woken : woken,
    spawned: spawned.length === 0 ? PLAIN.spawned : spawned,
    crash: crash === null ? null : crashFault(crash),
  };
}

export class Path {
  readonly order: HappensBefore = new HappensBefore();
  readonly steps: Step[] = [];

  /** By event number. */
  readonly details: Details[] = [];

  // By event number: the search, at the point before the event.
  /** What was explored from there, the event itself included, or is known to repeat what was. */
  readonly done: Step[][] = [[]];
  /** What is still to be explored; null for nothing. */
  readonly pending: (Branch[] | null)[] = [null];
  /** How many branches were entered. */
  readonly entered: number[] = [0];

  /** Points before this event are not to be explored. */
  readonly root: number;
  readonly #orders: readonly Order[];
  readonly #reversals: Reversal[][] = [];
  readonly #purse: Purse;
  /** Pid -> the event that let it go on, other than by releasing a lock. */
  readonly #wakers: number[] = [];
  /** Long enough that it seldom grows, which the host's optimized code does not like. */
  readonly #scratch: Step[] = Array.from({ length: 256 }, () => unforeseen(CLOCK));

  constructor(budgets: Budgets, root: number, orders: readonly Order[]) {
    this.#purse = new Purse(budgets);
    this.root = root;
    this.#orders = orders;
  }

  /** Drop events from number `length` on. */
  truncate(length: number): void {
    while (this.steps.length > length) this.steps.pop();
    this.order.truncate(length);
    if (this.#wakers.length === 0) return;
    this.#wakers.length = 0;
    for (let e = 0; e < length; e++) for (const pid of this.details[e].woken) this.#noteWaker(pid, e);
  }

  /** Add what the driver's latest event did. `pending`: what is to be explored after it. */
  append(driver: Driver, pid: number, pending: Branch[] | null): void {
    const { points, woken, spawned, crash } = driver;
    const steps = driver.takeSteps();
    // Time that passes is no step of a task.
    const run = steps.length === 1 && pid !== CLOCK ? null : steps;
    const isPlain = run === null && points.length + woken.length + spawned.length === 0 && crash === null;
    const details = isPlain ? PLAIN : detailsOf(driver, run);
    this.admit(executed(pid, driver.accesses, points), details, pending);
  }

  /** Add an event. */
  admit(step: Step, details: Details, pending: Branch[] | null): void {
    const { order, steps } = this;
    const e = steps.length;
    const { pid, accesses } = step;
    if (pid === CLOCK) {
      order.tick();
    } else {
      const waker = pid < this.#wakers.length ? this.#wakers[pid] : -1;
      order.add(pid, accesses, waker > order.latest(pid) ? waker : -1, this.#heldUntil(pid));
    }
    this.details[e] = details;
    if (details !== PLAIN) {
      for (const woken of details.woken) this.#noteWaker(woken, e);
      for (const spawned of details.spawned) order.spawned(spawned, e);
    }
    steps.push(step);
    this.#noteReversals(e);
    const done = this.done[e];
    done.push(step);
    this.entered[e]++;
    if (this.done.length <= e + 1) this.done.push([]);
    const asleep = this.done[e + 1];
    clear(asleep);
    // The step itself is the last of them.
    for (let i = 0; i < done.length - 1; i++) {
      const other = done[i];
      if (other.pid !== pid && !stepsConflict(other, step)) asleep.push(other);
    }
    this.pending[e + 1] = pending;
    this.entered[e + 1] = 0;
  }

  /** Was the step that a task would make, when nothing special happens, explored from the last point? */
  isDone(pid: number): boolean {
    const done = this.done[this.steps.length];
    for (let i = 0; i < done.length; i++) if (done[i].pid === pid && done[i].isPlain) return true;
    return false;
  }

  /** Explore also what begins with this step from the point before event e. */
  add(e: number, step: Step): void {
    const isKnown = (done: Step): boolean => done !== this.steps[e] && isSameStep(done, step);
    if (this.done[e].some(isKnown)) return;
    this.#scratch[0] = step;
    this.#insert(e, 1);
  }

  /** Must the next event of a task wait for another one, for this part of the search? */
  isHeld(pid: number): boolean {
    if (this.#orders.length === 0) return false;
    const nth = this.#count(pid) + 1;
    return this.#orders.some(({ first, second }) => second.pid === pid && second.nth === nth && !this.happened(first));
  }

  happened({ pid, nth }: EventName): boolean {
    return this.#count(pid) >= nth;
  }

  /** Pairs of events that race. */
  get races(): { readonly first: number; readonly second: number }[] {
    return this.#reversals
      .slice(0, this.steps.length)
      .flatMap((reversals, second) => reversals.map(({ first }) => ({ first, second })))
      .filter(({ first, second }) => first !== second);
  }

  /**
   * Look at every reversal in this execution, of which the events from number `fresh` on are new, and put
   * down what is to be explored because of them.
   */
  reverse(fresh: number): void {
    const { length } = this.steps;
    for (let e = this.root; e < length; e++) {
      const reversals = this.#reversals[e];
      for (let i = 0; i < reversals.length; i++) {
        const reversal = reversals[i];
        const { first, last, isFailure, witness } = reversal;
        if (first < this.root) continue;
        if (e < fresh && witness !== null && this.#holds(witness, first, fresh)) continue;
        reversal.witness = this.#consider(first, last, isFailure);
      }
    }
  }

  /** A task that waits for a lock races with those that took it, although it never got to take it. */
  foresee(pid: number, lock: number): void {
    const { races } = this.order;
    this.order.foresee(pid, lock);
    for (let i = 0; i < races.length; i += 2) {
      if (races[i] >= this.root) this.#consider(races[i], foreseen(pid, [lock, TAKE]), false);
    }
  }

  #noteWaker(pid: number, e: number): void {
    while (this.#wakers.length <= pid) this.#wakers.push(-1);
    this.#wakers[pid] = e;
  }

  /** How many events a task has had. */
  #count(pid: number): number {
    const latest = this.order.latest(pid);
    return latest < 0 ? 0 : this.order.ordinal(latest);
  }

  /** The event that the next event of a task had to wait for; -1 for none. */
  #heldUntil(pid: number): number {
    if (this.#orders.length === 0) return -1;
    const nth = this.#count(pid) + 1;
    const awaited = this.#orders.filter(({ second }) => second.pid === pid && second.nth === nth);
    return Math.max(-1, ...awaited.map(({ first }) => this.steps.findIndex((_, e) => this.#isNamed(e, first))));
  }

  #isNamed(e: number, { pid, nth }: EventName): boolean {
    return this.steps[e].pid === pid && this.order.ordinal(e) === nth;
  }

  #noteReversals(e: number): void {
    if (this.#reversals.length <= e) this.#reversals.push([]);
    const reversals = this.#reversals[e];
    clear(reversals);
    if (this.steps[e].pid === CLOCK) return;
    const { races } = this.order;
    for (let i = 0; i < races.length; i += 2) {
      reversals.push({ first: races[i], last: this.#upTo(e, races[i + 1]), isFailure: false, witness: null });
    }
    const { points } = this.details[e];
    if (points.length > 0) this.#vary(e, points, reversals);
  }

  /** An event as far as it is sure to go the same way when it comes before the one that it races with. */
  #upTo(e: number, position: number): Step {
    const step = this.steps[e];
    const { points } = this.details[e];
    if (position + 2 === step.accesses.length && points.length === 0) return step;
    const before = points.filter((point) => point.position <= position);
    return foreseen(step.pid, step.accesses.slice(0, position + 2), before);
  }

  /** The other ways in which the choices of an event could have gone. */
  #vary(e: number, points: readonly Point[], reversals: Reversal[]): void {
    const { pid, accesses } = this.steps[e];
    for (const [i, { choice, count, picked, least, position }] of points.entries()) {
      for (let other = least; other < count; other++) {
        if (other === picked) continue;
        const picks = [...points.slice(0, i), { choice, picked: other, least }];
        const last = foreseen(pid, accesses.slice(0, position), picks);
        reversals.push({ first: e, last, isFailure: other !== 0 && least === 0, witness: null });
      }
    }
  }

  /** Can an execution that reverses something still begin with `witness`, given what is new in this one? */
  #holds(witness: Step, first: number, fresh: number): boolean {
    if (witness.spends.length > 0) return false;
    const sequence = this.#scratch;
    const length = this.order.copyUnordered(first, fresh, this.steps, sequence);
    for (let i = 0; i < length; i++) {
      if (sequence[i].pid === witness.pid || stepsConflict(sequence[i], witness)) return false;
    }
    return true;
  }

  /**
   * Should an execution be explored in which `last` comes before event `first` and all that depends on it?
   *
   * Returns: a step that such an execution could begin with, if one was explored; null if it is now put down, or
   * beyond the budgets.
   */
  #consider(first: number, last: Step, isFailure: boolean): Step | null {
    const sequence = this.#scratch;
    let length = this.order.copyUnordered(first, first + 1, this.steps, sequence);
    sequence[length++] = last;
    if (isFailure && !this.#affords(first, length)) return null;
    const done = this.done[first];
    // The last of them is event `first` itself.
    for (let i = 0; i < done.length - 1; i++) {
      const position = weakInitial(done[i], sequence, 0, length);
      if (position >= 0 && this.#affords(first, length, done[i], position)) return done[i];
    }
    this.#insert(first, length);
    return null;
  }

  /** Put down to be explored what is in the scratch list. */
  #insert(e: number, length: number): void {
    const pending = this.pending[e] ?? [];
    this.pending[e] = pending;
    this.#pay(e, length);
    insert(pending, this.#scratch, length, this.#purse);
  }

  /** Do the budgets suffice for what is in the scratch list, and for this step in place of the one at `position`? */
  #affords(e: number, length: number, step: Step | null = null, position: number = length): boolean {
    if (step !== null && step.spends.length === 0) return true;
    this.#pay(e, length);
    if (step !== null) this.#purse.pay(step);
    if (position < length) this.#purse.refund(this.#scratch[position]);
    return this.#purse.isEnough;
  }

  /** Pay for the events before number e, and for the scratch list. */
  #pay(e: number, length: number): void {
    if (!this.#purse.canSpend) return;
    this.#purse.clear();
    for (let i = 0; i < e; i++) this.#purse.pay(this.steps[i]);
    for (let i = 0; i < length; i++) this.#purse.pay(this.#scratch[i]);
  }
}
