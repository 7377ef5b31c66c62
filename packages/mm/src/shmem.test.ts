// Shared anonymous memory: who sees whose stores, and when does it go away?
import { PAGE_SIZE } from "@faultline/kernel";
import { expect, test } from "vitest";
import { dupMm, MAP_ANONYMOUS, MAP_POPULATE, MAP_SHARED, type MmStruct, mmput, PROT_READ, UserTask } from "./index.ts";
import { Rig } from "./testing/rig.ts";

const P = PAGE_SIZE;
const SHARED = MAP_SHARED | MAP_ANONYMOUS;

function fork(rig: Rig): UserTask {
  return new UserTask(rig.world, "child", rig.run(dupMm(rig.task)) as MmStruct);
}

test("parent and child see each other's stores, before and after either touched it", () => {
  const rig = new Rig();
  const at = rig.mmap({ length: 3 * P, flags: SHARED });
  rig.store(at, 1);
  const child = fork(rig);
  expect(rig.load(at, child)).toBe(1);
  rig.store(at + P, 2, child);
  expect(rig.load(at + P)).toBe(2);
  rig.load(at + 2 * P, child);
  rig.store(at + 2 * P, 3);
  expect(rig.load(at + 2 * P, child)).toBe(3);
  expect([rig.pagemap(at, 3 * P), rig.pagemap(at, 3 * P, child)]).toEqual(["fff", "fff"]);
  rig.check([rig.mm, child.mm]);
});

test("a page that is read first can be stored to without another fault", () => {
  const rig = new Rig();
  const at = rig.mmap({ length: P, flags: SHARED });
  rig.load(at);
  rig.store(at, 1);
  expect([rig.faults(), rig.pagemap(at, P)]).toEqual([[1, 0], "F"]);
});

test("its pages go with the last area that shows them", () => {
  const rig = new Rig();
  const { freePages } = rig.mem;
  const at = rig.mmap({ length: 4 * P, flags: SHARED });
  for (let i = 0; i < 4; i++) rig.store(at + i * P, i);
  const child = fork(rig);
  rig.munmap(at, 2 * P);
  expect(rig.mem.freePages).toBe(freePages - 4);
  mmput(child);
  expect(rig.mem.freePages).toBe(freePages - 4);
  expect(rig.load(at + 3 * P)).toBe(3);
  rig.munmap(at + 2 * P, 2 * P);
  expect(rig.mem.freePages).toBe(freePages);
  expect(rig.mem.mappings.every((mapping) => mapping === null)).toBe(true);
  rig.check();
});

test("two of them are two things, side by side or not", () => {
  const rig = new Rig();
  const first = rig.mmap({ length: P, flags: SHARED });
  const second = rig.mmap({ length: P, flags: SHARED });
  rig.store(first, 1);
  expect([rig.load(second), rig.mm.vmas.size]).toEqual([0, 2]);
  rig.check();
});

test("it is populated by reading, made read-only, and short of memory like any other", () => {
  const rig = new Rig({ memory: 12 * P });
  const at = rig.mmap({ length: 2 * P, flags: SHARED | MAP_POPULATE });
  expect(rig.pagemap(at, 2 * P)).toBe("FF");
  rig.mprotect(at, P, PROT_READ);
  expect([rig.store(at, 1), rig.store(at + P, 1)]).toEqual(["SIGSEGV", ""]);
  const large = rig.mmap({ length: 20 * P, flags: SHARED });
  let stored = 0;
  while (rig.store(large + stored * P, 1) === "") stored++;
  expect([stored > 0, rig.mem.freePages]).toEqual([true, 0]);
  rig.check();
});
