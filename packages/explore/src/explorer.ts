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
// depend on what it sees there. When it then does more than was foreseen, what was left out because of it is
// put back.

import type { EventName, Order } from "./cut.ts";
import { Driver, type DriverOptions } from "./driver.ts";
import { budgetsBeside, type Fate } from "./fate.ts";
import type { Event } from "./finding.ts";
import { CLOCK } from "./happens-before.ts";
import { Path } from "./path.ts";
import type { Program } from "./program.ts";
import { NONE, unforeseen } from "./step.ts";
import { advance, type Branch, isForeseen, regrets } from "./wakeup-tree.ts";

/**
 * How one execution ended. "blocked": it turned out to repeat others and was given up; "foreign": it belongs to
 * another part of the search; "nothing": there was nothing to execute.
 */
export type Ending = "completed" | "deadlock" | "crashed" | "limit" | "blocked" | "foreign" | "nothing";

export interface Counts {
  /** Executions that ended, however they did. */
  executions: number;
  /** Executions that repeated others and were given up. */
  blocked: number;
  /** Executions that belong to another part of the search. */
  foreign: number;
  deadlocks: number;
  /** Events that did not come about as foreseen: the program does not declare all that it shares. */
  surprises: number;
  /** Events of the longest execution. */
  depth: number;
}

/** A part of a search. */
export interface Part {
  /** What its executions begin with. */
  readonly prefix?: readonly Event[];
  /** What comes before what in them. */
  readonly orders?: readonly Order[];
  /** What the environment chooses in them. */
  readonly fates?: readonly Fate[];
}

/** Called at the end of every execution that counts. */
export type Witness = (explorer: Explorer, ending: Ending) => void;

export class Explorer {
  readonly driver: Driver;
  readonly path: Path;
  readonly counts: Counts = { executions: 0, blocked: 0, foreign: 0, deadlocks: 0, surprises: 0, depth: 0 };
  /** Events that the part is cut at and that did something else than when the cut was made. Then the cut is void. */
  readonly changed: EventName[] = [];
  readonly #orders: readonly Order[];
  readonly #witness: Witness;
  #last = 0;
  #started = false;

  constructor(program: Program, witness: Witness, options: DriverOptions = {}, part: Part = {}) {
    const { prefix = [], orders = [], fates = [] } = part;
    const budgets = budgetsBeside(fates, { environment: program.environment ?? {}, ...options });
    this.driver = new Driver(program, options, fates);
    this.path = new Path(budgets, prefix.length, orders);
    this.#orders = orders;
    this.#witness = witness;
    const steps = prefix.map(({ pid, choices }) => unforeseen(pid, choices));
    if (steps.length > 0) this.path.pending[0] = [{ steps, start: 0, end: steps.length, children: [], relied: null }];
  }

  /** The path was put in place by somebody else: go on from there. */
  resume(): void {
    this.#started = true;
  }

  /** How much of the search is done, from 0 to 1, as far as can be told: all branches count the same. */
  get progress(): number {
    const { path } = this;
    let done = 0;
    let share = 1;
    for (let e = path.root; e <= path.steps.length; e++) {
      const all = path.entered[e] + (path.pending[e]?.length ?? 0);
      if (all === 0) break;
      share /= all;
      done += share * Math.max(path.entered[e] - 1, 0);
    }
    return done;
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
    const { path } = this;
    let depth = path.steps.length;
    while (depth >= path.root && (path.pending[depth]?.length ?? 0) === 0) depth--;
    if (depth < path.root) return false;
    path.truncate(depth);
    return true;
  }

