// What a lane is to lose, and when it has all of it.
import { Machine, REVISIONS, sysMmap } from "@faultline/fs";
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE, userStore } from "@faultline/mm";
import { expect, test } from "vitest";
import { ALREADY, type Loss, losesAfter } from "./loss-foresight.ts";
import { Names } from "./maps.ts";
import type { Progress } from "./progress.ts";
import type { RecordedEvent } from "./result.ts";

const PAGES = 4;

/** By how many events the lane has got: after which it loses something. The pages `there` are mapped all the while. */
function losses(
  loss: Loss,
  list: readonly RecordedEvent[],
  there: readonly number[] = [],
  isInterrupted = false,
): (number | null)[] {
  const machine = new Machine({ kernel: REVISIONS["7.2"] });
  const task = machine.task("reader");
  const names = new Names();
  const { base } = names.declareMap("m");
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  const length = PAGES * 4096;
  machine.call(task, sysMmap(task, { address: base, length, prot: PROT_READ | PROT_WRITE, flags }));
  for (const page of there) machine.call(task, userStore(task, base + page * 4096, 4096, 1));
  const expected = { events: list, without: new Set<string>(), updates: [], cut: false };
  return list.map((_, at) =>
    losesAfter(loss, { task, expected, got: list.slice(0, at), isInterrupted } as unknown as Progress, names),
  );
}

/** A fault for a store, which asks for these. */
const fault = (page: number, result: string, ...asks: readonly string[]): readonly RecordedEvent[] => [
  ["mm_fault", "m", page * 4096, "w"],
  ...asks.map((name): RecordedEvent => [name, page]),
  ["mm_fault", "ret", result],
  ["fixup_user_fault", "ret", 0],
];

test("a page that is asked for once more was unmapped when it and the next one had been mapped", () => {
  const list = [
    ...fault(0, "LOCKED", "gfs2_fault"),
    ...fault(1, "LOCKED", "gfs2_fault"),
    ...fault(0, "LOCKED", "gfs2_fault"),
    ...fault(1, "LOCKED", "gfs2_fault"),
  ];
  // The second fault ends with event 6, and the lane has come on from it with the next one.
  expect(losses("mapping", list).slice(0, 8)).toEqual([7, 7, 7, 7, 7, 7, 7, 7]);
  expect(losses("mapping", list, [0, 1])[8]).toBe(ALREADY);
  expect(losses("storing", list)).toEqual(list.map(() => null));
});

test("the last that is mapped counts, in whatever order the pages are asked for again", () => {
  const mapped = [...fault(1, "LOCKED", "gfs2_fault"), ...fault(0, "LOCKED", "gfs2_fault")];
  const list = [...mapped, ...fault(0, "LOCKED", "gfs2_fault"), ...fault(1, "LOCKED", "gfs2_fault")];
  expect(losses("mapping", list)[0]).toBe(mapped.length - 1);
});

test("a fault that is only taken again has lost nothing", () => {
  const list = [...fault(0, "MAJOR|RETRY", "gfs2_fault"), ...fault(0, "LOCKED", "gfs2_fault")];
  expect(losses("mapping", list)).toEqual(list.map(() => null));
});

test("who asks once more for the right to store to a page that stayed mapped has lost the right", () => {
  const list = [...fault(0, "LOCKED", "gfs2_fault", "gfs2_mkwrite"), ...fault(0, "COMPLETED", "gfs2_mkwrite")];
  expect(losses("storing", list)[0]).toBe(4);
  expect(losses("storing", list, [0])[5]).toBe(ALREADY);
  expect(losses("mapping", list)).toEqual(list.map(() => null));
});

test("what is touched without a fault is there until then", () => {
  const list: readonly RecordedEvent[] = [
    ["fault_in_readable", "m", 4096, 4096, "ret", 0],
    ["pf_kernel", "m", 4096, "r"],
  ];
  expect(losses("mapping", list, [1])).toEqual([0, ALREADY]);
  expect(losses("mapping", [["pf_kernel", "m", 4096, "wp"]], [1])).toEqual([null]);
});

test("what is lost in the middle of a copy is there until the copy is interrupted", () => {
  const list: readonly RecordedEvent[] = [
    ["fault_in_readable", "m", 4096, 4096, "ret", 0],
    ["write_begin", "ret", 0],
    ["pf_kernel", "m", 5000, "r"],
  ];
  expect(losses("mapping", list, [1])).toEqual([1, 1, 1]);
  expect(losses("mapping", list, [1], true)[2]).toBe(ALREADY);
});

test("what is asked for again at once is lost as soon as it is there", () => {
  const list: readonly RecordedEvent[] = [
    ["mm_fault", "m", 0, "r"],
    ["map_pages", 0, 3],
    ["mm_fault", "ret", "NOPAGE"],
    ["pf_kernel", "m", 0, "r"],
  ];
  expect(losses("mapping", list)).toEqual([2, 2, 2, 2]);
  expect(losses("mapping", list, [0])[3]).toBe(ALREADY);
});

test("a page whose fault finds another entry when the file was asked was unmapped while it was", () => {
  const list = fault(0, "NOPAGE", "gfs2_mkwrite");
  expect(losses("mapping", list, [0])).toEqual([1, 1, ALREADY, null]);
  expect(losses("mapping", fault(0, "COMPLETED", "gfs2_mkwrite"), [0])).toEqual([null, null, null, null]);
});
