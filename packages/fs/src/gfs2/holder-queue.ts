// The queue of a glock (gl_holders): granted requests first, then those that wait, each in the order in which
// they came. All operations are atomic, and none walks over those who hold the lock: there may be thousands.

import type { Gfs2Holder } from "./glock.ts";

// Holder flags.
export const HIF_HOLDER: number = 1 << 0;
export const HIF_WAIT: number = 1 << 1;
/** 5.16 and 5.17: the holder may be taken away while its task faults pages in. */
export const HIF_MAY_DEMOTE: number = 1 << 2;

export class HolderQueue {
  readonly #holders: Gfs2Holder[] = [];
  /** So many at the head are granted. */
  #granted = 0;

  get length(): number {
    return this.#holders.length;
  }

  /** Linux: find_first_holder() */
  get firstHolder(): Gfs2Holder | null {
    return this.#granted > 0 ? this.#holders[0] : null;
  }

  /** The first holder that cannot be taken away. Linux: find_first_strong_holder() (5.16, 5.17) */
  get firstStrongHolder(): Gfs2Holder | null {
    for (let i = 0; i < this.#granted; i++) {
      if ((this.#holders[i].iflags & HIF_MAY_DEMOTE) === 0) return this.#holders[i];
    }
    return null;
  }

  /** Linux: find_first_waiter() */
  get firstWaiter(): Gfs2Holder | null {
    return this.#holders[this.#granted] ?? null;
  }

  /** A new request waits behind all others. */
  add(holder: Gfs2Holder): void {
    this.#holders.push(holder);
  }

  /** The first waiter is granted. */
  grantFirstWaiter(): void {
    this.#holders[this.#granted++].iflags |= HIF_HOLDER;
  }

  /** The first waiter lets all others go first. */
  firstWaiterToEnd(): void {
    this.#holders.push(...this.#holders.splice(this.#granted, 1));
  }

  remove(holder: Gfs2Holder): void {
    const last = this.#holders.length - 1;
    if (this.#holders[last] === holder) this.#holders.pop();
    else if (this.#holders[0] === holder) this.#holders.shift();
    else this.#holders.splice(this.#holders.indexOf(holder), 1);
    if ((holder.iflags & HIF_HOLDER) === 0) return;
    holder.iflags &= ~HIF_HOLDER;
    this.#granted--;
  }

  /** Those that hold the lock, as of now. */
  holders(): Gfs2Holder[] {
    return this.#holders.slice(0, this.#granted);
  }

  /** Those that wait, as of now. */
  waiters(): Gfs2Holder[] {
    return this.#holders.slice(this.#granted);
  }

  /** Those in front of a request. */
  before(holder: Gfs2Holder): Gfs2Holder[] {
    return this.#holders.slice(0, this.#holders.indexOf(holder));
  }

  [Symbol.iterator](): IterableIterator<Gfs2Holder> {
    return this.#holders.values();
  }
}
