// faultline conform: recordings of real kernels replayed, and what differs, in words.

import { availableParallelism } from "node:os";
import { TIERS, type Tier, unseenKinds, unseenOn } from "@faultline/scenario";
import { defineCommand } from "citty";
import { jsonlFiles, metaBeside, pairs } from "../corpus.ts";
import { differenceLines } from "../difference-text.ts";
import type { Io } from "../io.ts";
import type { Command } from "../main.ts";
import { replayAll } from "../replay-all.ts";
import { replayLine } from "../replay-line.ts";
import type { Replayed, ReplayTask } from "../replayer.ts";
import { readRevision } from "../revisions.ts";
import { type readArgs, UsageError, wholeNumber } from "../usage.ts";

const args = {
  scenarios: { type: "positional", required: true, description: "a .jsonl file of scenarios, or a folder of them" },
  recording: { type: "positional", required: true, description: "a .jsonl file of recordings, or a folder of them" },
  kernel: { type: "string", valueHint: "REV", description: "the revision that is to do the same" },
  tier: {
    type: "string",
    valueHint: "TIER,...",
    description: "compare only results, protocol or memory (all of them)",
  },
  show: { type: "string", valueHint: "N", description: "tell the differences of so many recordings (5)" },
  jobs: { type: "string", valueHint: "N", description: "threads (as many as there are processors)" },
} as const;

type Args = ReturnType<typeof readArgs<typeof args>>;

export const conform: Command<typeof args> = {
  definition: { ...defineCommand({ meta: { name: "conform", description: "Compare with recordings" } }), args },
  run: runConform,
};

async function runConform(given: Args, io: Io): Promise<number> {
  const kernel = readRevision(given.kernel).name;
  const tiers = readTiers(given.tier);
  const show = wholeNumber(given.show, "--show", 0, Number.MAX_SAFE_INTEGER, 5);
  const jobs = wholeNumber(given.jobs, "--jobs", 1, 256, availableParallelism());
  const tally = new Tally(tiers);
  for await (const replayed of replayAll(tasks(given, kernel, tiers), jobs)) tally.add(replayed);

  for (const [index, failed] of tally.failed.slice(0, show).entries()) {
    io.out(`${index + 1}. ${failed.id}${failed.title === "" ? "" : `: ${failed.title}`}\n`);
    for (const line of failed.differences.flatMap(differenceLines)) io.out(`${line}\n`);
    io.out(`   replay: ${replayLine(io, { ...failed, kernel })}\n\n`);
  }
  const hidden = tally.failed.length - Math.min(show, tally.failed.length);
  if (hidden > 0) io.out(`${hidden} more that differ; --show ${tally.failed.length} tells them all\n\n`);
  for (const line of tally.lines()) io.out(`${line}\n`);
  return tally.failed.length === 0 ? 0 : 1;
}

async function* tasks(
  { scenarios, recording }: Args,
  kernel: string,
  tiers: readonly Tier[],
): AsyncGenerator<ReplayTask> {
  // Both arguments exist before anything runs.
  jsonlFiles(recording, "recordings");
  const meta = metaBeside(recording);
  const unseen = meta === null ? unseenOn(kernel) : unseenKinds(meta);
  for await (const pair of pairs(scenarios, recording)) yield { pair, kernel, tiers, unseen };
}

function readTiers(text: string | undefined): readonly Tier[] {
  if (text === undefined) return TIERS;
  const wanted = text.split(",");
  const unknown = wanted.find((word) => !TIERS.some((tier) => tier === word));
  if (unknown !== undefined) throw new UsageError(`--tier must be of ${TIERS.join(", ")}, not "${unknown}"`);
  return TIERS.filter((tier) => wanted.includes(tier));
}

/** How many are equal. */
class Tally {
  readonly failed: Replayed[] = [];
  readonly #tiers: readonly Tier[];
  readonly #differ = new Map<Tier, number>();
  #count = 0;

  constructor(tiers: readonly Tier[]) {
    this.#tiers = tiers;
  }

  add(replayed: Replayed): void {
    this.#count++;
    if (replayed.differences.length === 0) return;
    this.failed.push(replayed);
    for (const { tier } of replayed.differences) this.#differ.set(tier, (this.#differ.get(tier) ?? 0) + 1);
  }

  lines(): string[] {
    const width = String(this.#count).length;
    const rows = this.#tiers.map((tier) => {
      const differ = this.#differ.get(tier) ?? 0;
      const equal = String(this.#count - differ).padStart(width);
      return `${tier.padEnd(8)}  ${equal} equal  ${String(differ).padStart(width)} differ`;
    });
    const failed = this.failed.length;
    return [...rows, `${this.#count - failed} passed, ${failed} failed`];
  }
}
