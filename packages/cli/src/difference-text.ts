// A difference between a recording and a run, in words; events side by side around the first that differs.

import { align } from "./align.ts";
import type { ToldDifference } from "./replayer.ts";

/** Lines shown from the first difference on. */
const ROWS = 5;

/** Lines without newlines. */
export function differenceLines({ tier, where, what, expected, actual, events }: ToldDifference): string[] {
  const head = `   ${tier.padEnd(8)}  ${where}`;
  if (events === null) return [`${head}: ${what} was ${expected}, here it is ${actual}`];
  const { at, skipped } = events;
  const first = at - skipped;
  const pairs = align(withEnd(events.expected), withEnd(events.actual)).slice(0, first + ROWS);
  const width = Math.max("recorded".length, ...pairs.map(({ left }) => (left ?? "").length));
  const rows = pairs.map(({ left, right }, i) => {
    const sign = i === first ? ">" : left === right ? " " : "|";
    return `   ${sign} ${(left ?? "").padEnd(width)}   ${right ?? ""}`.trimEnd();
  });
  return [
    `${head}: event ${at + 1} differs`,
    `     ${"recorded".padEnd(width)}   here`,
    ...(skipped > 0 ? [`     ... ${skipped} equal`] : []),
    ...rows,
  ];
}

/** A list that ends here says so. */
function withEnd(events: readonly string[]): string[] {
  return [...events, "(no more events)"];
}
