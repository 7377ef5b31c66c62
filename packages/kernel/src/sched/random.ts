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
    this.#generator = xoroshiro128plus(scramble(checkInteger(seed, "seed", 0)));
  }

  below(bound: number): number {
    return uniformInt(this.#generator, 0, bound - 1);
  }
}

/**
 * Seeds that follow each other must not give runs that resemble each other, and the generator's first numbers
 * hardly depend on the low bits of its seed. The finalizer of MurmurHash3, over both words.
 */
function scramble(seed: number): number {
  let hash = (seed ^ Math.imul(Math.floor(seed / 0x100000000), 0x9e3779b1)) | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
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
