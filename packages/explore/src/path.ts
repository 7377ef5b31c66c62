// The execution that is being explored, event by event, with what the search knows at each point of it: what
// was explored from there, what sleeps, what is still to be explored, and what could be reversed.

import { conflict, TAKE } from "./access.ts";
import type { Driver, Point } from "./driver.ts";
import { crashFault, type Event, type Fault } from "./finding.ts";
import { CLOCK, HappensBefore } from "./happens-before.ts";
import type { Budgets } from "./program.ts";
import { ALL, foreseen, isSameStep, NONE, type Step, trimmed, weakInitial } from "./step.ts";
import { type Branch, insert } from "./wakeup-tree.ts";

/** An execution to be explored from the point before event `at`, which somebody else has in hand. */
export interface Escape {
  readonly at: number;
  readonly sequence: readonly Step[];
}

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
  /** The bug or livelock that it ran into. */
  readonly crashes: (Fault | null)[] = [];

  // By event number: the search, at the point before the event.
  /** What was explored from there, the event itself included, or is known to repeat what was. */
  readonly done: Step[][] = [[]];
  /** What somebody else explores: not to be entered, but no reason to leave anything else out. */
  readonly barred: Step[][] = [[]];
  /** What is still to be explored. */
  readonly pending: Branch[][] = [[]];
  /** How many branches were entered. */
  readonly entered: number[] = [0];
  /** Is everything that any task could do next to be explored, whether or not there is a reason to? */
  readonly wide: boolean[] = [false];
  /** Tasks whose next step is barred but was looked at. */
  readonly probed: number[][] = [[]];

  /** Points before this event are not ours to explore. */
  root = 0;
  /** What is to be explored from points that are not ours; null when that is known to be taken care of. */
  escapes: Escape[] | null = null;

  readonly #reversals: Reversal[][] = [];
  readonly #budgets: Budgets;
  /** Pid -> the event that let it go on, other than by releasing a lock. */
  readonly #wakers: number[] = [];
  readonly #scratch: Step[] = [];
  readonly #escaped = new Set<string>();

  constructor(budgets: Budgets) {
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
    const step: Step = { pid, accesses: driver.accesses.slice(), choices, settled: ALL, asked: points !== null };
    this.runs[e] = driver.steps.length === 1 ? null : driver.steps.slice();
    driver.steps.length = 0;
    this.points[e] = points;
    this.woken[e] = driver.woken.length === 0 ? NOBODY : driver.woken.slice();
    this.spawned[e] = driver.spawned.length === 0 ? NOBODY : driver.spawned.slice();
    this.crashes[e] = driver.crash === null ? null : crashFault(driver.crash);
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
    this.wide[e + 1] = false;
    this.probed[e + 1] = [];
  }

  /** Was this step explored from the last point? */
  isDone(step: Event): boolean {
    return includes(this.done[this.steps.length], step);
  }

  /** Take back the last event, which was only a look at what is barred; look at the next one later. */
  takeBack(): void {
    const e = this.steps.length - 1;
    this.done[e].pop();
    this.probed[e].push(this.steps[e].pid);
    this.wide[e] = true;
    this.truncate(e);
  }

  /** A task that was asked something in the step that is barred now; 0 when there is none left to look at. */
  toProbe(able: readonly number[]): number {
    const e = this.steps.length;
    const isNext = ({ pid, choices, asked }: Step): boolean =>
      asked && choices.length === 0 && able[pid] === 1 && !this.probed[e].includes(pid);
    return this.barred[e].find(isNext)?.pid ?? 0;
  }

  /** Is it left to somebody else to explore this step? */
  isBarred(step: Event): boolean {
    return includes(this.barred[this.steps.length], step);
  }

  /**
   * Look at every reversal in this execution, of which the events from number `fresh` on are new, and put
   * down what is to be explored because of them.
   */
  reverse(fresh: number): void {
    const ours = this.escapes === null ? this.root : 0;
    for (let e = ours; e < this.steps.length; e++) {
      for (const reversal of this.#reversals[e]) {
        const { first, last, choice, witness } = reversal;
        if (first < ours) continue;
        if (e < fresh && witness !== null && this.#holds(witness, first, fresh)) continue;
        if (choice !== null && !this.#affords(choice, last.settled - 1, first)) continue;
        reversal.witness = this.#consider(first, last);
      }
    }
  }

  /** A task that waits for a lock races with those that took it, although it never got to take it. */
  foresee(pid: number, lock: number): void {
    const { races } = this.order;
    this.order.foresee(pid, lock);
    for (let i = 0; i < races.length; i += 2) {
      if (races[i] >= this.root || this.escapes !== null) this.#consider(races[i], foreseen(pid, [lock, TAKE]));
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
    for (const barred of this.barred[first]) {
      length = without(barred, sequence, length);
      if (length === 0) return null;
    }
    for (const step of this.done[first]) {
      if (step !== steps[first] && weakInitial(step, sequence, length) >= 0) return step;
    }
    if (first >= this.root) insert(this.pending[first], sequence, length);
    else if (this.escapes !== null) this.#let(first, sequence.slice(0, length), this.escapes);
    return null;
  }

  /** Let go of what is to be explored from somebody else's point, once. */
  #let(at: number, sequence: readonly Step[], escapes: Escape[]): void {
    const key = `${at}: ${sequence.map(({ pid, choices }) => `${pid} ${choices}`).join(", ")}`;
    if (this.#escaped.has(key)) return;
    this.#escaped.add(key);
    escapes.push({ at, sequence });
  }

  /** May choice i of event `changed` turn out other than 0, given what else stays in that execution? */
  #affords(choice: string, i: number, changed: number): boolean {
    let spent = 0;
    let failures = 0;
    for (let e = 0; e < this.steps.length; e++) {
      const points = this.points[e];
      if (points === null || (e > changed && this.order.ordered(changed, e))) continue;
      for (const [j, point] of points.entries()) {
        if (e === changed && j >= i) break;
        if (point.picked === 0) continue;
        failures++;
        if (point.choice === choice) spent++;
      }
    }
    const { environment, failures: most = Number.POSITIVE_INFINITY } = this.#budgets;
    return spent < (environment[choice] ?? 0) && failures < most;
  }
}

function includes(steps: readonly Step[], step: Event): boolean {
  for (const each of steps) if (isSameStep(each, step)) return true;
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

/**
 * Leave out of a sequence a step that somebody else begins with, and what depends on it.
 *
 * Returns: how long the sequence is now; 0 when its last step would go.
 */
export function without(barred: Step, sequence: Step[], length: number): number {
  const position = weakInitial(barred, sequence, length);
  if (position < 0 || position === length) return length;
  const gone = [sequence[position]];
  let kept = position;
  for (let i = position + 1; i < length; i++) {
    const step = sequence[i];
    if (gone.some((other) => other.pid === step.pid || conflict(other.accesses, step.accesses))) gone.push(step);
    else sequence[kept++] = step;
  }
  return gone[gone.length - 1] === sequence[length - 1] || kept === 0 ? 0 : kept;
}
