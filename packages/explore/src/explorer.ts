// Optimal dynamic partial-order reduction: one execution of each Mazurkiewicz trace, none in vain (Abdulla,
// Aronis, Jonsson, Sagonas, POPL 2014 and JACM 2017).
//
// The search is depth-first over a tree of executions, by re-execution. At the end of each execution every
// race in it is looked at: could its second event come first, and would that be new? If so, the beginning
// of such an execution goes into the wakeup tree at the point before the first event.
//
// What goes beyond the paper: locks that tasks wait for at the end race, too, with the step that a task in
// a deadlock never got to make; choices of the environment are reversed like a race with nobody; and the
// second event of a race is only foreseen up to the access that races, because what a step does after it may
// depend on what it sees there. When it then does more than was foreseen, and something was left out because
// of it, everybody is tried at that point.

import type { Accesses } from "./access.ts";
import { Driver, type DriverOptions } from "./driver.ts";
import { CLOCK } from "./happens-before.ts";
import { Path } from "./path.ts";
import type { Program } from "./program.ts";
import { foreseen, NONE, type Step } from "./step.ts";
import { advance, type Branch, disappoints, knownStart } from "./wakeup-tree.ts";

/** How one execution ended. "blocked": it turned out to repeat others and was given up. */
export type Ending = "completed" | "deadlock" | "crashed" | "limit" | "blocked";

export interface Counts {
  /** Executions that ended, however they did. */
  executions: number;
  /** Executions that repeated others and were given up. */
  blocked: number;
  /** Executions that were given up because somebody else explores them. */
  barred: number;
  deadlocks: number;
  /** Events that did not come about as foreseen: the program does not declare all that it shares. */
  surprises: number;
  /** Events of the longest execution. */
  depth: number;
}

/** A part of the search: what begins with `prefix`, without what begins with one of `barred` after that. */
export interface Part {
  readonly prefix: readonly Pick<Step, "pid" | "choices">[];
  readonly barred: readonly Step[];
}

/** Called at the end of every execution that counts. */
export type Witness = (explorer: Explorer, ending: Ending) => void;

/** Accesses of a step of which nothing is foreseen, not even that there is one. */
const UNKNOWN: Accesses = [];

const WHOLE: Part = { prefix: [], barred: [] };

export class Explorer {
  readonly driver: Driver;
  readonly path: Path;
  readonly counts: Counts = { executions: 0, blocked: 0, barred: 0, deadlocks: 0, surprises: 0, depth: 0 };
  readonly part: Part;
  readonly #witness: Witness;
  #last = 0;
  #started = false;

  constructor(program: Program, witness: Witness, options: DriverOptions = {}, part: Part = WHOLE) {
    this.driver = new Driver(program, options);
    this.path = new Path(new Map(Object.entries(program.environment ?? {})));
    this.part = part;
    this.#witness = witness;
    const steps = part.prefix.map(({ pid, choices }) => foreseen(pid, UNKNOWN, choices));
    if (steps.length > 0) this.path.pending[0].push({ steps, start: 0, end: steps.length, children: [], relied: null });
    else this.path.barred[0].push(...part.barred);
  }

  /** Go on for as many executions. Returns: is there anything left to explore? */
  run(executions: number): boolean {
    for (let i = 0; i < executions; i++) {
      if (this.#started && !this.#backtrack()) return false;
      this.#started = true;
      this.#execute();
    }
    return true;
  }

  /** Drop events up to the last point from which something is left to explore. */
  #backtrack(): boolean {
    const { path, part } = this;
    let depth = path.steps.length;
    while (depth >= part.prefix.length && path.pending[depth].length === 0) depth--;
    if (depth < part.prefix.length) return false;
    path.truncate(depth);
    return true;
  }

