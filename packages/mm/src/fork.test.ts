// What do parent and child share after fork, until when, and at what price?
import { ENOMEM, PAGE_SIZE } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import {
  doMadvise,
  dupMm,
  getUserPagesUnlocked,
  MADV_DONTNEED,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_GROWSDOWN,
  MAP_LOCKED,
  MAP_PRIVATE,
  MAP_SHARED,
  MM_5_10,
  MM_LATEST,
  MmStruct,
  mmput,
  PROT_READ,
  UserTask,
} from "./index.ts";
import { MemoryFile } from "./testing/memory-file.ts";
import { Rig } from "./testing/rig.ts";

const P = PAGE_SIZE;
const AT = 0x200000;

function fork(rig: Rig, parent = rig.task): UserTask {
  const copy = rig.run(dupMm(parent), parent);
  expect(copy).toBeInstanceOf(MmStruct);
  return new UserTask(rig.world, "child", copy as MmStruct);
}

describe.each([MM_5_10, MM_LATEST])("$name", (revision) => {
  test("private memory: one page for both until one of them stores", () => {
    const rig = new Rig({ revision });
    rig.mmap({ address: AT, length: 3 * P });
    rig.store(AT, 1);
    rig.store(AT + P, 2);
    const { freePages } = rig.mem;
    const child = fork(rig);
    expect([rig.mem.freePages, rig.pagemap(AT, 3 * P), rig.pagemap(AT, 3 * P, child)]).toEqual([
      freePages,
      "aa.",
      "aa.",
    ]);
    rig.store(AT, 10);
    expect([rig.load(AT), rig.load(AT, child), rig.mem.freePages]).toEqual([10, 1, freePages - 1]);
    rig.store(AT + P, 20, child);
    expect([rig.load(AT + P), rig.load(AT + P, child)]).toEqual([2, 20]);
    // Who is left alone with a page writes to it without a copy.
    const { freePages: before } = rig.mem;
    rig.store(AT, 11, child);
    rig.store(AT + P, 21);
    expect([rig.mem.freePages, rig.load(AT), rig.load(AT, child)]).toEqual([before, 10, 11]);
    rig.check([rig.mm, child.mm]);
  });

  test("a chain of three, and the middle one goes", () => {
    const rig = new Rig({ revision });
    rig.mmap({ address: AT, length: P });
    rig.store(AT, 1);
    const child = fork(rig);
    const grandchild = fork(rig, child);
    rig.store(AT, 2, child);
    mmput(child);
    rig.store(AT, 3, grandchild);
    expect([rig.load(AT), rig.load(AT, grandchild)]).toEqual([1, 3]);
    rig.check([rig.mm, grandchild.mm]);
    mmput(grandchild);
    rig.check();
  });

  test("when the child is gone, the parent's store needs no copy", () => {
    const rig = new Rig({ revision });
    rig.mmap({ address: AT, length: P });
    rig.store(AT, 1);
    const { freePages } = rig.mem;
    mmput(fork(rig));
    rig.store(AT, 2);
    expect(rig.mem.freePages).toBe(freePages);
    rig.check();
  });

  test("somebody who holds a page of the parent keeps it: with the old rule the parent loses it", () => {
    const rig = new Rig({ revision });
    rig.mmap({ address: AT, length: P });
    rig.store(AT, 1);
    const pages: Parameters<typeof getUserPagesUnlocked>[4] = [];
    rig.run(getUserPagesUnlocked(rig.task, AT, 1, 1, pages));
    rig.mprotect(AT, P, PROT_READ);
    rig.mprotect(AT, P, 3);
    rig.store(AT, 2);
    const kept = rig.mm.pgd.get(AT / P) >>> 12 === pages[0];
    expect(kept).toBe(revision.anonExclusive);
    rig.check([rig.mm], [[pages[0], 1]]);
  });
});

test("what no page table needs is not copied: files, shared memory, areas never written to", () => {
  const rig = new Rig();
  const file = new MemoryFile(rig.mem, 2 * P);
  rig.mmap({ address: AT, length: P, flags: MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED });
  rig.mmap({ address: AT + P, length: P, flags: MAP_PRIVATE | MAP_FIXED, backing: file.backing });
  rig.mmap({ address: AT + 4 * P, length: P });
  rig.mmap({ address: AT + 8 * P, length: 2 * P, flags: MAP_PRIVATE | MAP_FIXED, backing: file.backing });
  for (const i of [0, 1, 4, 8]) rig.load(AT + i * P);
  rig.store(AT + 9 * P, 5);
  const child = fork(rig);
  // The last area has a page of its own: with it goes all that the area has.
  expect(rig.pagemap(AT, 10 * P, child)).toBe("........fa");
  rig.store(AT, 7);
  expect([rig.load(AT, child), rig.load(AT + 8 * P, child), rig.load(AT + 9 * P, child)]).toEqual([
    7,
    file.byteAt(0),
    5,
  ]);
  rig.check([rig.mm, child.mm]);
});

test("limits, totals and the stack are inherited; locks are not", () => {
  const rig = new Rig({ limits: { stack: 8 * P } });
  rig.mmap({ address: AT, length: 2 * P, flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_LOCKED });
  rig.mmap({ address: AT + 512 * P, length: P, flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN });
  const child = fork(rig);
  expect([child.mm.totalVm, child.mm.dataVm, child.mm.lockedVm]).toEqual([3 * P, 2 * P, 0]);
  expect([rig.store(AT + 510 * P, 1, child), rig.store(AT + 500 * P, 1, child)]).toEqual(["", "SIGSEGV"]);
  rig.check([rig.mm, child.mm]);
});

test("no memory for a pinned page: -ENOMEM, and nothing is left of the child", () => {
  const rig = new Rig({ memory: 12 * P });
  rig.mmap({ address: AT, length: 12 * P });
  rig.store(AT, 1);
  const pages: Parameters<typeof getUserPagesUnlocked>[4] = [];
  rig.run(getUserPagesUnlocked(rig.task, AT, 1, 1 | (1 << 19), pages));
  for (let i = 1; rig.mem.freePages > 0; i++) rig.store(AT + i * P, 1);
  expect(rig.run(dupMm(rig.task))).toBe(-ENOMEM);
  expect([rig.load(AT), rig.store(AT + P, 2), rig.mm.mmapLock.isFree()]).toEqual([1, "", true]);
  rig.check([rig.mm], [[pages[0], 1]]);
});

test("the child's memory is its own to give up", () => {
  const rig = new Rig();
  rig.mmap({ address: AT, length: P });
  rig.store(AT, 1);
  const child = fork(rig);
  expect(rig.run(doMadvise(child, AT, P, MADV_DONTNEED), child)).toBe(0);
  expect([rig.load(AT, child), rig.load(AT)]).toEqual([0, 1]);
  rig.check([rig.mm, child.mm]);
});
