// How a run ends: in exactly one of these.

import type { KernelBug } from "../bug.ts";
import type { Task } from "./task.ts";

export type Verdict =
  /** Every task that is not a daemon returned. */
  | { readonly kind: "completed" }
  /** Tasks are left and none can ever go on. */
  | { readonly kind: "deadlock"; readonly blocked: readonly Task[] }
  /** A BUG() of the kernel, or a broken invariant of the model. */
  | { readonly kind: "bug"; readonly task: Task; readonly bug: KernelBug }
  /** A loop repeats without progress. */
  | { readonly kind: "livelock"; readonly task: Task; readonly loop: string; readonly state: string }
  /** A stated bound was hit: a finding, not a pass. */
  | { readonly kind: "limit"; readonly limit: string };

export type VerdictKind = Verdict["kind"];

/** Thrown by a retry loop that repeats the same state too often; caught by the run loop. */
export class Livelock extends Error {
  readonly loop: string;
  readonly state: string;

  constructor(loop: string, state: string) {
    super(`${loop} repeats without progress: ${state}`);
    this.name = "Livelock";
    this.loop = loop;
    this.state = state;
  }
}

/** How often a retry loop may come round in one state before it counts as a livelock. */
export const LIVELOCK_ROUNDS = 200;

/**
 * Watches one retry loop of one call: `again()` at every turn, with what must change for progress.
 *
 * `loop` is the kernel function that loops. Throws Livelock after LIVELOCK_ROUNDS turns in one state.
 */
export class RetryGuard {
  readonly #loop: string;
  #state = "";
  #rounds = 0;

  constructor(loop: string) {
    this.#loop = loop;
  }

  again(state: string): void {
    if (state !== this.#state) {
      this.#state = state;
      this.#rounds = 0;
    } else if (++this.#rounds >= LIVELOCK_ROUNDS) {
      throw new Livelock(this.#loop, state);
    }
  }
}
