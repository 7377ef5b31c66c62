// A copy that others interrupt has done what was there before they came, and faults at the byte from where on they took it
// away.
import { PAGE_SIZE } from "@faultline/kernel";
import { expect, test } from "vitest";
import { copyPageInTwo, type IovIter, ITER_DEST, ITER_SOURCE, iovIterUbuf } from "./index.ts";
import { allocFrames, BASE, makeRig, mapPages, physicalBytes, type Rig, traced, userByte } from "./rig.ts";

const FIRST = 1000;

/** Copy a page in two, with this between the parts. Returns: bytes done. */
function copy(rig: Rig, i: IovIter, between: () => void): number {
  const frame = allocFrames(rig, 1);
  const steps = copyPageInTwo(rig.task, frame, 0, PAGE_SIZE, i, FIRST);
  expect(steps.next().done).toBe(false);
  expect(i.count).toBe(PAGE_SIZE - FIRST);
  traced(rig);
  between();
  const end = steps.next();
  expect(end.done).toBe(true);
  const done = end.value as number;
  expect(i.count).toBe(PAGE_SIZE - done);
  if (i.dataSource) {
    const bytes = [...physicalBytes(rig, frame * PAGE_SIZE, PAGE_SIZE)];
    expect(bytes).toEqual(bytes.map((_, at) => (at < done ? userByte(BASE + at) : 0)));
  }
  return done;
}

test.each([
  ["read", ITER_SOURCE, "page_fault_kernel +1000 0"],
  ["written", ITER_DEST, "page_fault_kernel +1000 2"],
] as const)("memory that is %s ends where it is taken away, and the fault is met twice", (_desc, direction, fault) => {
  const rig = makeRig({ traced: true });
  mapPages(rig, "w");
  expect(copy(rig, iovIterUbuf(direction, BASE, PAGE_SIZE), () => mapPages(rig, "-"))).toBe(FIRST);
  expect(traced(rig).filter((line) => line.startsWith("page_fault"))).toEqual([fault, fault]);
});

test("nothing is taken away", () => {
  const rig = makeRig({ traced: true });
  mapPages(rig, "w");
  expect(copy(rig, iovIterUbuf(ITER_SOURCE, BASE, PAGE_SIZE), () => undefined)).toBe(PAGE_SIZE);
  expect(traced(rig)).toEqual([]);
});
