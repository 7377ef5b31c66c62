// What a recording was made under and does not tell, as far as it shows: what tasks that had ended before the scenario
// had left over for others to be charged with.

import { Precedence } from "./precedence.ts";

export class Circumstances {
  /** Who was first where that shows only in sums. */
  readonly precedence: Precedence = new Precedence();
  /** Pages that are charged to whoever dirties pages on the second processor. */
  #debt = 0;
  /** How often that was corrected. */
  #corrections = 0;
  /** By lane: where that was found out last. */
  readonly #corrected = new Map<number, number>();
  /** Lanes that begin on it. */
  readonly #there = new Set<number>();

  get debt(): number {
    return this.#debt;
  }

  /**
   * So many pages more, or fewer, were charged to a lane than here, where it has done so many events of an operation.
   *
   * Returns: true when that can be tried. A lane that goes wrong before the place where the number was corrected goes
   * wrong by something else.
   */
  learnDebt(pages: number, lane: number, op: number, events: number): boolean {
    const place = placeOf(op, events);
    if (this.#corrections >= MAX_CORRECTIONS || this.#debt + pages < 0) return false;
    if (place < (this.#corrected.get(lane) ?? 0)) return false;
    this.#corrections++;
    this.#corrected.set(lane, place);
    this.#debt += pages;
    this.#there.add(lane);
    return true;
  }

  /** The processor that a lane begins on. */
  processorOf(lane: number): number {
    return this.#there.has(lane) ? 1 : 0;
  }
}

/** Places in the order in which a lane comes to them. */
function placeOf(op: number, events: number): number {
  return op * 2 ** 32 + events;
}

/** Whoever corrects the same number again and again is wrong about what it is. */
const MAX_CORRECTIONS = 4;
