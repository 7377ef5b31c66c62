// Which pages go when memory is short, in what order, and what is done to them before?
import { type Chooser, EFAULT, PAGE_SIZE, RandomChooser } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import {
  dupMm,
  getUserPagesUnlocked,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_LOCKED,
  MAP_PRIVATE,
  MAP_SHARED,
  type MmStruct,
  markPageAccessed,
  PG_ACTIVE,
  PG_REFERENCED,
  PROT_EXEC,
  PROT_READ,
  putUserPages,
  reclaimer,
  shrinkPage,
  trylockPage,
  tryToFreePages,
  UserTask,
  unlockPage,
  userLoad,
} from "./index.ts";
import { MemoryFile, patternAt } from "./testing/memory-file.ts";
import { Rig, type RigOptions } from "./testing/rig.ts";

const P = PAGE_SIZE;
const AT = 0x200000;

function withFile(pages: number, options: RigOptions = {}, flags = MAP_SHARED, prot = 3) {
  const rig = new Rig(options);
  const file = new MemoryFile(rig.mem, pages * P, { around: false });
  rig.mmap({ address: AT, length: pages * P, flags: flags | MAP_FIXED, prot, backing: file.backing });
  return { rig, file };
}

const cached = (file: MemoryFile): number[] => {
  const pages: number[] = [];
  file.mapping.pages.forEach(0, 1000, (index) => pages.push(index));
  return pages;
};

describe("one page", () => {
  test("leaves every page table that shows it, in every address space", () => {
    const { rig, file } = withFile(2);
    rig.load(AT);
    const second = rig.mmap({ length: P, flags: MAP_PRIVATE, backing: file.backing });
    rig.load(second);
    const child = new UserTask(rig.world, "child", rig.run(dupMm(rig.task)) as MmStruct);
    rig.load(AT, child);
    const frame = file.mapping.find(0);
    expect(rig.mem.mapcount[frame]).toBe(3);
    expect(rig.run(shrinkPage(rig.task, rig.mem, frame))).toBe(true);
    expect([rig.pagemap(AT, P), rig.pagemap(second, P), rig.pagemap(AT, P, child)]).toEqual([".", ".", "."]);
    expect([rig.load(AT), rig.load(second)]).toEqual([patternAt(0), patternAt(0)]);
    rig.check([rig.mm, child.mm]);
  });

  test("is written back first when it is dirty, and what it held comes back", () => {
    const { rig, file } = withFile(2);
    rig.store(AT, 99);
    file.calls.length = 0;
    expect(rig.run(shrinkPage(rig.task, rig.mem, file.mapping.find(0)))).toBe(true);
    expect([[...file.calls], file.disk[0], rig.load(AT)]).toEqual([["write 0"], 99, 99]);
    rig.check();
  });

  test("a copy of a private mapping is not the file's page", () => {
    const { rig, file } = withFile(1, {}, MAP_PRIVATE);
    rig.store(AT, 99);
    expect(rig.run(shrinkPage(rig.task, rig.mem, file.mapping.find(0)))).toBe(true);
    expect(rig.load(AT)).toBe(99);
  });

  test.each(["is held by somebody", "is locked", "is locked in memory", "is anonymous"])("stays when it %s", (why) => {
    const { rig, file } = withFile(1, {}, why === "is locked in memory" ? MAP_SHARED | MAP_LOCKED : MAP_SHARED);
    rig.load(AT);
    let frame = file.mapping.find(0);
    const pages: Parameters<typeof getUserPagesUnlocked>[4] = [];
    if (why === "is held by somebody") rig.run(getUserPagesUnlocked(rig.task, AT, 1, 0, pages));
    if (why === "is locked") trylockPage(rig.task, rig.mem, frame);
    if (why === "is anonymous") {
      const at = rig.mmap({ length: P });
      rig.store(at, 1);
      frame = (rig.mm.pgd.get(at / P) >>> 12) as typeof frame;
    }
    expect(rig.run(shrinkPage(rig.task, rig.mem, frame))).toBe(false);
    expect(rig.mem.refcount[frame]).toBeGreaterThan(0);
    if (why === "is locked") unlockPage(rig.mem, frame);
    putUserPages(rig.task, pages, false);
    rig.check();
  });
});

