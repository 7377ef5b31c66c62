// One event of an execution: what a task did from one scheduling point to the next that it shares with
// others. Steps are immutable and shared between executions, sleep sets and wakeup trees.

import { type Accesses, conflict } from "./access.ts";

export interface Step {
  readonly pid: number;
  readonly accesses: Accesses;
  /** What the environment chose during the step, zeros at the end left out. */
  readonly choices: readonly number[];
  /**
   * How many of the choices are settled. ALL for a step that was executed; for one that is yet to be
   * executed, those made before the access that it is to be executed for; -1 when not even that there will be
   * a step is sure.
   */
  readonly settled: number;
  /** The names of those choices that turned out other than 0 and did not have to: what it spends of the budgets. */
  readonly spends: readonly string[];
  /** Did nothing special happen in it, but what had to? */
  readonly isPlain: boolean;
  /** One bit for each object that it touches, or for several: steps without a common bit commute. */
  readonly objects: number;
}

/** A number that no number of choices reaches. */
const ALL = 0x3fffffff;

/** The choices of a step in which nothing special happened: one object, so that comparing is cheap. */
export const NONE: readonly number[] = [];

const NOTHING: readonly string[] = [];

/** A choice that came up during a step, and how it turned out. */
export interface Picked {
  readonly choice: string;
  readonly picked: number;
  /** What it is when nothing special happens. */
  readonly least: number;
}

/** A step that was executed, with all the choices that came up. */
export function executed(pid: number, accesses: Accesses, picks: readonly Picked[]): Step {
  return stepOf(pid, accesses, picks, ALL);
}

/** A step that was never executed, up to the access that somebody wants to see earlier, and the choices before it. */
export function foreseen(pid: number, accesses: Accesses, picks: readonly Picked[] = []): Step {
  return stepOf(pid, accesses, picks, picks.length);
}

/** Whatever the task does next. */
export function unforeseen(pid: number, choices: readonly number[] = NONE): Step {
  return { pid, accesses: [], choices, settled: -1, spends: NOTHING, isPlain: choices.length === 0, objects: 0 };
}

/** All steps have their fields in one order, which the host's code for them relies on. */
function stepOf(pid: number, accesses: Accesses, picks: readonly Picked[], settled: number): Step {
  const choices = picks.length === 0 ? NONE : trimmed(picks.map(({ picked }) => picked));
  const isPlain = choices === NONE || picks.every(({ picked, least }) => picked === least);
  const spends = choices === NONE ? NOTHING : picks.filter(isSpent).map(({ choice }) => choice);
  return { pid, accesses, choices, settled, spends, isPlain, objects: objectsOf(accesses) };
}

function isSpent({ picked, least }: Picked): boolean {
  return picked !== 0 && least === 0;
}

export function trimmed(choices: readonly number[]): readonly number[] {
  let end = choices.length;
  while (end > 0 && choices[end - 1] === 0) end--;
  return end === 0 ? NONE : end === choices.length ? choices : choices.slice(0, end);
}

function objectsOf(accesses: Accesses): number {
  let objects = 0;
  for (let i = 0; i < accesses.length; i += 2) objects |= 1 << (accesses[i] & 31);
  return objects;
}

/** Do two steps of different tasks fail to commute? */
export function stepsConflict(a: Step, b: Step): boolean {
  return (a.objects & b.objects) !== 0 && conflict(a.accesses, b.accesses);
}

/** The same task, and the same choices all through. */
export function isSameStep(a: Step, b: Step): boolean {
  return (
    a.pid === b.pid && a.choices.length === b.choices.length && a.choices.every((choice, i) => choice === b.choices[i])
  );
}

/** Two steps of one task: did (or will) the environment choose the same in both, as far as is settled? */
function sameChoices(a: Step, b: Step): boolean {
  if (a.choices === b.choices) return true;
  const settled = Math.min(a.settled, b.settled, Math.max(a.choices.length, b.choices.length));
  for (let i = 0; i < settled; i++) if ((a.choices[i] ?? 0) !== (b.choices[i] ?? 0)) return false;
  return true;
}

/**
 * Can `step` come first in a sequence that is equivalent to some continuation of this part of `sequence`?
 * (A weak initial.)
 *
 * Returns: its position in the sequence, `length` when it is not in it but commutes with all of it, or -1.
 */
export function weakInitial(step: Step, sequence: readonly Step[], from: number, length: number): number {
  const { pid, objects } = step;
  for (let i = from; i < length; i++) {
    const other = sequence[i];
    if (other.pid === pid) return sameChoices(step, other) ? i : -1;
    if ((objects & other.objects) !== 0 && conflict(step.accesses, other.accesses)) return -1;
  }
  return length;
}
