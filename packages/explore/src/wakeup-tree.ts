// Wakeup trees (Abdulla, Aronis, Jonsson, Sagonas, "Source Sets: A Foundation for Optimal Dynamic Partial
// Order Reduction", JACM 2017): at each point of the current execution, the beginnings of executions that
// are still to be explored from there, in order. None is equivalent to a continuation of an earlier one.
//
// A branch holds a run of steps and forks only where two sequences part: most sequences never do, and then
// cost one array.

import { type Accesses, conflict } from "./access.ts";
import type { Purse } from "./purse.ts";
import { isSameStep, type Step, weakInitial } from "./step.ts";

export interface Branch {
  readonly steps: readonly Step[];
  /** The part of `steps` that is this branch's own. */
  start: number;
  end: number;
  children: Branch[];
  /** The last step of a leaf is only foreseen: it may do more. What was left out because it seemed not to. */
  relied: Reliance[] | null;
}

/** Beginnings that were left out: their first step, and what they did before the foreseen step of the leaf. */
export interface Reliance {
  readonly first: Step;
  readonly accesses: number[];
}

/**
 * Add a beginning, unless some branch already leads to an execution that is equivalent to a continuation of it.
 *
 * Uses up `sequence`, of which the steps before `length` count, and `purse`, which paid for them and for all that
 * comes before.
 */
export function insert(branches: Branch[], sequence: Step[], length: number, purse: Purse): void {
  let level = branches;
  // What is matched moves to the front and is passed over.
  let from = 0;
  descend: for (;;) {
    for (let i = 0; i < level.length; i++) {
      const branch = level[i];
      const { steps, start, end } = branch;
      let at = start;
      for (; at < end; at++) {
        const position = weakInitial(steps[at], sequence, from, length);
        if (position < 0) break;
        if (!affords(purse, steps[at], position === length ? null : sequence[position])) break;
        if (at === end - 1 && branch.children.length === 0) rely(branch, sequence, from, position);
        if (position === length) continue;
        for (let to = position; to > from; to--) sequence[to] = sequence[to - 1];
        from++;
      }
      if (at === start) continue;
      if (from === length || (at === end && branch.children.length === 0)) return;
      if (at < end) {
        branch.children = [{ steps, start: at, end, children: branch.children, relied: branch.relied }];
        branch.relied = null;
        branch.end = at;
      }
      level = branch.children;
      continue descend;
    }
    const own = sequence.slice(from, length);
    level.push({ steps: own, start: 0, end: own.length, children: [], relied: null });
    return;
  }
}

/** Pay for a step that comes first, in place of the one that it is in the sequence. Returns: was that affordable? */
function affords(purse: Purse, step: Step, replaced: Step | null): boolean {
  if (step.spends.length === 0 && (replaced === null || replaced.spends.length === 0)) return true;
  purse.pay(step);
  if (replaced !== null) purse.refund(replaced);
  if (purse.isEnough) return true;
  purse.refund(step);
  if (replaced !== null) purse.pay(replaced);
  return false;
}

/** Take the first step off a branch that is now executed. Returns: what is to be explored after it. */
export function advance(branch: Branch): Branch[] {
  branch.start++;
  return branch.start < branch.end ? [branch] : branch.children;
}

/** Is the first step of a branch only foreseen? It was executed in this place before if anything comes after it. */
export function isForeseen(branch: Branch): boolean {
  return branch.start === branch.end - 1 && branch.children.length === 0;
}

/** First steps of what was left out wrongly, now that the foreseen step of a branch turns out to do this. */
export function regrets(relied: readonly Reliance[], accesses: Accesses): Step[] {
  return relied.filter((reliance) => conflict(reliance.accesses, accesses)).map(({ first }) => first);
}

/** Note that the leaf was taken to commute with these steps. */
function rely(branch: Branch, sequence: readonly Step[], from: number, to: number): void {
  if (from === to) return;
  branch.relied ??= [];
  const first = sequence[from];
  let reliance = branch.relied.find((each) => isSameStep(each.first, first));
  if (reliance === undefined) {
    reliance = { first, accesses: [] };
    branch.relied.push(reliance);
  }
  for (let i = from; i < to; i++) {
    const { accesses } = sequence[i];
    for (let j = 0; j < accesses.length; j += 2) {
      if (!includes(reliance.accesses, accesses[j], accesses[j + 1])) {
        reliance.accesses.push(accesses[j], accesses[j + 1]);
      }
    }
  }
}

function includes(accesses: Accesses, object: number, deed: number): boolean {
  for (let i = 0; i < accesses.length; i += 2) {
    if (accesses[i] === object && accesses[i + 1] === deed) return true;
  }
  return false;
}
