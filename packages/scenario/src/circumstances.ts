// What a recording was made under and does not tell, as far as it shows: what tasks that had ended before the scenario
// had left over for others to be charged with.

export class Circumstances {
  /** Pages that are charged to whoever dirties pages on the second processor. */
  #debt = 0;
  /** How often that was corrected. */
  #corrections = 0;
  /** Lanes that begin on it. */
  readonly #there = new Set<number>();

  get debt(): number {
    return this.#debt;
  }

  /** So many pages more, or fewer, were charged to a lane than here. Returns: true when that can be tried. */
  learnDebt(pages: number, lane: number): boolean {
    if (this.#corrections >= MAX_CORRECTIONS || this.#debt + pages < 0) return false;
    this.#corrections++;
    this.#debt += pages;
    this.#there.add(lane);
    return true;
  }

  /** The processor that a lane begins on. */
  processorOf(lane: number): number {
    return this.#there.has(lane) ? 1 : 0;
  }
}

/** Whoever corrects the same number again and again is wrong about what it is. */
const MAX_CORRECTIONS = 4;
