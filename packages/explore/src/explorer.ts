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

import { Driver, type DriverOptions } from "./driver.ts";
import { CLOCK } from "./happens-before.ts";
import { Path } from "./path.ts";
import type { Program } from "./program.ts";
import { NONE, type Step, unforeseen } from "./step.ts";
import { advance, type Branch, disappoints, knownStart } from "./wakeup-tree.ts";

/**
 * How one execution ended. "blocked": it turned out to repeat others and was given up; "barred": it turned out
 * to be somebody else's; "nothing": there was nothing to execute.
 */
export type Ending = "completed" | "deadlock" | "crashed" | "limit" | "blocked" | "barred" | "nothing";

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

const WHOLE: Part = { prefix: [], barred: [] };

export class Explorer {
  readonly driver: Driver;
  readonly path: Path;
  readonly counts: Counts = { executions: 0, blocked: 0, barred: 0, deadlocks: 0, surprises: 0, depth: 0 };
  readonly part: Part;
  readonly #witness: Witness;
  #last = 0;
  #started = false;
  /** Was the last event only a look at what is barred? */
  #probing = false;

  constructor(program: Program, witness: Witness, options: DriverOptions = {}, part: Part = WHOLE) {
    this.driver = new Driver(program, options);
    this.path = new Path({ environment: program.environment ?? {}, ...options });
    this.path.root = part.prefix.length;
    this.part = part;
    this.#witness = witness;
    const steps = part.prefix.map(({ pid, choices }) => unforeseen(pid, choices));
    if (steps.length > 0) this.path.pending[0].push({ steps, start: 0, end: steps.length, children: [], relied: null });
    else this.path.barred[0].push(...part.barred);
  }

  /** The path was put in place by somebody else: go on from there. */
  resume(): void {
    this.#started = true;
  }

  /** Add one event to the path: the next that is to be explored from its end. Returns: false when there is none. */
  enter(): boolean {
    this.#rerun();
    return this.#advance() === null;
  }

  /** How much of the search is done, from 0 to 1, as far as can be told: all branches count the same. */
  get progress(): number {
    const { path } = this;
    let done = 0;
    let share = 1;
    for (let e = path.root; e <= path.steps.length; e++) {
      const all = path.entered[e] + path.pending[e].length;
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
    while (depth >= path.root && path.pending[depth].length === 0 && !path.wide[depth]) depth--;
    if (depth < path.root) return false;
    path.truncate(depth);
    return true;
  }

  #execute(): void {
    const { path, counts } = this;
    const fresh = path.steps.length;
    this.#probing = false;
    this.#rerun();
    let ending: Ending | null = null;
    while (ending === null) ending = this.#advance();
    if (ending === "nothing") return;
    const depth = path.steps.length;
    if (depth > counts.depth) counts.depth = depth;
    if (ending === "blocked" || ending === "barred") {
      counts[ending]++;
    } else {
      counts.executions++;
      if (ending === "deadlock") counts.deadlocks++;
      this.#witness(this, ending);
    }
    this.#foreseeBlocked();
    path.reverse(fresh);
    if (this.#probing) path.takeBack();
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
    if (this.#followAny()) return null;
    const e = path.steps.length;
    // What was to be explored from a point that was explored from before is not there after all.
    if (path.entered[e] > 0 && !path.wide[e]) return "nothing";
    for (let pid = this.#choose(); pid !== 0; pid = this.#choose()) {
      if (driver.perform(pid, NONE)) {
        this.#append(pid, []);
        return null;
      }
      if (driver.exhausted) return "limit";
    }
    path.wide[e] = false;
    if (driver.able.includes(1)) return this.#probe() ? "barred" : this.#stop(e);
    if (driver.crashes.length > 0) return "crashed";
    if (driver.completed) return "completed";
    return this.#tick() ? null : "deadlock";
  }

  /** Execute the first step of the first branch that is there. Returns: false when there is none. */
  #followAny(): boolean {
    const pending = this.path.pending[this.path.steps.length];
    for (let branch = pending.shift(); branch !== undefined; branch = pending.shift()) {
      if (this.#follow(branch)) return true;
    }
    return false;
  }

  /** Execute the first step of a branch. Returns: false when it is not there. */
  #follow(branch: Branch): boolean {
    const { driver, path, part } = this;
    const e = path.steps.length;
    const step = branch.steps[branch.start];
    if (path.isBarred(step)) return false;
    const isForeseen = knownStart(branch) === null;
    if (driver.able[step.pid] !== 1 || !driver.perform(step.pid, step.choices)) {
      if (step.settled >= 0) this.counts.surprises++;
      return false;
    }
    this.#append(step.pid, advance(branch));
    if (isForeseen && disappoints(branch, path.steps[e].accesses)) path.wide[e] = true;
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
    const isFree = (pid: number): boolean => {
      const step = { pid, choices: NONE };
      return able[pid] === 1 && !path.isDone(step) && !path.isBarred(step);
    };
    if (isFree(this.#last)) return this.#last;
    for (let pid = 1; pid < able.length; pid++) if (isFree(pid)) return pid;
    return 0;
  }

  /** Everybody who could go on sleeps or is barred. */
  #stop(e: number): Ending {
    if (this.path.entered[e] > 0) return "nothing";
    const { able } = this.driver;
    return able.some((each, pid) => each === 1 && this.path.isBarred({ pid, choices: NONE })) ? "barred" : "blocked";
  }

  /**
   * Look at a step that somebody else explores, only to see what the environment is asked there: if the answer
   * is another, the step may be ours. Returns: false when there is no such step.
   */
  #probe(): boolean {
    const pid = this.path.toProbe(this.driver.able);
    this.#probing = pid !== 0 && this.driver.perform(pid, NONE);
    if (this.#probing) this.#append(pid, []);
    return this.#probing;
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
    const { driver, path } = this;
    for (let pid = 1; pid < driver.tasks.length; pid++) {
      const channel = driver.able[pid] === 1 ? null : (driver.tasks[pid]?.sleepingOn ?? null);
      const lock = channel !== null && "contended" in channel ? channel.contended : 0;
      if (lock !== 0) path.foresee(pid, lock);
    }
  }
}
