// What the next recorded events of a lane say of the locks, where the recorded order of all lanes says nothing: who
// grants a lock to somebody when it asks for it itself let that one ask while it held the lock.

import { eventText } from "./events.ts";
import type { Expectation } from "./expectation.ts";
import { inodeOf, type Progress } from "./progress.ts";

const GLOCK: ReadonlySet<unknown> = new Set(["glock_nq", "glock_dq"]);

export class LockForesight {
  readonly #expectation: Expectation;

  constructor(expectation: Expectation) {
    this.#expectation = expectation;
  }

  /** Does the lane ask for a lock now that others wait for, and grants it to none of them? Then a worker has done that. */
  comesAfterWorker(progress: Progress): boolean {
    const { expected, got } = progress;
    const [asks, after] = expected?.events.slice(got.length, got.length + 2) ?? [];
    if (asks?.[0] !== "glock_nq" || (after?.[0] === "glock_grant" && after[1] === asks[1])) return false;
    return isAskedFor(progress, String(asks[1]));
  }

  /**
   * Does the lane come to ask the last time for a lock that another lane grants to it later? Then that one has to take it
   * first, and lets it go while this one waits.
   */
  asksTooEarly(progress: Progress, others: Iterable<Progress>): boolean {
    if (!this.#isBehindCut(progress)) return false;
    const { expected, got } = progress;
    const [asks, ...later] = expected?.events.slice(got.length) ?? [];
    if (asks?.[0] !== "glock_nq" || later.some((event) => eventText(event) === eventText(asks))) return false;
    for (const other of others) {
      const events = other.got === got ? [] : (other.expected?.events.slice(other.got.length) ?? []);
      const at = events.findIndex(
        ([name, file, mode], i) =>
          name === "glock_grant" && file === asks[1] && mode === asks[2] && events[i - 1]?.[0] === "glock_nq",
      );
      if (events.slice(0, Math.max(0, at - 1)).some(([name, file]) => name === "glock_nq" && file === asks[1]))
        return true;
    }
    return false;
  }

  /**
   * Has somebody else to ask for a lock before the lane goes on? It grants it to that one when it asks for it itself, so
   * that one asks then, or has asked since before the lane let it go.
   */
  isToBeAskedFirst(progress: Progress): boolean {
    const file = this.#lockAskedFor(progress);
    return file !== undefined && !isAskedFor(progress, file);
  }

  #lockAskedFor(progress: Progress): string | undefined {
    if (!this.#isBehindCut(progress)) return undefined;
    const { expected, got } = progress;
    const events = expected?.events.slice(got.length) ?? [];
    const at = events.findIndex(([name], i) => name === "glock_grant" && events[i - 1]?.[0] === "glock_nq");
    const file = events[at]?.[1];
    const before = events.slice(0, Math.max(0, at - 1)).filter((event) => GLOCK.has(event[0]) && event[1] === file);
    const holds = before.length === 1 && before[0][0] === "glock_dq";
    return at === 1 || (at > 1 && holds) ? String(file) : undefined;
  }

  /** Does the recorded order of lock events say nothing more of the lane? */
  #isBehindCut({ lane, merged }: Progress): boolean {
    return this.#expectation.positions[lane][merged] === undefined;
  }
}

/** Does somebody wait for the lock of this file? */
function isAskedFor(progress: Progress, file: string): boolean {
  const queue = inodeOf(progress, file)?.glock.queue;
  return queue !== undefined && queue.length > queue.holders().length;
}
