// What is promised of each kernel's recordings; the files beside this one hold one kernel each, so that they
// run at the same time.
import { TIERS } from "@faultline/scenario";
import { expect } from "vitest";
import { knownDifferences } from "./corpus.ts";
import type { Outcome } from "./replay-all.ts";

/** Exactly the differences that known-differences.json lists, and of memory no more than two in a hundred. */
export async function expectConformance(kernel: string, { rows, differing, leftovers }: Outcome): Promise<void> {
  expect(leftovers).toEqual({});
  const known = Object.entries(knownDifferences()[kernel] ?? {});
  expect(differing).toEqual(Object.fromEntries(known.map(([id, { tiers }]) => [id, tiers])));
  for (const [id, { reason }] of known) expect(reason, `the reason of ${id}`).toMatch(/\w{3,}.*\.$/s);
  const count = rows.reduce((sum, row) => sum + row.count, 0);
  const equal = rows.reduce((sum, row) => sum + row.equal.memory, 0);
  if (!kernel.includes("-")) expect(equal / count).toBeGreaterThanOrEqual(0.98);
  const table = rows.map((row) => [row.theme, row.count, ...TIERS.map((tier) => row.equal[tier])]);
  await expect(`${table.map((row) => JSON.stringify(row)).join("\n")}\n`).toMatchFileSnapshot(`results/${kernel}.jsonl`);
}
