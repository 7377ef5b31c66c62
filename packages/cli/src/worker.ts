// One slice of a search, in a worker thread or in the main one.

import {
  type EventName,
  ReducedSearch,
  type SavedSearch,
  type SearchOptions,
  type Share,
  type Tally,
} from "@faultline/explore";
import { programOf, type Source } from "./source.ts";

export interface Slice {
  readonly source: Source;
  readonly options: SearchOptions;
  /** The part of the search. */
  readonly share: Share;
  /** Where to go on; null for the beginning. */
  readonly saved: SavedSearch | null;
  /** How long to work, in seconds, and how many executions at most. */
  readonly seconds: number;
  readonly executions: number;
}

export interface SliceResult {
  /** Where to go on later; null when it is done. */
  readonly saved: SavedSearch | null;
  readonly tally: Tally;
  /** Events that make the cut void. */
  readonly changed: readonly EventName[];
  /** How much of the part is done, from 0 to 1. */
  readonly progress: number;
}

/** Executions between two looks at the clock. */
const STRIDE = 64;

export default function work({ source, options, share, saved, seconds, executions }: Slice): SliceResult {
  const search = new ReducedSearch(programOf(source), options, share);
  if (saved !== null) search.takeUp(saved);
  const end = performance.now() + seconds * 1000;
  let more = true;
  for (let left = executions; more && left > 0 && performance.now() < end; left -= STRIDE) {
    more = search.advance(Math.min(left, STRIDE));
  }
  const { tally, changed, progress } = search;
  return { saved: more ? search.putDown() : null, tally, changed, progress: more ? progress : 1 };
}
