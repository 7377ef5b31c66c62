// Which trace an execution belongs to, spelled out: each event with the events before it that it conflicts
// with. For comparing sets of traces without trusting a hash.

import { conflict } from "../access.ts";
import type { Step } from "../step.ts";

export function traceKey(steps: readonly Step[]): string {
  const counts = new Map<number, number>();
  const names: string[] = [];
  const lines = steps.map(({ pid, accesses, choices }, e) => {
    counts.set(pid, (counts.get(pid) ?? 0) + 1);
    names.push(`${pid}.${counts.get(pid)}`);
    const before = names.filter((_, i) => i < e && steps[i].pid !== pid && conflict(steps[i].accesses, accesses));
    return `${names[e]} ${accesses.join()} chose ${choices.join()} after ${before.sort().join()}`;
  });
  return lines.sort().join("\n");
}
