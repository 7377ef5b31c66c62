// A schedule survives being written and read, and a broken one says what is wrong.
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatSchedule, parseSchedule } from "../index.ts";

test.each([
  { desc: "all default", schedule: { preemptive: false, decisions: [] }, want: "c" },
  { desc: "zeros at the end vanish", schedule: { preemptive: true, decisions: [1, 0, 0] }, want: "p1" },
  { desc: "runs", schedule: { preemptive: true, decisions: [3, 0, 0, 0, 1] }, want: "p3.0x3.1" },
])("$desc: $want", ({ schedule, want }) => {
  expect(formatSchedule(schedule)).toBe(want);
});

test("any schedule round-trips, up to trailing zeros", () => {
  fc.assert(
    fc.property(fc.boolean(), fc.array(fc.nat({ max: 9 })), (preemptive, decisions) => {
      const again = parseSchedule(formatSchedule({ preemptive, decisions }));
      const padded = [...again.decisions, ...decisions.slice(again.decisions.length).map(() => 0)];
      expect({ ...again, decisions: padded }).toEqual({ preemptive, decisions });
    }),
  );
});

test.each(["", "x", "p1..2", "p-1", "p1x0", "c1x", "p1x999999999"])("%j is refused", (text) => {
  expect(() => parseSchedule(text)).toThrow(SyntaxError);
});
