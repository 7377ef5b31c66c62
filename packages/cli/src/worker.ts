// One slice of a divided search, in a worker thread or in the main one.

import type { Escape, Tally } from "@faultline/explore";
import { type Part, ReducedSearch, type SavedSearch, type SearchOptions } from "@faultline/explore";
import { programOf, type Source } from "./source.ts";

export interface Slice {
  readonly source: Source;
  readonly options: SearchOptions;
  /** Where to go on, or the part to explore. */
  readonly saved: SavedSearch | null;
  readonly part: Part | null;
  /** How long to work, in seconds, and how many executions at most. */
  readonly seconds: number;
  readonly executions: number;
}

export interface SliceResult {
  /** Where to go on later; null when it is done. */
  readonly saved: SavedSearch | null;
  readonly escapes: readonly Escape[];
  readonly tally: Tally;
}

/** Executions between two looks at the clock. */
const STRIDE = 64;

export default function work({ source, options, saved, part, seconds, executions }: Slice): SliceResult {
  const search = new ReducedSearch(programOf(source), options, part ?? undefined);
  if (saved !== null) search.takeUp(saved);
  const end = performance.now() + seconds * 1000;
  let more = true;
  for (let left = executions; more && left > 0 && performance.now() < end; left -= STRIDE) {
    more = search.advance(Math.min(left, STRIDE));
  }
  return { saved: more ? search.putDown() : null, escapes: search.escapes, tally: search.tally };
}
