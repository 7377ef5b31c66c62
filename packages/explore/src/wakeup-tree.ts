// Wakeup trees (Abdulla, Aronis, Jonsson, Sagonas, "Source Sets: A Foundation for Optimal Dynamic Partial
// Order Reduction", JACM 2017): at each point of the current execution, the beginnings of executions that
// are still to be explored from there, in order. None is equivalent to a continuation of an earlier one.
//
// A branch holds a run of steps and forks only where two sequences part: most sequences never do, and then
// cost one array.

import { type Accesses, conflict } from "./access.ts";
import { type Step, weakInitial } from "./step.ts";

export interface Branch {
  readonly steps: readonly Step[];
  /** The part of `steps` that is this branch's own. */
  start: number;
  end: number;
  children: Branch[];
  /**
   * The last step of a leaf is only foreseen. These are accesses that were taken to commute with it; when it
   * turns out to do more than foreseen, whoever executes it checks them again.
   */
  relied: number[] | null;
}

/**
 * Add a beginning, unless some branch already leads to an execution that is equivalent to a continuation of it.
 *
 * Uses up `sequence`, of which the first `length` steps count.
 * Returns: the branch of the first level that leads there now.
 */
export function insert(branches: Branch[], sequence: Step[], length: number): Branch {
  let level = branches;
  let root: Branch | null = null;
  descend: for (;;) {
    for (const branch of level) {
      const { steps, start, end } = branch;
      let at = start;
      for (; at < end; at++) {
        const position = weakInitial(steps[at], sequence, length);
        if (position < 0) break;
        if (at === end - 1 && branch.children.length === 0) rely(branch, sequence, position);
        if (position < length) length = remove(sequence, position, length);
      }
      if (at === start) continue;
      root ??= branch;
      if (length === 0 || (at === end && branch.children.length === 0)) return root;
      if (at < end) {
        branch.children = [{ steps, start: at, end, children: branch.children, relied: branch.relied }];
        branch.relied = null;
        branch.end = at;
      }
      level = branch.children;
      continue descend;
    }
    const leaf = { steps: sequence.slice(0, length), start: 0, end: length, children: [], relied: null };
    level.push(leaf);
    return root ?? leaf;
  }
}

/** The first step of a branch, if it is known what it does: if it was executed before in this place. */
export function knownStart(branch: Branch): Step | null {
  const foreseen = branch.start === branch.end - 1 && branch.children.length === 0;
  return foreseen ? null : branch.steps[branch.start];
}

/** Take the first step off a branch that is now executed. Returns: what is to be explored after it. */
export function advance(branch: Branch): Branch[] {
  branch.start++;
  return branch.start < branch.end ? [branch] : branch.children;
}

/** Did a foreseen step do something that was taken not to matter? */
export function disappoints(branch: Branch, accesses: Accesses): boolean {
  return branch.relied !== null && conflict(branch.relied, accesses);
}

function remove(sequence: Step[], position: number, length: number): number {
  for (let i = position + 1; i < length; i++) sequence[i - 1] = sequence[i];
  return length - 1;
}

function rely(branch: Branch, sequence: readonly Step[], length: number): void {
  branch.relied ??= [];
  const { relied } = branch;
  for (let i = 0; i < length; i++) {
    const { accesses } = sequence[i];
    for (let j = 0; j < accesses.length; j += 2) {
      if (!includes(relied, accesses[j], accesses[j + 1])) relied.push(accesses[j], accesses[j + 1]);
    }
  }
}

function includes(accesses: Accesses, object: number, deed: number): boolean {
  for (let i = 0; i < accesses.length; i += 2) {
    if (accesses[i] === object && accesses[i + 1] === deed) return true;
  }
  return false;
}
