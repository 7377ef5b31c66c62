// A difference between a recording and a run, in words; events side by side around the first that differs.

import type { ToldDifference } from "./replayer.ts";

/** Lines without newlines. */
export function differenceLines({ tier, where, what, expected, actual, events }: ToldDifference): string[] {
  const head = `   ${tier.padEnd(8)}  ${where}`;
  if (events === null) return [`${head}: ${what} was ${expected}, here it is ${actual}`];
  const { at, skipped } = events;
  const rows = Math.max(events.expected.length, events.actual.length);
  const cells = Array.from({ length: rows }, (_, i) => [cell(events.expected, i), cell(events.actual, i)]);
  const width = Math.max("recorded".length, ...cells.map(([left]) => left.length));
  return [
    `${head}: event ${at + 1} differs`,
    `     ${"recorded".padEnd(width)}   here`,
    ...(skipped > 0 ? [`     ... ${skipped} equal`] : []),
    ...cells.map(([left, right], i) =>
      `   ${skipped + i === at ? ">" : " "} ${left.padEnd(width)}   ${right}`.trimEnd(),
    ),
  ];
}

function cell(list: readonly string[], index: number): string {
  return list[index] ?? (index === list.length ? "(no more events)" : "");
}
