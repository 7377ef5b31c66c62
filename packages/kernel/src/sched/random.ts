// Seeded random choosers. The same seed gives the same run on every machine and every Node version.

import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { checkInteger } from "../check-args.ts";
import type { Chooser } from "./chooser.ts";
import type { Task } from "./task.ts";

/** Whole random numbers below a bound, from a seed. */
export class Random {
  readonly #generator: RandomGenerator;

  constructor(seed: number) {
    this.#generator = xoroshiro128plus(checkInteger(seed, "seed", 0));
  }

  below(bound: number): number {
    return uniformInt(this.#generator, 0, bound - 1);
  }
}

/** Every decision is uniformly random. */
export class RandomChooser implements Chooser {
  readonly preemptive = true;
  readonly #random: Random;

  constructor(seed: number) {
    this.#random = new Random(seed);
  }

  pickTask(runnable: readonly Task[]): number {
    return this.#random.below(runnable.length);
  }

  choose(_choice: string, count: number): number {
    return this.#random.below(count);
  }
}
