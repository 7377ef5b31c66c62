// Every schedule, one by one, with no reduction: the yardstick that the explorer is measured by. And, with a
// bound on preemptions or delays, every schedule within the bound.
//
// A preemption is a switch away from a task that could have gone on. A delay passes over the next task in
// line, which is the one that ran last and then the others by pid. With a bound, a point that was reached
// before by an equivalent path, with the same task running and at most as much spent, is not entered again;
// the traces are told apart by their fingerprints.

import { Driver, type DriverOptions, type Point } from "./driver.ts";
import { Fingerprint } from "./fingerprint.ts";
import { CLOCK } from "./happens-before.ts";
import type { Budgets, Program } from "./program.ts";
import { executed, NONE, type Step } from "./step.ts";

export interface EnumeratorOptions extends DriverOptions {
  /** Preemptions in one execution, at most. */
  readonly preemptions?: number;
  /** Delays in one execution, at most. */
  readonly delays?: number;
  /** Enter points again that were reached before: to see that not doing so loses nothing. */
  readonly forgets?: boolean;
}

/** What could be done at one point: run this task, with these choices of the environment. */
interface Alternative {
  readonly pid: number;
  readonly choices: readonly number[];
  /** Preemptions or delays spent, this one included. */
  readonly spent: number;
}

/** How an execution without reduction ended; "known" is one that led to a point reached before. */
export type EnumeratedEnding = "completed" | "deadlock" | "crashed" | "limit" | "known";

export class Enumerator {
  readonly driver: Driver;
  /** The events of the current execution. */
  readonly steps: Step[] = [];
  /** Executions run to their end. */
  executions = 0;
  ending: EnumeratedEnding = "known";
  /** Of the trace of the current execution. */
  fingerprint = 0;
  readonly #bound: number;
  readonly #delays: boolean;
  readonly #remembers: boolean;
  readonly #budgets: Budgets;
  /** By event: the choices that the environment made. */
  readonly points: (readonly Point[])[] = [];
  /** By depth: what is left to try; the first one is being tried. */
  readonly #stack: Alternative[][] = [];
  /** Fingerprint of a beginning -> task that ran last and tasks that can go on -> least spent. */
  readonly #reached = new Map<number, Map<string, number>>();

  constructor(program: Program, options: EnumeratorOptions = {}) {
    this.driver = new Driver(program, options);
    this.#budgets = { environment: program.environment ?? {}, ...options };
    this.#delays = options.delays !== undefined;
    this.#remembers = (this.#delays || options.preemptions !== undefined) && options.forgets !== true;
    this.#bound = options.delays ?? options.preemptions ?? Number.POSITIVE_INFINITY;
  }

  /** How much of the search is done, from 0 to 1, as far as can be told: all alternatives count the same. */
  get progress(): number {
    let share = 1;
    let left = 0;
    for (const alternatives of this.#stack) {
      share /= alternatives.length;
      left += share * (alternatives.length - 1);
    }
    return 1 - left;
  }

  /** Run the next execution. Returns: false when there is none. */
  next(): boolean {
    const stack = this.#stack;
    if (this.executions > 0 || stack.length > 0) {
      while (stack.length > 0 && stack[stack.length - 1].length <= 1) stack.pop();
      if (stack.length === 0) return false;
      stack[stack.length - 1].shift();
    }
    this.ending = this.#execute();
    this.executions++;
    return true;
  }

  #execute(): EnumeratedEnding {
    const { driver, steps } = this;
    const stack = this.#stack;
    const print = new Fingerprint();
    const known = stack.length;
    steps.length = 0;
    this.points.length = 0;
    driver.begin();
    let last = 0;
    let spent = 0;
    for (let depth = 0; ; ) {
      if (driver.exhausted) return this.#end(print, "limit");
      if (!driver.able.includes(1)) {
        if (driver.crashes.length > 0) return this.#end(print, "crashed");
        if (driver.completed) return this.#end(print, "completed");
        if (!driver.tick()) return this.#end(print, "deadlock");
        this.#append(print, CLOCK);
        continue;
      }
      if (depth === stack.length) stack.push(this.#alternatives(last, spent));
      const alternative = this.#perform(stack[depth]);
      if (alternative === null) {
        // Nobody did anything that others could notice: look again who can go on.
        stack.length = depth;
        continue;
      }
      last = alternative.pid;
      spent = alternative.spent;
      const isNew = depth >= known - 1;
      this.#append(print, last);
      if (isNew) this.#vary(stack[depth], alternative);
      depth++;
      if (this.#remembers && isNew && this.#wasReached(print.value, last, spent)) return this.#end(print, "known");
    }
  }

  #end(print: Fingerprint, ending: EnumeratedEnding): EnumeratedEnding {
    this.fingerprint = print.value;
    return ending;
  }

  /** Note what the driver's latest event did. */
  #append(print: Fingerprint, pid: number): void {
    const { accesses, points } = this.driver;
    const step = executed(pid, accesses, points);
    this.points.push(points.slice());
    this.steps.push(step);
    print.add(step);
  }

  /** Run the first alternative that leads to an event, dropping those that do not. */
  #perform(alternatives: Alternative[]): Alternative | null {
    for (; alternatives.length > 0; alternatives.shift()) {
      const [first] = alternatives;
      if (this.driver.able[first.pid] === 1 && this.driver.perform(first.pid, first.choices)) return first;
    }
    return null;
  }

  /** Who can go on within the bound, the task that ran last first. */
  #alternatives(last: number, spent: number): Alternative[] {
    const { able } = this.driver;
    const line: number[] = [];
    if (able[last] === 1) line.push(last);
    for (let pid = 1; pid < able.length; pid++) if (able[pid] === 1 && pid !== last) line.push(pid);
    return line
      .map((pid, i) => ({ pid, choices: NONE, spent: spent + this.#cost(i, line[0] === last) }))
      .filter((alternative) => alternative.spent <= this.#bound);
  }

  #cost(i: number, lastCanGoOn: boolean): number {
    if (this.#delays) return i;
    return lastCanGoOn && i > 0 ? 1 : 0;
  }

  /** Other ways in which the choices that just came up could have gone. */
  #vary(alternatives: Alternative[], { pid, choices, spent }: Alternative): void {
    const { points } = this.driver;
    const picked = points.map((point) => point.picked);
    for (const [i, { choice, count }] of points.entries()) {
      if (i < choices.length || !this.#affords(choice)) continue;
      for (let other = 1; other < count; other++) {
        alternatives.push({ pid, choices: [...picked.slice(0, i), other], spent });
      }
    }
  }

  /** May this choice turn out other than 0 once more in this execution, the event in progress included? */
  #affords(choice: string): boolean {
    const { environment, failures = Number.POSITIVE_INFINITY } = this.#budgets;
    const spent = this.points.flat().filter(({ picked }) => picked !== 0);
    return (
      spent.length < failures && spent.filter((point) => point.choice === choice).length < (environment[choice] ?? 0)
    );
  }

  #wasReached(print: number, last: number, spent: number): boolean {
    let byTask = this.#reached.get(print);
    if (byTask === undefined) {
      byTask = new Map();
      this.#reached.set(print, byTask);
    }
    // Tasks that found out that they have to wait cannot go on; before they did, they could.
    const tasks = `${last}: ${this.driver.able.join("")}`;
    const least = byTask.get(tasks);
    if (least !== undefined && least <= spent) return true;
    byTask.set(tasks, spent);
    return false;
  }
}
