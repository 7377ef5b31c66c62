// The happens-before order of the current execution, as vector clocks, and the races in it.
//
// Two events race when they are accesses of different tasks that do not commute and nothing orders them but
// each other: the second could come first. A lock's release orders what follows it but is not raced with:
// the race is between the two times that the lock was taken.

import { type Accesses, CONFLICTS, LEAVE, PASS, READ, SHARE, TAKE, UNSHARE, WRITE } from "./access.ts";

/** Event number, deed, event number, deed, ...: what was done to one object, in order. */
type ObjectHistory = number[];

/** Objects below this number are found by index, others by look-up. */
const FEW = 4096;

/** Pid of the clock: a timer that expires is an event of nobody, after everything and before everything. */
export const CLOCK = 0;

export class HappensBefore {
  /** Races of the event that was added last: earlier event and position of the access, in pairs. */
  readonly races: number[] = [];

  #length = 0;
  readonly #pids: number[] = [];
  /** How many events of its task come before each event, itself included. */
  readonly #ordinals: number[] = [];
  /** The event before, of the same task; -1 for none. */
  readonly #previous: number[] = [];
  readonly #accesses: Accesses[] = [];
  /** Pid -> its latest event, -1 for none. */
  readonly #latest: number[] = [];
  /** Pid -> the event that spawned it, -1 for none. */
  readonly #parents: number[] = [];
  /** Row e: how many events of each task happen before e. */
  #clocks = new Int32Array(16 * 64);
  #width = 16;
  readonly #few: ObjectHistory[] = [];
  readonly #many = new Map<number, ObjectHistory>();

  get length(): number {
    return this.#length;
  }

  /** The latest event of a task, or -1. */
  latest(pid: number): number {
    return pid < this.#latest.length ? this.#latest[pid] : -1;
  }

  /** Does event a happen before event b (or is it b)? */
  ordered(a: number, b: number): boolean {
    return this.#clocks[b * this.#width + this.#pids[a]] >= this.#ordinals[a];
  }

  /** Which event of its task it is, from 1. */
  ordinal(e: number): number {
    return this.#ordinals[e];
  }

  /**
   * Copy to `into` what comes after event a but does not happen after it: the events from number `from` on.
   *
   * Returns: how many there are.
   */
  copyUnordered<T>(a: number, from: number, items: readonly T[], into: T[]): number {
    const clocks = this.#clocks;
    const width = this.#width;
    const ordinal = this.#ordinals[a];
    const end = this.#length * width;
    let copied = 0;
    let e = from;
    for (let at = from * width + this.#pids[a]; at < end; at += width) {
      if (clocks[at] < ordinal) into[copied++] = items[e];
      e++;
    }
    return copied;
  }

