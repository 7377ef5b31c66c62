// One event of an execution: what a task did from one scheduling point to the next that it shares with
// others. Steps are immutable and shared between executions, sleep sets and wakeup trees.

import { type Accesses, conflict } from "./access.ts";

export interface Step {
  readonly pid: number;
  readonly accesses: Accesses;
  /** What the environment chose during the step, zeros at the end left out. */
  readonly choices: readonly number[];
  /**
   * How many of the choices are settled. Infinity for a step that was executed; for one that is yet to be
   * executed, those made before the access that it is to be executed for.
   */
  readonly settled: number;
}

/** The choices of a step in which nothing special happened: one object, so that comparing is cheap. */
export const NONE: readonly number[] = [];

/** A step that was never executed, up to the access that somebody wants to see earlier. */
export function foreseen(pid: number, accesses: Accesses, choices: readonly number[] = NONE, settled = 0): Step {
  return { pid, accesses, choices: trimmed(choices), settled };
}

export function trimmed(choices: readonly number[]): readonly number[] {
  let end = choices.length;
  while (end > 0 && choices[end - 1] === 0) end--;
  return end === 0 ? NONE : end === choices.length ? choices : choices.slice(0, end);
}

/** Two steps of one task: did (or will) the environment choose the same in both, as far as is settled? */
export function sameChoices(a: Step, b: Step): boolean {
  if (a.choices === b.choices) return true;
  const settled = Math.min(a.settled, b.settled, Math.max(a.choices.length, b.choices.length));
  for (let i = 0; i < settled; i++) if ((a.choices[i] ?? 0) !== (b.choices[i] ?? 0)) return false;
  return true;
}

/**
 * Can `step` come first in a sequence that is equivalent to some continuation of `sequence`? (A weak initial.)
 *
 * Returns: its position in the sequence, `length` when it is not in it but commutes with all of it, or -1.
 */
export function weakInitial(step: Step, sequence: readonly Step[], length: number): number {
  const { pid, accesses } = step;
  for (let i = 0; i < length; i++) {
    const other = sequence[i];
    if (other.pid === pid) return sameChoices(step, other) ? i : -1;
    if (conflict(accesses, other.accesses)) return -1;
  }
  return length;
}
