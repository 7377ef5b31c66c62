// PCT, probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte, ASPLOS 2010).
//
// Tasks run by priority; priorities are random, and at depth - 1 random decisions the running task drops
// below all others. A bug that needs `depth` ordering constraints, in a program of `tasks` tasks and
// `decisions` scheduling decisions, shows in one run with probability 1 / (tasks * decisions^(depth-1)) or
// better, which `pctBound` computes.

import { checkInteger } from "../check-args.ts";
import type { Chooser } from "./chooser.ts";
import { Random } from "./random.ts";
import type { Task } from "./task.ts";

export interface PctOptions {
  readonly seed: number;
  /** How many ordering constraints a bug may need. */
  readonly depth: number;
  /** An upper estimate of the scheduling decisions of a run. */
  readonly decisions: number;
}

export class PctChooser implements Chooser {
  readonly preemptive = true;
  readonly #random: Random;
  readonly #priorities = new Map<Task, number>();
  /** Decision number -> priority that the running task drops to. */
  readonly #drops = new Map<number, number>();
  readonly #depth: number;
  #decision = 0;

  constructor({ seed, depth, decisions }: PctOptions) {
    this.#random = new Random(seed);
    this.#depth = checkInteger(depth, "depth", 1, 100);
    checkInteger(decisions, "decisions", 1);
    for (let i = 1; i < depth; i++) this.#drops.set(this.#random.below(decisions), depth - i);
  }

  pickTask(runnable: readonly Task[]): number {
    for (const task of [...runnable].sort((a, b) => a.pid - b.pid)) {
      // Random and distinct in practice; above every priority that a drop assigns.
      if (!this.#priorities.has(task)) this.#priorities.set(task, this.#depth + this.#random.below(1 << 30));
    }
    const drop = this.#drops.get(this.#decision++);
    if (drop !== undefined) this.#priorities.set(runnable[this.#highest(runnable)], drop);
    return this.#highest(runnable);
  }

  choose(): number {
    return 0;
  }

  #highest(runnable: readonly Task[]): number {
    let best = 0;
    for (let i = 1; i < runnable.length; i++) {
      if (this.#priority(runnable[i]) > this.#priority(runnable[best])) best = i;
    }
    return best;
  }

  #priority(task: Task): number {
    return this.#priorities.get(task) as number;
  }
}

/** The least probability with which one PCT run shows a bug of this depth. */
export function pctBound(tasks: number, decisions: number, depth: number): number {
  return 1 / (tasks * decisions ** (depth - 1));
}
