// The point of no return of an execution that ends badly: the last step before which it could still have
// ended well, and what would have had to happen instead.

import type { DriverOptions } from "./driver.ts";
import { Explorer } from "./explorer.ts";
import type { Event } from "./finding.ts";
import type { Program } from "./program.ts";

export interface NoReturn {
  /** Number of the fatal event. Before it some continuation ends well; after it none does. */
  readonly fatal: number;
  /** What could have happened in its place: this event, or nothing more (null). */
  readonly instead: Event | null;
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
  const outs = new Map<number, WayOut>();
  const wayOut = (e: number): WayOut => {
    let out = outs.get(e);
    if (out === undefined) outs.set(e, (out = goodEnding(program, events.slice(0, e), options)));
    return out;
  };
  // Whoever can be saved later could have been saved earlier.
  let good = -1;
  let bad = events.length;
  while (bad - good > 1) {
    const middle = Math.floor((good + bad) / 2);
    const out = wayOut(middle);
    if (out === "unknown") return "unknown";
    if (out === "none") bad = middle;
    else good = middle;
  }
  const out = good < 0 ? "none" : wayOut(good);
  return out === "none" || out === "unknown" ? "doomed" : { fatal: good, instead: out.next };
}

/** How a good ending goes on from some point. */
type WayOut = { readonly next: Event | null } | "none" | "unknown";

/** Look for a continuation that ends well. */
function goodEnding(program: Program, prefix: readonly Event[], options: DriverOptions): WayOut {
  let found: WayOut = "none";
  const explorer = new Explorer(
    program,
    ({ path, driver }, ending) => {
      if (ending !== "completed" || (driver.running.invariant?.() ?? null) !== null) return;
      if (!prefix.every(({ pid }, e) => path.steps[e]?.pid === pid)) return;
      const step = path.steps[prefix.length];
      found = { next: step === undefined ? null : { pid: step.pid, choices: step.choices } };
    },
    options,
    { prefix },
  );
  for (let i = 0; i < PATIENCE; i++) {
    const more = explorer.run(1);
    if (found !== "none") return found;
    // The beginning itself did not come about.
    if (!more) return explorer.counts.surprises > 0 ? "unknown" : "none";
  }
  return "unknown";
}