  /** Note that event `parent` spawned a task; -1 when it was there from the start. */
  spawned(pid: number, parent: number): void {
    while (this.#latest.length <= pid) {
      this.#latest.push(-1);
      this.#parents.push(-1);
    }
    this.#parents[pid] = parent;
    if (pid >= this.#width) this.#widen(pid + 1);
  }

  /** Forget all events from number `length` on. */
  truncate(length: number): void {
    for (let e = this.#length - 1; e >= length; e--) {
      const accesses = this.#accesses[e];
      for (let i = accesses.length - 2; i >= 0; i -= 2) {
        const history = this.#history(accesses[i]);
        history.pop();
        history.pop();
      }
      this.#latest[this.#pids[e]] = this.#previous[e];
    }
    if (length < this.#length) this.#length = length;
  }

  /**
   * Add an event; its races are in `races` afterwards.
   *
   * `waker`: the event that let the task go on, when it was asleep; -1 otherwise.
   * `before`: an event that it had to wait for; -1 for none.
   */
  add(pid: number, accesses: Accesses, waker: number, before: number): void {
    const e = this.#begin(pid, waker);
    if (before >= 0) this.#join(e, before);
    clear(this.races);
    if (waker >= 0) this.#waited(e, accesses);
    for (let i = 0; i < accesses.length; i += 2) {
      const deed = accesses[i + 1];
      const history = this.#history(accesses[i]);
      this.#order(e, deed, history, i, false);
      history.push(e, deed === LEAVE ? this.#release(pid, history) : deed);
    }
    this.#accesses[e] = accesses;
    this.#latest[pid] = e;
    this.#length = e + 1;
  }

  /** Time passes: after every event so far, before every later one. */
  tick(): void {
    const e = this.#begin(CLOCK, -1);
    for (let pid = 1; pid < this.#latest.length; pid++) {
      if (this.#latest[pid] >= 0) this.#join(e, this.#latest[pid]);
    }
    this.#accesses[e] = [];
    this.#latest[CLOCK] = e;
    this.#length = e + 1;
  }

  /** The races, in `races`, of an event that would come now if its task were not kept out of a lock. */
  foresee(pid: number, lock: number): void {
    const e = this.#begin(pid, -1);
    clear(this.races);
    this.#order(e, TAKE, this.#history(lock), 0, true);
  }

  /** Prepare row and links of the next event. */
  #begin(pid: number, waker: number): number {
    const e = this.#length;
    const width = this.#width;
    if ((e + 1) * width > this.#clocks.length) this.#lengthen();
    const previous = this.#latest[pid];
    const row = e * width;
    const from = previous >= 0 ? previous : this.#parents[pid];
    if (from >= 0) this.#clocks.copyWithin(row, from * width, from * width + width);
    else this.#clocks.fill(0, row, row + width);
    this.#pids[e] = pid;
    this.#previous[e] = previous;
    this.#ordinals[e] = ++this.#clocks[row + pid];
    if (waker >= 0) this.#join(e, waker);
    const tick = this.#latest[CLOCK];
    if (tick > previous) this.#join(e, tick);
    return e;
  }

  /**
   * Order event e, which does `deed`, after what was done to the object before, and note the races.
   *
   * `locked`: the object is a lock that somebody holds, so that e could not happen now.
   */
  #order(e: number, deed: number, history: ObjectHistory, position: number, locked: boolean): void {
    const conflicting = CONFLICTS[deed];
    const pid = this.#pids[e];
    const locks = deed === TAKE || deed === SHARE || deed === PASS;
    // Who looked at the lock while it was held cannot be overtaken, but who held it can.
    let wasLocked = locked;
    let i = history.length - 2;
    for (; i >= 0; i -= 2) {
      const earlier = history[i];
      const done = history[i + 1];
      if (locks && (done === LEAVE || (done === UNSHARE && deed !== SHARE))) wasLocked = true;
      const overtakes = ((conflicting >> done) & 1) !== 0 && !(wasLocked && done <= WRITE);
      if (overtakes && this.#pids[earlier] !== pid && !this.ordered(earlier, e)) {
        this.races.push(earlier, position);
        this.#join(e, earlier);
      }
      // Whatever came before these happens before these.
      if (done === WRITE || done === TAKE) break;
    }
    if (locks) this.#afterReleases(e, deed, history, Math.max(i, 0));
  }

  /** A lock is taken after those who had it let it go. */
  #afterReleases(e: number, deed: number, history: ObjectHistory, start: number): void {
    for (let i = start; i < history.length; i += 2) {
      const done = history[i + 1];
      if (done === LEAVE || (done === UNSHARE && deed !== SHARE)) this.#join(e, history[i]);
    }
  }

  /** A task that waited in line for a lock could not have come earlier than the releases that let it in. */
  #waited(e: number, accesses: Accesses): void {
    for (let i = 0; i < accesses.length; i += 2) {
      const deed = accesses[i + 1];
      if (deed !== TAKE && deed !== SHARE && deed !== PASS) continue;
      // A trylock looks before it takes: that is no waiting.
      let looked = false;
      for (let j = 0; j < i; j += 2) looked ||= accesses[j] === accesses[i] && accesses[j + 1] === READ;
      if (!looked) this.#afterReleases(e, deed, this.#history(accesses[i]), 0);
    }
  }

  /** Was it alone that the task had the lock which it lets go? */
  #release(pid: number, history: ObjectHistory): number {
    for (let i = history.length - 2; i >= 0; i -= 2) {
      if (history[i + 1] === TAKE) return LEAVE;
      if (history[i + 1] === SHARE && this.#pids[history[i]] === pid) return UNSHARE;
    }
    return LEAVE;
  }

  #join(e: number, earlier: number): void {
    const clocks = this.#clocks;
    const width = this.#width;
    const row = e * width;
    const other = earlier * width;
    for (let i = 0; i < width; i++) if (clocks[other + i] > clocks[row + i]) clocks[row + i] = clocks[other + i];
  }

  #history(object: number): ObjectHistory {
    let history = object < FEW ? this.#few[object] : this.#many.get(object);
    if (history === undefined) {
      history = [];
      if (object < FEW) this.#few[object] = history;
      else this.#many.set(object, history);
    }
    return history;
  }

  #lengthen(): void {
    const longer = new Int32Array(this.#clocks.length * 2);
    longer.set(this.#clocks);
    this.#clocks = longer;
  }

  #widen(least: number): void {
    const old = this.#width;
    const width = Math.max(least, old * 2);
    const wider = new Int32Array(Math.ceil((this.#clocks.length / old) * width));
    for (let e = 0; e < this.#length; e++) {
      wider.set(this.#clocks.subarray(e * old, (e + 1) * old), e * width);
    }
    this.#clocks = wider;
    this.#width = width;
  }
}

/** Empty a list but keep its memory, which setting its length would not. */
export function clear(list: unknown[]): void {
  while (list.length > 0) list.pop();
}
