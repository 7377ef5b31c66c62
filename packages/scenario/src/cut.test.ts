// Traces that were cut to fit: what is left of them is compared, and nothing that chance decides.
import { expect, test } from "vitest";
import { compareRecordings } from "./compare.ts";
import { expandRepeats } from "./events.ts";
import { parseScenario } from "./format.ts";
import type { OpTrace, RecordedEvent, Recording } from "./result.ts";

const scenario = parseScenario(
  JSON.stringify({
    id: "long",
    title: "a long operation",
    files: [{ name: "a", size: 4096, seed: 1 }],
    ops: [{ op: "fsync", fd: "f" }],
  }),
  "test",
);

type Trace = Omit<OpTrace, "op">;

function completed({ events, ...elided }: Trace): Recording {
  return { id: "long", results: [{ ret: 0 }], final: {}, trace: [{ op: 0, events, ...elided }] };
}

function endless({ events }: Trace): Recording {
  return { id: "long", results: [], hang: true, killable: true, trace: [{ op: 0, events }] };
}

/** What differs, in words; "" when nothing does. */
function differing(expected: Recording, actual: Recording): string {
  return compareRecordings(scenario, expected, actual)
    .map(({ tier, what }) => `${tier} ${what}`)
    .join(", ");
}

const fault = (page: number): RecordedEvent[] => [
  ["gfs2_mkwrite", page],
  ["glock_nq", "a", "EX"],
  ["glock_dq", "a", "EX"],
  ["gfs2_mkwrite", "ret", "LOCKED"],
];
const faults = (pages: number): RecordedEvent[] => [...Array(pages).keys()].flatMap(fault);
/** The same with its middle cut out, which holds eight events and so many updates. */
const cut = (updates: number): RecordedEvent[] => [...fault(0), ["update_time"], ["...", 8 + updates], ...fault(3)];

test("updates of time stamps may be in the middle that was cut out, at most one in each call that looks at the clock", () => {
  const run = completed({ events: faults(4) });
  expect(differing(completed({ events: cut(0) }), run)).toBe("");
  expect(differing(completed({ events: cut(2) }), run)).toBe("");
  expect(differing(completed({ events: cut(3) }), run)).toBe("protocol events, memory events");
  expect(differing(completed({ events: cut(-1) }), run)).toBe("protocol events, memory events");
});

test("a fault more or less is noticed where its kind was left out", () => {
  const middle = faults(3).flatMap((event): RecordedEvent[] => [["mm_fault", "m", 0, "w", "ret", "0"], event]);
  const recorded = (count: number): Recording =>
    completed({ events: faults(3), elided: { mm_fault: count, middle: 0 } });
  expect(differing(recorded(12), completed({ events: middle }))).toBe("");
  expect(differing(recorded(11), completed({ events: middle }))).toBe("memory number of mm_fault");
});

test("kinds are counted as the recorder counts them: a call and its return are one once nothing is between them", () => {
  const events: RecordedEvent[] = [
    ["fixup", 1],
    ["mm_fault", 1, "ret", 0],
    ["fixup", "ret", 0],
    ["glock_nq", "a", "EX"],
  ];
  const elided = { mm_fault: 1, fixup: 1 };
  expect(differing(completed({ events: [["glock_nq", "a", "EX"]], elided }), completed({ events }))).toBe("");
});

/** One round of a loop that never ends, and the loop itself. */
const ROUND: readonly RecordedEvent[] = [
  ["glock_nq", "a", "CW"],
  ["dio", "ret", -14],
  ["glock_dq", "a", "CW"],
];
const round = (times: number, rounds: readonly RecordedEvent[] = ROUND): RecordedEvent[] => [
  ["file_read"],
  ...Array.from({ length: times }, () => rounds).flat(),
];
/** The first and the last rounds of many. */
const fewOf = (events: readonly RecordedEvent[]): RecordedEvent[] => [
  ...events.slice(0, 10),
  ["...", events.length - 21],
  ...events.slice(-11),
];

test("how often an operation goes round until a signal ends it does not count", () => {
  const run = endless({ events: round(20) });
  for (const times of [100, 1000]) {
    expect(differing(endless({ events: fewOf(round(times)) }), run), `${times} rounds`).toBe("");
  }
  const stopped = [...fewOf(round(100)), ["glock_nq", "a", "CW"], ["dio"]] as RecordedEvent[];
  expect(differing(endless({ events: stopped }), run), "stopped within a call").toBe("");
});

test("what it does in a round counts", () => {
  const longer: RecordedEvent[] = [...ROUND, ["iomap_begin", "pos", 0, "len", 4096, "flags", 16, "ret", 0]];
  const run = endless({ events: [...round(4), ...round(20, longer).slice(1)] });
  expect(differing(endless({ events: fewOf(round(100)) }), run)).toBe("protocol events, memory events");
  expect(differing(completed({ events: fewOf(round(100)) }), completed({ events: round(20) }))).toBe(
    "protocol events, memory events",
  );
});

test("who waits at the end does what it did in the same place", () => {
  const waits = (rounds: number): RecordedEvent[] => [...round(rounds), ["glock_nq", "a", "EX"]];
  expect(differing(endless({ events: fewOf(waits(100)) }), endless({ events: waits(100) }))).toBe("");
  expect(differing(endless({ events: fewOf(waits(100)) }), endless({ events: waits(20) }))).toBe(
    "protocol events, memory events",
  );
});

test("folded rounds are compared like cut ones", () => {
  const folded: RecordedEvent[] = [["file_read"], ...ROUND, ["repeat", 3, 999, []]];
  expect(expandRepeats(folded)).toEqual(round(1000));
  expect(differing(endless({ events: folded }), endless({ events: round(300) }))).toBe("");
});