  #execute(): void {
    const { path, counts, part } = this;
    const fresh = path.steps.length;
    this.#rerun();
    let ending: Ending | null = null;
    while (ending === null) ending = this.#advance();
    const depth = path.steps.length;
    if (depth > counts.depth) counts.depth = depth;
    if (ending !== "blocked") {
      counts.executions++;
      if (ending === "deadlock") counts.deadlocks++;
      this.#witness(this, ending);
    } else if (this.#isAnyoneBarred()) {
      counts.barred++;
    } else {
      counts.blocked++;
    }
    this.#foreseeBlocked();
    path.reverse(fresh, part.prefix.length);
  }

  /** Start the program and repeat the events that stay. */
  #rerun(): void {
    const { driver, path } = this;
    const { steps } = path;
    driver.begin();
    if (steps.length === 0) for (const pid of driver.spawned) path.order.spawned(pid, -1);
    for (let e = 0; e < steps.length; e++) driver.repeat(steps[e].pid, path.runs[e], steps[e].choices);
    driver.resumeWatch();
    this.#last = steps.length > 0 ? steps[steps.length - 1].pid : 0;
  }

  /** Add one event. Returns: how the execution ended, when it did. */
  #advance(): Ending | null {
    const { driver, path } = this;
    if (driver.exhausted) return "limit";
    const branch = path.pending[path.steps.length].shift();
    if (branch !== undefined && this.#follow(branch)) return null;
    for (let pid = this.#choose(); pid !== 0; pid = this.#choose()) {
      if (driver.perform(pid, NONE)) {
        this.#append(pid, []);
        return null;
      }
      if (driver.exhausted) return "limit";
    }
    if (driver.able.includes(1)) return "blocked";
    if (driver.crashes.length > 0) return "crashed";
    if (driver.completed) return "completed";
    return this.#tick() ? null : "deadlock";
  }

  /** Execute the first step of a branch. Returns: false when it is not there. */
  #follow(branch: Branch): boolean {
    const { driver, path, part } = this;
    const e = path.steps.length;
    const step = branch.steps[branch.start];
    const isForeseen = knownStart(branch) === null;
    const able = isForeseen && branch.relied !== null ? driver.able.slice() : null;
    if (driver.able[step.pid] !== 1 || !driver.perform(step.pid, step.choices)) {
      if (step.accesses !== UNKNOWN) this.counts.surprises++;
      return false;
    }
    this.#append(step.pid, advance(branch));
    if (able !== null && disappoints(branch, path.steps[e].accesses)) {
      path.widen(e, [...able.keys()].filter((pid) => able[pid] === 1), UNKNOWN);
    }
    if (path.steps.length === part.prefix.length) path.barred[e + 1].push(...part.barred);
    return true;
  }

  #append(pid: number, pending: Branch[]): void {
    this.path.append(this.driver, pid, pending);
    this.#last = pid;
  }

  /** Who goes next when nothing is prescribed: the task that ran last, or the first that can; 0 for nobody. */
  #choose(): number {
    const { able } = this.driver;
    const { path } = this;
    if (able[this.#last] === 1 && !path.isAsleep(this.#last)) return this.#last;
    for (let pid = 1; pid < able.length; pid++) if (able[pid] === 1 && !path.isAsleep(pid)) return pid;
    return 0;
  }

  #isAnyoneBarred(): boolean {
    return this.driver.able.some((able, pid) => able === 1 && this.path.isBarred(pid));
  }

  /** Time passes, if anything is due. */
  #tick(): boolean {
    this.#foreseeBlocked();
    if (!this.driver.tick()) return false;
    this.#append(CLOCK, []);
    return true;
  }

  /** What tasks that wait for a lock would do next, if they could. */
  #foreseeBlocked(): void {
    const { driver, path, part } = this;
    for (let pid = 1; pid < driver.tasks.length; pid++) {
      const channel = driver.able[pid] === 1 ? null : (driver.tasks[pid]?.sleepingOn ?? null);
      const lock = channel !== null && "contended" in channel ? channel.contended : 0;
      if (lock !== 0) path.foresee(pid, lock, part.prefix.length);
    }
  }
}
