// Where a recorded fault in the middle of a page tells that a copy was interrupted.
import { Machine, REVISIONS, sysMmap } from "@faultline/fs";
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE, userStore } from "@faultline/mm";
import { expect, test } from "vitest";
import { isTorn } from "./fault-events.ts";
import { Names } from "./maps.ts";
import type { Progress } from "./progress.ts";
import type { RecordedEvent } from "./result.ts";
import { interruptedAfter } from "./torn-copy.ts";

const LENGTH = 4 * 4096;
const LOOK: RecordedEvent = ["fault_in_readable", "m", 4096, 4096, "ret", 0];

/** Of a copy of page 1, which is there, with this fault to come. */
function interrupted(fault: RecordedEvent, from = 4096, bytes = 4096): number {
  const machine = new Machine({ kernel: REVISIONS["7.2"] });
  const task = machine.task("writer");
  const names = new Names();
  const { base } = names.declareMap("m");
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  machine.call(task, sysMmap(task, { address: base, length: LENGTH, prot: PROT_READ | PROT_WRITE, flags }));
  machine.call(task, userStore(task, base + 4096, 4096, 1));
  const events = [LOOK, fault];
  const expected = { events, without: new Set<string>(), updates: [], cut: false };
  const progress = { task, expected, got: events.slice(0, 1) } as unknown as Progress;
  return interruptedAfter(progress, names, base + from, bytes);
}

test("a copy is interrupted where it is to fault next, if it would not fault there now", () => {
  expect(interrupted(["pf_kernel", "m", 5000, "r"])).toBe(904);
  expect(interrupted(["pf_kernel", "m", 4096, "r"])).toBe(0);
  expect(interrupted(["pf_kernel", "m", 5000, "r"], 4096, 904)).toBe(0);
  expect(interrupted(["pf_kernel", "m", 5000, "wp"])).toBe(0);
  expect(interrupted(["write_end", "ret", 1])).toBe(0);
  // A fault before the copy is another one's.
  expect(interrupted(["pf_kernel", "m", 4096, "r"], 5000)).toBe(0);
  // Page 0 is not there: the copy faults by itself.
  expect(interrupted(["pf_kernel", "m", 100, "r"], 0)).toBe(0);
});

test("only a fault behind what was looked at last is in the middle of a copy", () => {
  const torn = (fault: RecordedEvent): boolean => isTorn([LOOK, fault], 1);
  expect(torn(["pf_kernel", "m", 5000, "r"])).toBe(true);
  expect(torn(["pf_kernel", "m", 8192, "r"])).toBe(false);
  expect(torn(["pf_kernel", "n", 5000, "r"])).toBe(false);
  expect(
    isTorn(
      [
        ["fault_in_safe_w", "m", 5000, 4096],
        ["pf_kernel", "m", 5000, "w"],
      ],
      1,
    ),
  ).toBe(false);
});
