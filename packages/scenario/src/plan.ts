// Depth-first search over the points at which a run could have gone on otherwise. Each run makes its choices
// again from the start; afterwards the last choice that has another possibility is changed.

interface Choice {
  picked: number;
  readonly count: number;
  /** How far the possibility that was picked may be taken. */
  limit: number;
}

export class Plan {
  readonly #path: Choice[] = [];
  #depth = 0;

  /** A new run begins. */
  restart(): void {
    this.#depth = 0;
  }

  /** Returns: the possibility to take now, and how far. The first one at a point that is new. */
  choose(count: number): { readonly picked: number; readonly limit: number } {
    const at = this.#depth++;
    if (at === this.#path.length) this.#path.push({ picked: 0, count, limit: Number.POSITIVE_INFINITY });
    return this.#path[at];
  }

  /**
   * Decide on the next run: go less far at the last choice that the run made, or take the next possibility there,
   * or at the latest one before that has another. Returns: false when everything was tried.
   *
   * `tooFar`: what the last choice let go on went wrong after so many steps; 0 when nothing did.
   */
  next(tooFar: number): boolean {
    this.#path.length = Math.min(this.#path.length, this.#depth);
    const last = this.#path[this.#path.length - 1];
    if (last !== undefined && tooFar > 1) {
      last.limit = tooFar - 1;
      return true;
    }
    while (this.#path.length > 0) {
      const choice = this.#path[this.#path.length - 1];
      if (choice.picked + 1 < choice.count) {
        choice.picked++;
        choice.limit = Number.POSITIVE_INFINITY;
        return true;
      }
      this.#path.pop();
    }
    return false;
  }
}
