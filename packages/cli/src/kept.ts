// What is kept of real kernels beside the command, where it runs from a clone: recordings, the scenarios that were
// recorded, and how many of them the tests last found equal.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { TIERS, type Tier } from "@faultline/scenario";
import { type Pair, pairs } from "./corpus.ts";

/** The folder of everything below, relative to where the user stands; null where there is none. */
export function keptFolder(): string | null {
  const folder = fileURLToPath(new URL("../../../test/conformance", import.meta.url));
  return existsSync(join(folder, "recordings")) ? relative("", folder) : null;
}

/** The scenarios of one theme, with what a kernel did. */
export function keptPairs(folder: string, kernel: string, theme: string): AsyncGenerator<Pair, void, void> {
  const file = `${theme}.jsonl.gz`;
  return pairs(join(folder, "scenarios", file), join(folder, "recordings", kernel, file));
}

export interface Count {
  readonly kernel: string;
  readonly recordings: number;
  readonly equal: Readonly<Record<Tier, number>>;
}

/** How many recordings of each kernel are equal, as the tests keep it: lines of [theme, recordings, equal...]. */
export function keptCounts(folder: string): Count[] {
  const results = join(folder, "results");
  if (!existsSync(results)) return [];
  return readdirSync(results)
    .filter((name) => name.endsWith(".jsonl"))
    .map((name) => {
      const rows = readFileSync(join(results, name), "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line));
      const sum = (column: number): number => rows.reduce((total, row) => total + row[column], 0);
      const equal = { results: sum(2), protocol: sum(3), memory: sum(4) } satisfies Record<Tier, number>;
      return { kernel: name.slice(0, -".jsonl".length), recordings: sum(1), equal };
    })
    .sort((a, b) => a.kernel.localeCompare(b.kernel, "en", { numeric: true }));
}

/** Rows of a table: a kernel, its recordings, and how many are equal by tier. */
export function countLines(counts: readonly Count[]): string[] {
  const rows = counts.map(({ kernel, recordings, equal }) => [
    `Linux ${kernel}`,
    `${recordings} recordings`,
    ...TIERS.map((tier) => `${tier} ${equal[tier]}`),
  ]);
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]))
      .join("   ")
      .trimEnd(),
  );
}
