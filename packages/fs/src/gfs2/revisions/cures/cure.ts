// A cure for the deadlock that somebody proposed: a revision of its own, and its story. All but the last do
// not work; each fails in a scenario of scenarios/cures.jsonl, which the fix passes.

import type { Gfs2Revision } from "../../revision.ts";

export interface Cure extends Gfs2Revision {
  /** Three paragraphs for a person. */
  readonly story: {
    readonly proposed: string;
    readonly seemedRight: string;
    /** What defeats it; for the one that works, what it costs. */
    readonly defeat: string;
  };
}
