// The point of no return of an execution that ends badly: the last step before which it could still have
// ended well, and what would have had to happen instead.

import type { DriverOptions } from "./driver.ts";
import { Explorer } from "./explorer.ts";
import type { Event } from "./finding.ts";
import type { Program } from "./program.ts";
import { NONE } from "./step.ts";

export interface NoReturn {
  /** Number of the fatal event. Before it some continuation ends well; after it none does. */
  readonly fatal: number;
  /** What could have happened in its place: this event. Null when there is a way out after the whole execution. */
  readonly instead: Event;
}

/** How many executions to look at before a point counts as unknown. */
const PATIENCE = 20_000;

/**
 * Find the point of no return.
 *
 * Returns: it; "doomed" when nothing could have helped; "unknown" when it takes too long to find out.
 */
export function pointOfNoReturn(
  program: Program,
  events: readonly Event[],
  options: DriverOptions,
): NoReturn | "doomed" | "unknown" {
  const outs = new Map<number, Event | null | undefined>();
  /** How a good ending begins from the point before event e; null when there is none, undefined when unknown. */
  const wayOut = (e: number): Event | null | undefined => {
    if (!outs.has(e)) outs.set(e, goodEnding(program, events.slice(0, e), options));
    return outs.get(e);
  };
  // Whoever can be saved later could have been saved earlier.
  let good = -1;
  let bad = events.length;
  while (bad - good > 1) {
    const middle = Math.floor((good + bad) / 2);
    const out = wayOut(middle);
    if (out === undefined) return "unknown";
    if (out === null) bad = middle;
    else good = middle;
  }
  const instead = good < 0 ? null : wayOut(good);
  return instead === null || instead === undefined ? "doomed" : { fatal: good, instead };
}

/** Look for a continuation that ends well. Returns: its first event; null if there is none; undefined if unknown. */
function goodEnding(program: Program, prefix: readonly Event[], options: DriverOptions): Event | null | undefined {
  let first: Event | null = null;
  const explorer = new Explorer(
    program,
    ({ path, driver }, ending) => {
      if (ending !== "completed" || first !== null || (driver.running.invariant?.() ?? null) !== null) return;
      const next = path.steps[prefix.length];
      first = next === undefined ? { pid: 0, choices: NONE } : { pid: next.pid, choices: next.choices };
    },
    options,
    { prefix },
  );
  for (let i = 0; i < PATIENCE; i++) {
    const more = explorer.run(1);
    if (first !== null) return first;
    if (!more) return explorer.path.steps.length < prefix.length ? undefined : null;
  }
  return undefined;
}
