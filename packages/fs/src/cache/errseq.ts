// Telling of write-back errors (lib/errseq.c): whoever had the file open when one happened is told of it once, by
// its next fsync; one that nobody was told of is told to who opens the file later, too.

import type { Status } from "@faultline/kernel";

export class Errseq {
  #error: Status = 0;
  /** Counts errors that somebody was told of before the next one came. */
  #count = 0;
  #seen = true;

  /** Context: atomic. Linux: errseq_set() */
  set(error: Status): void {
    if (this.#seen) this.#count++;
    this.#error = error;
    this.#seen = false;
  }

  /** Where an open file begins to look. Context: atomic. Linux: errseq_sample() */
  sample(): number {
    return this.#seen ? this.#count : this.#count - 1;
  }

  /** What a file has not been told since it looked last, and where it looks from now on. Linux: errseq_check_and_advance() */
  checkAndAdvance(since: number): { readonly error: Status; readonly next: number } {
    if (since === this.#count) return { error: 0, next: since };
    this.#seen = true;
    return { error: this.#error, next: this.#count };
  }
}
