// What a lane is to do next that the merged order of lock events does not hold.
import { expect, test } from "vitest";
import { comesBeforeMerged, type Progress } from "./progress.ts";
import type { RecordedEvent } from "./result.ts";

const EVENTS: readonly RecordedEvent[] = [
  ["generic_read"],
  ["filemap_read", "ret", -11],
  ["generic_read", "ret", -11],
  ["glock_nq", "a", "PR"],
];

test.each([
  { desc: "the beginning of a call that is in the order", got: [], before: false },
  { desc: "a call within it", got: [["generic_read"]], before: true },
  { desc: "the return of that call", got: [["generic_read"], ["filemap_read"]], before: true },
  { desc: "the return of the first", got: [["generic_read"], EVENTS[1]], before: false },
  { desc: "a lock", got: EVENTS.slice(0, 3), before: false },
  { desc: "nothing", got: EVENTS, before: false },
] satisfies { desc: string; got: readonly RecordedEvent[]; before: boolean }[])("$desc", ({ got, before }) => {
  const expected = { events: EVENTS, cut: false, without: new Set<string>(), updates: [] };
  expect(comesBeforeMerged({ expected, got } as unknown as Progress)).toBe(before);
});