  #execute(): void {
    const { path, counts } = this;
    const fresh = path.steps.length;
    this.#rerun();
    let ending: Ending | null = null;
    while (ending === null) ending = this.#advance();
    if (ending === "nothing") return;
    if (ending === "blocked" || ending === "foreign") {
      counts[ending]++;
    } else {
      counts.executions++;
      if (ending === "deadlock") counts.deadlocks++;
      if (path.steps.length > counts.depth) counts.depth = path.steps.length;
      this.#witness(this, ending);
    }
    this.#foreseeBlocked();
    path.reverse(fresh);
  }

  /** Start the program and repeat the events that stay. */
  #rerun(): void {
    const { driver, path } = this;
    const { steps, details } = path;
    driver.begin();
    if (steps.length === 0) for (const pid of driver.spawned) path.order.spawned(pid, -1);
    for (let e = 0; e < steps.length; e++) driver.repeat(steps[e].pid, details[e].run, steps[e].choices);
    driver.resumeWatch();
    this.#last = steps.length > 0 ? steps[steps.length - 1].pid : 0;
  }

  /** Add one event. Returns: how the execution ended, when it did. */
  #advance(): Ending | null {
    const { driver, path } = this;
    if (driver.exhausted) return this.#ours("limit");
    if (this.#followAny()) return null;
    // What was to be explored from a point that was explored from before is not there after all.
    if (path.entered[path.steps.length] > 0) return "nothing";
    for (let pid = this.#choose(); pid !== 0; pid = this.#choose()) {
      if (driver.perform(pid, NONE)) {
        this.#append(pid, null);
        return null;
      }
      if (driver.exhausted) return this.#ours("limit");
    }
    if (driver.able.includes(1)) return this.#isAnyoneHeld() ? "foreign" : "blocked";
    if (driver.crashes.length > 0) return this.#ours("crashed");
    if (driver.completed) return this.#ours("completed");
    return this.#tick() ? null : this.#ours("deadlock");
  }

  /** Execute the first step of the first branch that is there. Returns: false when there is none. */
  #followAny(): boolean {
    const pending = this.path.pending[this.path.steps.length];
    while (pending !== null && pending.length > 0) if (this.#follow(pending.shift() as Branch)) return true;
    return false;
  }

  /** Execute the first step of a branch. Returns: false when it is not there. */
  #follow(branch: Branch): boolean {
    const { driver, path } = this;
    const e = path.steps.length;
    const step = branch.steps[branch.start];
    const { pid } = step;
    const leaf = isForeseen(branch);
    if (driver.able[pid] !== 1 || path.isHeld(pid) || !driver.perform(pid, step.choices)) {
      this.counts.surprises++;
      return false;
    }
    this.#append(pid, advance(branch));
    if (leaf && branch.relied !== null) {
      for (const missed of regrets(branch.relied, path.steps[e].accesses)) path.add(e, missed);
    }
    return true;
  }

  #append(pid: number, pending: Branch[] | null): void {
    this.path.append(this.driver, pid, pending);
    this.#last = pid;
    if (this.#orders.length > 0) this.#checkCut();
  }

  /** Who goes next when nothing is prescribed: the task that ran last, or the first that can; 0 for nobody. */
  #choose(): number {
    const { able } = this.driver;
    if (this.#isFree(this.#last)) return this.#last;
    for (let pid = 1; pid < able.length; pid++) if (this.#isFree(pid)) return pid;
    return 0;
  }

  #isFree(pid: number): boolean {
    return this.driver.able[pid] === 1 && !this.path.isDone(pid) && !this.path.isHeld(pid);
  }

  #isAnyoneHeld(): boolean {
    return this.driver.able.some((able, pid) => able === 1 && this.path.isHeld(pid));
  }

  /** Does an execution that ended belong to this part? */
  #ours(ending: Ending): Ending {
    const isOurs = this.#orders.every(({ first, needsFirst }) => !needsFirst || this.path.happened(first));
    return isOurs && this.driver.fates.areMet && !this.#isAnyoneHeld() ? ending : "foreign";
  }

  /** Does the latest event do what it did when the search was cut at it? */
  #checkCut(): void {
    const { steps, order } = this.path;
    const { pid, accesses } = steps[steps.length - 1];
    const nth = order.ordinal(steps.length - 1);
    for (const { first, second, accesses: known } of this.#orders) {
      for (const [i, name] of [first, second].entries()) {
        if (name.pid !== pid || name.nth !== nth || known[i].join() === accesses.join()) continue;
        if (!this.changed.some((each) => each.pid === pid && each.nth === nth)) this.changed.push(name);
      }
    }
  }

  /** Time passes, if anything is due. */
  #tick(): boolean {
    this.#foreseeBlocked();
    if (!this.driver.tick()) return false;
    this.#append(CLOCK, null);
    return true;
  }

  /** What tasks that wait for a lock would do next, if they could. */
  #foreseeBlocked(): void {
    const { driver, path } = this;
    for (let pid = 1; pid < driver.tasks.length; pid++) {
      const channel = driver.able[pid] === 1 ? null : (driver.tasks[pid]?.sleepingOn ?? null);
      const lock = channel !== null && "contended" in channel ? channel.contended : 0;
      if (lock !== 0 && !path.isHeld(pid)) path.foresee(pid, lock);
    }
  }
}