describe("the lists", () => {
  test("referenced at the first use, active at the second", () => {
    const { rig, file } = withFile(1);
    rig.load(AT);
    const frame = file.mapping.find(0);
    rig.mem.flags[frame] &= ~PG_REFERENCED;
    markPageAccessed(rig.mem, frame);
    expect(rig.mem.flags[frame] & (PG_REFERENCED | PG_ACTIVE)).toBe(PG_REFERENCED);
    markPageAccessed(rig.mem, frame);
    expect(rig.mem.flags[frame] & (PG_REFERENCED | PG_ACTIVE)).toBe(PG_ACTIVE);
    expect([rig.mem.active.length, rig.mem.inactive.length]).toEqual([1, 0]);
    rig.check();
  });

  test("the oldest unused page goes first; a page in use gets a second chance", () => {
    const { rig, file } = withFile(40);
    for (let i = 0; i < 40; i++) {
      rig.run(shrinkOne(rig, file, i));
    }
    // Page 0 is the oldest, and in use through a page table.
    rig.load(AT);
    expect(rig.run(tryToFreePages(rig.task, rig.mem))).toBe(32);
    expect(cached(file).includes(0)).toBe(true);
    expect(cached(file).length).toBe(8);
    // Nobody has used it since: now it goes.
    rig.run(tryToFreePages(rig.task, rig.mem));
    rig.run(tryToFreePages(rig.task, rig.mem));
    expect(cached(file)).toEqual([]);
    rig.check();
  });

  test("pages in use all over are found unused in a later pass, so that memory is never out in vain", () => {
    const { rig, file } = withFile(20, { memory: 24 * P });
    for (let i = 0; i < 15; i++) expect(rig.load(AT + i * P)).toBe(patternAt(i * P));
    const at = rig.mmap({ length: 8 * P });
    for (let i = 0; i < 8; i++) expect(rig.store(at + i * P, 1)).toBe("");
    expect(file.mapping.nrpages).toBeLessThan(15);
    rig.check();
  });

  test("mapped code stays longer", () => {
    const { rig, file } = withFile(2, {}, MAP_PRIVATE, PROT_READ | PROT_EXEC);
    rig.load(AT);
    const frame = file.mapping.find(0);
    rig.mem.flags[frame] &= ~PG_REFERENCED;
    const other = rig.mmap({ length: P, flags: MAP_SHARED, prot: PROT_READ, backing: file.backing, pgoff: 1 });
    rig.load(other);
    rig.mem.flags[file.mapping.find(1)] &= ~PG_REFERENCED;
    rig.run(tryToFreePages(rig.task, rig.mem));
    expect(cached(file)).toEqual([0]);
    rig.check();
  });

  test("locked memory survives any pressure", () => {
    const { rig, file } = withFile(2, { memory: 16 * P }, MAP_SHARED | MAP_LOCKED);
    const at = rig.mmap({ length: 40 * P });
    let stored = 0;
    while (rig.store(at + stored * P, 1) === "") stored++;
    expect([cached(file), rig.mem.freePages]).toEqual([[0, 1], 0]);
    rig.check();
  });
});

describe("memory that is short", () => {
  test("a file larger than memory can be read and written through a mapping", () => {
    const { rig, file } = withFile(100, { memory: 30 * P });
    for (let i = 0; i < 100; i++) expect(rig.load(AT + i * P)).toBe(patternAt(i * P));
    for (let i = 0; i < 100; i++) expect(rig.store(AT + i * P, i)).toBe("");
    for (let i = 0; i < 100; i++) expect(rig.load(AT + i * P)).toBe(i);
    expect(file.mapping.nrpages).toBeLessThan(30);
    rig.check();
  });

  test("anonymous memory has nowhere to go: the last page is refused, and the rest stays", () => {
    const rig = new Rig({ memory: 12 * P });
    rig.mmap({ address: AT, length: 20 * P });
    const { freePages } = rig.mem;
    for (let i = 0; i < freePages; i++) expect(rig.store(AT + i * P, i + 1)).toBe("");
    expect(rig.store(AT + freePages * P, 1)).toBe("SIGKILL");
    for (let i = 0; i < freePages; i++) expect(rig.load(AT + i * P)).toBe(i + 1);
    expect(rig.run(getUserPagesUnlocked(rig.task, AT + 19 * P, 1, 1, []))).not.toBe(-EFAULT);
    rig.check();
  });

  test("an allocation that the environment lets fail is not saved by reclaim", () => {
    let fail = false;
    const chooser: Chooser = {
      preemptive: false,
      pickTask: () => 0,
      choose: (choice) => (fail && choice === "alloc-fail" ? 1 : 0),
    };
    const { rig } = withFile(2, { chooser, environment: { "alloc-fail": 1 } });
    rig.load(AT);
    const at = rig.mmap({ length: P });
    fail = true;
    expect(rig.store(at, 1)).toBe("SIGKILL");
    expect(rig.store(at, 1)).toBe("");
    rig.check();
  });
});

test("the reclaimer takes pages back at any point: a page just faulted in may be gone again", () => {
  const seen = new Set<number>();
  for (let seed = 0; seed < 40; seed++) {
    const { rig, file } = withFile(4, { chooser: new RandomChooser(seed), environment: { evict: 8 } });
    const kswapd = new UserTask(rig.world, "kswapd", rig.mm, { daemon: true });
    rig.world.start(kswapd, reclaimer(kswapd, rig.mem, 8));
    expect(rig.run(userLoad(rig.task, rig.buffer, AT, 4 * P))).toEqual({ left: 0, signal: 0 });
    for (let i = 0; i < 4; i++) expect(rig.mem.u8[rig.buffer + i * P]).toBe(patternAt(i * P));
    seen.add(file.calls.filter((call) => call.startsWith("read")).length);
    rig.check();
  }
  // Without pressure each of the four pages is read once.
  expect(Math.min(...seen)).toBe(4);
  expect(Math.max(...seen)).toBeGreaterThan(4);
});

test("shared anonymous memory is not on the lists", () => {
  const rig = new Rig({ memory: 12 * P });
  rig.mmap({ address: AT, length: 2 * P, flags: MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED });
  rig.store(AT, 1);
  expect([rig.run(tryToFreePages(rig.task, rig.mem)), rig.load(AT)]).toEqual([0, 1]);
});

/** Put a page into the cache, unused by any page table. */
function* shrinkOne(rig: Rig, file: MemoryFile, index: number) {
  yield* file.backing.ops!.willneed!(rig.task, rig.mm.vmas.lookup(AT)!, index, 1);
}
