// The shortest schedule that still shows a fault, as far as trying finds it.
//
// A schedule is short when few of its decisions differ from 0, which is "go on with the task that runs,
// nothing special happens", and the last that does comes early.

import { formatSchedule, type Schedule } from "@faultline/kernel";
import type { Fault } from "./finding.ts";
import type { Program } from "./program.ts";
import { replay } from "./replay.ts";

/** Runs that one shrinking may take. */
const PATIENCE = 4000;

/** Context: none; runs the program many times. Returns: a schedule that shows `fault`, like `schedule` does. */
export function shrink(program: Program, schedule: Schedule, fault: Fault, maxSteps?: number): Schedule {
  let patience = PATIENCE;
  let best = schedule.decisions;

  /** Take these decisions if they are better and show the fault. */
  const take = (decisions: readonly number[]): boolean => {
    if (patience <= 0 || !isBetter(decisions, best)) return false;
    patience--;
    const options = maxSteps === undefined ? {} : { maxSteps };
    const { fault: shown } = replay(program, { preemptive: true, decisions }, options);
    if (shown?.kind !== fault.kind || shown.what !== fault.what) return false;
    best = trim(decisions);
    return true;
  };

  best = trim(best);
  for (const few of fewDeviations(program, 2, maxSteps)) {
    if (patience <= PATIENCE / 2) break;
    take(few);
  }
  for (let before: readonly number[] = []; before !== best; ) {
    before = best;
    for (let i = best.length - 1; i >= 0; i--) {
      if (best[i] === undefined) continue;
      if (best[i] !== 0 && !take(withDecision(best, i, 0)) && best[i] > 1) take(withDecision(best, i, 1));
      take([...best.slice(0, i), ...best.slice(i + 1)]);
    }
  }
  return { preemptive: true, decisions: best };
}

/** Schedules with one decision that is not 0, then with two, and so on up to `count`. */
function* fewDeviations(program: Program, count: number, maxSteps?: number): Generator<readonly number[], void, void> {
  yield [];
  let bases: (readonly number[])[] = [[]];
  for (let i = 0; i < count; i++) {
    const next: (readonly number[])[] = [];
    for (const base of bases) {
      const options = maxSteps === undefined ? {} : { maxSteps };
      const { schedule } = replay(program, { preemptive: true, decisions: base }, options);
      for (let at = base.length; at < schedule.decisions.length; at++) {
        const decisions = [...schedule.decisions.slice(0, at), 1];
        yield decisions;
        next.push(decisions);
      }
    }
    bases = next;
  }
}

function withDecision(decisions: readonly number[], i: number, value: number): number[] {
  return [...decisions.slice(0, i), value, ...decisions.slice(i + 1)];
}

function trim(decisions: readonly number[]): readonly number[] {
  let end = decisions.length;
  while (end > 0 && decisions[end - 1] === 0) end--;
  return decisions.slice(0, end);
}

/** By the length of the string, then by fewer decisions, then by smaller ones. */
function isBetter(a: readonly number[], b: readonly number[]): boolean {
  const [textA, textB] = [a, b].map((decisions) => formatSchedule({ preemptive: true, decisions }));
  if (textA.length !== textB.length) return textA.length < textB.length;
  return textA < textB;
}
