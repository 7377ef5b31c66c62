// The whole of it in one call: search, and say what it comes to.

import type { Program } from "./program.ts";
import { conclude, type ExploreResult } from "./result.ts";
import { openSearch, type SearchOptions } from "./search.ts";

export interface ExploreOptions extends SearchOptions {
  /** Executions after which the search stops, unfinished. */
  readonly maxExecutions?: number;
}

/** How many executions at a time. */
const STRIDE = 1000;

/**
 * Explore every schedule of a program within the bounds.
 *
 *   const { findings } = explore(philosophers(3));
 *   console.log(findings[0].schedule);
 */
export function explore(program: Program, options: ExploreOptions = {}): ExploreResult {
  const { maxExecutions = Number.POSITIVE_INFINITY } = options;
  const search = openSearch(program, options);
  let more = true;
  for (let left = maxExecutions; more && left > 0; left -= STRIDE) more = search.advance(Math.min(left, STRIDE));
  return conclude(program, search.tally, { ...options, complete: !more, promise: search.promise });
}
