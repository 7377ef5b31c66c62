// One kernel's recordings replayed, and what came of it as rows of a table.
import { type Gfs2Revision, REVISIONS } from "@faultline/fs";
import { replayRecording, scenarioMemory, TIERS, type Tier } from "@faultline/scenario";
import { knownDifferences, pairsOf, THEMES, unseenOf } from "./corpus.ts";

/** How many recordings of a theme are equal, by tier. */
export interface Row {
  readonly theme: string;
  readonly count: number;
  readonly equal: Readonly<Record<Tier, number>>;
}

export interface Outcome {
  readonly rows: readonly Row[];
  /** "results protocol", by the id of a recording that differs. */
  readonly differing: Readonly<Record<string, string>>;
  /** What outlived its call, by the id of the recording. */
  readonly leftovers: Readonly<Record<string, readonly string[]>>;
}

/** What is known not to be found is not searched for in full each time; `faultline conform` does that. */
const RUNS_OF_KNOWN = 10;

/** `kernel`: a folder of recordings, of the revision before its "-". */
export function replayAll(kernel: string, revision: Gfs2Revision = REVISIONS[kernel.split("-")[0]]): Outcome {
  const unseen = unseenOf(kernel);
  const hostMemory = scenarioMemory();
  const known = knownDifferences()[kernel] ?? {};
  const differing: Record<string, string> = {};
  const leftovers: Record<string, readonly string[]> = {};
  const rows = THEMES.flatMap((theme) => {
    const pairs = pairsOf(kernel, theme);
    const equal = { results: 0, protocol: 0, memory: 0 };
    for (const { scenario, recording } of pairs) {
      const replay = replayRecording(scenario, recording, {
        kernel: revision,
        unseen,
        hostMemory,
        ...(recording.id in known ? { maxRuns: RUNS_OF_KNOWN } : {}),
      });
      const { differences } = replay;
      if (replay.leftovers.length > 0) leftovers[recording.id] = replay.leftovers;
      const tiers = TIERS.filter((tier) => differences.some((difference) => difference.tier === tier));
      for (const tier of TIERS) if (!tiers.includes(tier)) equal[tier]++;
      if (tiers.length > 0) differing[recording.id] = tiers.join(" ");
    }
    return pairs.length === 0 ? [] : [{ theme, count: pairs.length, equal }];
  });
  return { rows, differing, leftovers };
}
