// get_user_pages and its kin: who gets which pages, with which references, and what is said when not all can
// be had.
import { downRead, EFAULT, EHWPOISON, EINTR, EINVAL, ENOMEM, PAGE_SIZE, type Pfn, upRead } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import {
  dupMm,
  FAULT_FLAG_WRITE,
  FOLL_FAST_ONLY,
  FOLL_FORCE,
  FOLL_GET,
  FOLL_HWPOISON,
  FOLL_MADV_POPULATE,
  FOLL_NOFAULT,
  FOLL_NOWAIT,
  FOLL_PIN,
  FOLL_TOUCH,
  FOLL_UNLOCKABLE,
  FOLL_WRITE,
  fixupUserFault,
  getUserPages,
  getUserPagesFast,
  getUserPagesFastOnly,
  getUserPagesLocked,
  getUserPagesNofault,
  getUserPagesUnlocked,
  MAP_PRIVATE,
  MAP_SHARED,
  MM_5_18,
  MM_6_12,
  MM_LATEST,
  MmStruct,
  PG_DIRTY,
  PG_REFERENCED,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  PTE_ACCESSED,
  pageAddress,
  pagefaultDisable,
  pagefaultEnable,
  pageMaybeDmaPinned,
  ptePfn,
  putUserPages,
  TASK_SIZE,
  UserTask,
  VM_FAULT_HWPOISON,
  VM_IO,
  VM_MAYREAD,
  VM_PFNMAP,
} from "./index.ts";
import { MemoryFile } from "./testing/memory-file.ts";
import { Rig } from "./testing/rig.ts";

const AT = 0x100000;

function get(rig: Rig, at: number, count: number, flags = 0): { got: number; pages: Pfn[] } {
  const pages: Pfn[] = [];
  return { got: rig.run(getUserPagesUnlocked(rig.task, at, count, flags, pages)), pages };
}

/** Pages that a walk holds, for Rig.check. */
const held = (pages: readonly Pfn[]): [number, number][] => pages.map((page) => [page, 1]);

describe("get_user_pages", () => {
  test("reading gets the zero page; FOLL_WRITE gets our own; each page comes with a reference", () => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: 4 * PAGE_SIZE });
    const read = get(rig, AT, 2);
    expect(read).toEqual({ got: 2, pages: [rig.mem.zeroPfn, rig.mem.zeroPfn] });
    const written = get(rig, AT, 2, FOLL_WRITE);
    expect([written.got, rig.pagemap(AT, 4 * PAGE_SIZE)]).toEqual([2, "AA.."]);
    expect(written.pages).toEqual([0, 1].map((i) => ptePfn(rig.mm.pgd.get(AT / PAGE_SIZE + i))));
    rig.check([rig.mm], held(written.pages));
    putUserPages(rig.task, written.pages, true);
    putUserPages(rig.task, read.pages, false);
    rig.check();
  });

  test.each([
    { desc: "no pages asked", layout: "w", count: 0, want: 0 },
    { desc: "no area", layout: ".", count: 1, want: -EFAULT },
    { desc: "some pages, then a gap: the pages; the error shows next time", layout: "ww.", count: 3, want: 2 },
    { desc: "a read-only area for writing", layout: "r", count: 1, want: -EFAULT },
    { desc: "no access", layout: "n", count: 1, want: -EFAULT },
    { desc: "raw memory", layout: "p", count: 1, want: -EFAULT },
    { desc: "device memory", layout: "i", count: 1, want: -EFAULT },
    { desc: "pages, then raw memory", layout: "wp", count: 2, want: 1 },
  ])("$desc", ({ layout, count, want }) => {
    const rig = new Rig();
    const prot = { r: PROT_READ, n: PROT_NONE };
    for (const [i, letter] of [...layout].entries()) {
      const flags =
        letter === "p" ? { vmFlags: { add: VM_PFNMAP } } : letter === "i" ? { vmFlags: { add: VM_IO } } : {};
      const page = { address: AT + i * PAGE_SIZE, length: PAGE_SIZE, prot: prot[letter as "r"] ?? 3, ...flags };
      if (letter !== ".") rig.mmap(page);
    }
    const { got, pages } = get(rig, AT, count, FOLL_WRITE);
    expect([got, pages.length]).toEqual([want, Math.max(0, want)]);
    rig.check([rig.mm], held(pages));
  });

  test("beyond a file's end, and where it cannot be read: -EFAULT; no memory: -ENOMEM; a fatal signal: -EINTR", () => {
    const rig = new Rig();
    const file = new MemoryFile(rig.mem, 2 * PAGE_SIZE);
    file.badPages.add(1);
    rig.mmap({ address: AT, length: 4 * PAGE_SIZE, flags: MAP_SHARED | 0x10, backing: file.backing });
    expect([get(rig, AT, 4).got, get(rig, AT + PAGE_SIZE, 1).got, get(rig, AT + 2 * PAGE_SIZE, 1).got]).toEqual([
      1,
      -EFAULT,
      -EFAULT,
    ]);
    const poor = new Rig({ memory: 10 * PAGE_SIZE });
    poor.mmap({ address: AT, length: 8 * PAGE_SIZE });
    const free = poor.mem.freePages;
    expect([get(poor, AT, 8, FOLL_WRITE).got, get(poor, AT + free * PAGE_SIZE, 1, FOLL_WRITE).got]).toEqual([
      free,
      -ENOMEM,
    ]);
    poor.task.fatalSignal = true;
    expect(get(poor, AT, 1).got).toBe(-EINTR);
  });

  test("MADV_POPULATE tells why: no area is -ENOMEM, not allowed is -EINVAL", () => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: PAGE_SIZE, prot: PROT_READ });
    const ask = (at: number, flags: number): number =>
      rig.run(getUserPagesLocked(rig.task, at, 1, flags | FOLL_MADV_POPULATE | FOLL_UNLOCKABLE, null, { held: false }));
    expect([ask(AT + PAGE_SIZE, 0), ask(AT, FOLL_WRITE), ask(AT, 0)]).toEqual([-ENOMEM, -EINVAL, 1]);
  });
});

describe("FOLL_FORCE, the debugger's", () => {
  test.each([
    { desc: "reads PROT_NONE that may be read", prot: PROT_NONE, flags: FOLL_FORCE, remove: 0, want: 1 },
    { desc: "does not read what may never be", prot: PROT_NONE, flags: FOLL_FORCE, remove: VM_MAYREAD, want: -EFAULT },
    { desc: "writes to a private read-only area", prot: PROT_READ, flags: FOLL_FORCE | FOLL_WRITE, remove: 0, want: 1 },
    { desc: "writes to a private PROT_NONE area", prot: PROT_NONE, flags: FOLL_FORCE | FOLL_WRITE, remove: 0, want: 1 },
  ])("$desc", ({ prot, flags, remove, want }) => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: PAGE_SIZE, prot, vmFlags: { remove } });
    expect(get(rig, AT, 1, flags).got).toBe(want);
  });

  test("reads a page that mprotect has hidden, as often as it likes", () => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: PAGE_SIZE });
    rig.store(AT, 77);
    rig.mprotect(AT, PAGE_SIZE, PROT_NONE);
    const { got, pages } = get(rig, AT, 1, FOLL_FORCE);
    expect([got, rig.mem.u8[pageAddress(pages[0])]]).toEqual([1, 77]);
    rig.check([rig.mm], held(pages));
  });

  test("a store breaks the copy on write, and the area stays read-only for its owner", () => {
    const rig = new Rig();
    const file = new MemoryFile(rig.mem, PAGE_SIZE);
    rig.mmap({ address: AT, length: PAGE_SIZE, prot: PROT_READ, flags: MAP_PRIVATE | 0x10, backing: file.backing });
    rig.load(AT);
    const { got, pages } = get(rig, AT, 1, FOLL_FORCE | FOLL_WRITE);
    rig.mem.u8[pageAddress(pages[0])] = 99;
    expect([got, rig.load(AT), rig.store(AT, 1), file.byteAt(0) === 99]).toEqual([1, 99, "SIGSEGV", false]);
    putUserPages(rig.task, pages, true);
    expect(get(rig, AT, 1, FOLL_FORCE | FOLL_WRITE).pages).toEqual(pages);
    rig.check([rig.mm], held(pages));
  });

  test("is refused for a shared mapping that may not be written", () => {
    const rig = new Rig();
    const file = new MemoryFile(rig.mem, PAGE_SIZE);
    rig.mmap({ address: AT, length: PAGE_SIZE, prot: PROT_READ, flags: MAP_SHARED | 0x10, backing: file.backing });
    expect(get(rig, AT, 1, FOLL_FORCE | FOLL_WRITE).got).toBe(-EFAULT);
  });
});

describe("what a walk leaves behind", () => {
  test("FOLL_TOUCH marks a page used, and dirty with FOLL_WRITE", () => {
    const rig = new Rig();
    const file = new MemoryFile(rig.mem, PAGE_SIZE, { mkwrite: false });
    rig.mmap({ address: AT, length: PAGE_SIZE, flags: MAP_SHARED | 0x10, backing: file.backing });
    rig.load(AT);
    const frame = file.mapping.find(0);
    rig.mem.flags[frame] &= ~(PG_REFERENCED | PG_DIRTY);
    get(rig, AT, 1, FOLL_TOUCH);
    expect(rig.mem.flags[frame] & (PG_REFERENCED | PG_DIRTY)).toBe(PG_REFERENCED);
    get(rig, AT, 1, FOLL_TOUCH | FOLL_WRITE);
    expect(rig.mem.flags[frame] & PG_DIRTY).toBe(PG_DIRTY);
  });

  test("putting pages back as dirty tells their file", () => {
    const rig = new Rig();
    const file = new MemoryFile(rig.mem, PAGE_SIZE, { mkwrite: false });
    rig.mmap({ address: AT, length: PAGE_SIZE, flags: MAP_SHARED | 0x10, backing: file.backing });
    const { pages } = get(rig, AT, 1);
    rig.mem.flags[pages[0]] &= ~PG_DIRTY;
    putUserPages(rig.task, pages, true);
    expect(rig.mem.flags[pages[0]] & PG_DIRTY).toBe(PG_DIRTY);
  });
});

describe("without faulting", () => {
  test("FOLL_NOFAULT takes what is there, resident pages beyond the fast walk's reach included", () => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: 4 * PAGE_SIZE });
    rig.store(AT, 1);
    rig.load(AT + PAGE_SIZE);
    const pages: Pfn[] = [];
    const before = rig.faults();
    // The fast walk refuses the zero page, the slow one does not.
    expect(getUserPagesFastOnly(rig.task, AT, 4, 0, [])).toBe(1);
    expect(rig.run(getUserPagesNofault(rig.task, AT, 4, 0, pages))).toBe(2);
    expect(rig.run(getUserPagesNofault(rig.task, AT + PAGE_SIZE, 1, FOLL_WRITE, []))).toBe(-EFAULT);
    expect(rig.run(getUserPagesNofault(rig.task, AT + 2 * PAGE_SIZE, 1, 0, []))).toBe(-EFAULT);
    expect(rig.faults()).toEqual(before);
  });

  test("GUP does not care that page faults are disabled; FOLL_NOFAULT is its own switch", () => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: PAGE_SIZE });
    pagefaultDisable(rig.task);
    expect(get(rig, AT, 1, FOLL_WRITE).got).toBe(1);
    pagefaultEnable(rig.task);
  });

  test("FOLL_FAST_ONLY refuses the zero page, entries not accessed, and for writing those not writable", () => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: 3 * PAGE_SIZE });
    rig.load(AT);
    rig.store(AT + PAGE_SIZE, 1);
    rig.store(AT + 2 * PAGE_SIZE, 1);
    const fast = (at: number, flags: number): number => getUserPagesFastOnly(rig.task, at, 1, flags, []);
    expect([fast(AT, 0), fast(AT + PAGE_SIZE, FOLL_WRITE)]).toEqual([0, 1]);
    rig.mprotect(AT + PAGE_SIZE, PAGE_SIZE, PROT_READ);
    expect([fast(AT + PAGE_SIZE, 0), fast(AT + PAGE_SIZE, FOLL_WRITE)]).toEqual([1, 0]);
    const vpn = AT / PAGE_SIZE + 2;
    rig.mm.pgd.set(vpn, rig.mm.pgd.get(vpn) & ~PTE_ACCESSED);
    expect(fast(AT + 2 * PAGE_SIZE, 0)).toBe(0);
    expect(rig.run(getUserPagesFast(rig.task, AT + 2 * PAGE_SIZE, 1, FOLL_FAST_ONLY, []))).toBe(0);
    expect(fast(AT + PAGE_SIZE, 0) + fast(TASK_SIZE, 0) + fast(-PAGE_SIZE, 0) + fast(2 ** 63, 0)).toBe(1);
  });

  test("FOLL_NOWAIT starts the read and comes back with nothing, or with what came before", () => {
    const rig = new Rig();
    const file = new MemoryFile(rig.mem, PAGE_SIZE, { latency: 1000 });
    rig.mmap({ address: AT, length: PAGE_SIZE });
    rig.mmap({ address: AT + PAGE_SIZE, length: PAGE_SIZE, flags: MAP_SHARED | 0x10, backing: file.backing });
    rig.store(AT, 1);
    const locked = { held: true };
    rig.run(
      (function* () {
        yield* downRead(rig.task, rig.mm.mmapLock);
        const flags = FOLL_GET | FOLL_NOWAIT | FOLL_UNLOCKABLE;
        expect(yield* getUserPagesLocked(rig.task, AT + PAGE_SIZE, 1, flags, [], locked)).toBe(0);
        // Not even the lock was let go.
        expect([locked.held, rig.mm.mmapLock.readers]).toEqual([true, [rig.task]]);
        upRead(rig.task, rig.mm.mmapLock);
      })(),
    );
    expect(file.calls.filter((call) => call.startsWith("read"))).toEqual(["read 0"]);
    expect(get(rig, AT, 2, FOLL_NOWAIT).got).toBe(1);
    expect(rig.world.now).toBeLessThan(file.latency);
    // Whoever waits finds the page; then nobody needs to.
    expect(rig.load(AT + PAGE_SIZE)).toBe(file.byteAt(0));
    expect(rig.world.now).toBeGreaterThanOrEqual(file.latency);
    expect(get(rig, AT, 2, FOLL_NOWAIT).got).toBe(2);
    expect(file.calls.filter((call) => call.startsWith("read"))).toEqual(["read 0"]);
  });

  test.each([
    { flags: 0, want: -EFAULT },
    { flags: FOLL_HWPOISON, want: -EHWPOISON },
  ])("a page that the hardware has lost: $want with flags $flags", ({ flags, want }) => {
    const rig = new Rig();
    const file = new MemoryFile(rig.mem, PAGE_SIZE);
    rig.mmap({ address: AT, length: PAGE_SIZE, flags: MAP_SHARED | 0x10, backing: file.backing });
    file.mkwriteAnswers.push(VM_FAULT_HWPOISON, VM_FAULT_HWPOISON);
    expect(get(rig, AT, 1, FOLL_WRITE | flags).got).toBe(want);
    expect(rig.store(AT, 1)).toBe("SIGBUS");
    rig.check();
  });
});

describe("get_user_pages_fast", () => {
  test("takes what it can without locks and faults the rest in", () => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: 3 * PAGE_SIZE });
    rig.store(AT, 1);
    const pages: Pfn[] = [];
    expect(rig.run(getUserPagesFast(rig.task, AT + 100, 3, FOLL_WRITE, pages))).toBe(3);
    rig.check([rig.mm], held(pages));
  });

  test.each([
    { desc: "some, then a gap: those", at: AT, count: 3, want: 1 },
    { desc: "none: the error", at: AT + PAGE_SIZE, count: 1, want: -EFAULT },
    { desc: "a range that leaves user space", at: TASK_SIZE - PAGE_SIZE, count: 2, want: -EFAULT },
    { desc: "a kernel address", at: 2 ** 63, count: 1, want: -EFAULT },
    { desc: "a negative address", at: -PAGE_SIZE, count: 1, want: -EFAULT },
  ])("$desc", ({ at, count, want }) => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: PAGE_SIZE });
    rig.store(AT, 1);
    expect(rig.run(getUserPagesFast(rig.task, at, count, 0, []))).toBe(want);
  });
});

describe("the lock", () => {
  function slow(): Rig {
    const rig = new Rig();
    const file = new MemoryFile(rig.mem, 4 * PAGE_SIZE, { latency: 10, around: false });
    rig.mmap({ address: AT, length: 4 * PAGE_SIZE, flags: MAP_SHARED | 0x10, backing: file.backing });
    return rig;
  }

  test("get_user_pages keeps the caller's lock, whatever the fault wants", () => {
    const rig = slow();
    const pages: Pfn[] = [];
    const got = rig.run(
      (function* () {
        yield* downRead(rig.task, rig.mm.mmapLock);
        const count = yield* getUserPages(rig.task, AT, 4, FOLL_WRITE, pages);
        expect(rig.mm.mmapLock.readers).toEqual([rig.task]);
        upRead(rig.task, rig.mm.mmapLock);
        return count;
      })(),
    );
    expect(got).toBe(4);
  });

  test("the locked variant says that it let the lock go, and gets all pages all the same", () => {
    const rig = slow();
    const locked = { held: true };
    const got = rig.run(
      (function* () {
        yield* downRead(rig.task, rig.mm.mmapLock);
        const flags = FOLL_GET | FOLL_WRITE | FOLL_UNLOCKABLE;
        return yield* getUserPagesLocked(rig.task, AT, 4, flags, [], locked);
      })(),
    );
    expect([got, locked.held, rig.mm.mmapLock.isFree()]).toEqual([4, false, true]);
  });

  test("the locked variant keeps a lock that no fault dropped", () => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: PAGE_SIZE });
    const locked = { held: true };
    rig.run(
      (function* () {
        yield* downRead(rig.task, rig.mm.mmapLock);
        expect(yield* getUserPagesLocked(rig.task, AT, 2, FOLL_GET, [], locked)).toBe(1);
        expect([locked.held, rig.mm.mmapLock.isFree()]).toEqual([true, false]);
        upRead(rig.task, rig.mm.mmapLock);
      })(),
    );
  });
});

describe("pins", () => {
  test("FOLL_PIN marks a page until the last pin is dropped", () => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: PAGE_SIZE });
    const first = get(rig, AT, 1, FOLL_PIN | FOLL_WRITE).pages;
    const second: Pfn[] = [];
    rig.run(getUserPagesFast(rig.task, AT, 1, FOLL_PIN | FOLL_WRITE, second));
    expect([second, pageMaybeDmaPinned(rig.mem, first[0])]).toEqual([first, true]);
    rig.check([rig.mm], [[first[0], 2]]);
    putUserPages(rig.task, first, false);
    expect(pageMaybeDmaPinned(rig.mem, first[0])).toBe(true);
    putUserPages(rig.task, second, true);
    expect(pageMaybeDmaPinned(rig.mem, first[0])).toBe(false);
    rig.check();
  });

  test.each([
    { revision: MM_LATEST, stays: true },
    { revision: MM_6_12, stays: true },
    { revision: MM_5_18, stays: false },
  ])("after fork, a page pinned for reading is ours first ($revision.name: $stays)", ({ revision, stays }) => {
    const rig = new Rig({ revision });
    rig.mmap({ address: AT, length: PAGE_SIZE });
    rig.store(AT, 1);
    const copy = rig.run(dupMm(rig.task)) as MmStruct;
    expect(copy).toBeInstanceOf(MmStruct);
    const child = new UserTask(rig.world, "child", copy);
    const pages: Pfn[] = [];
    expect(rig.run(getUserPagesFast(rig.task, AT, 1, FOLL_PIN, pages))).toBe(1);
    // The store must go to the page that the device reads.
    rig.store(AT, 2);
    expect(rig.mem.u8[pageAddress(pages[0])] === 2).toBe(stays);
    expect(rig.load(AT, child)).toBe(1);
    rig.check([rig.mm, copy], held(pages));
  });

  test("fork copies a pinned page at once, so that the pin stays with the parent", () => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: 2 * PAGE_SIZE });
    rig.store(AT, 1);
    rig.store(AT + PAGE_SIZE, 1);
    const { pages } = get(rig, AT, 1, FOLL_PIN | FOLL_WRITE);
    const copy = rig.run(dupMm(rig.task)) as MmStruct;
    const child = new UserTask(rig.world, "child", copy);
    expect(rig.pagemap(AT, 2 * PAGE_SIZE)).toBe("Aa");
    const before = rig.faults();
    rig.mem.u8[pageAddress(pages[0])] = 50;
    expect([rig.load(AT), rig.store(AT + 1, 51), rig.load(AT, child)]).toEqual([50, "", 1]);
    expect(rig.faults()).toEqual(before);
    rig.check([rig.mm, copy], held(pages));
  });
});

describe("fixup_user_fault: one page, without an access", () => {
  test.each([
    { desc: "writable memory", prot: PROT_READ | PROT_WRITE, write: true, want: 0 },
    { desc: "read-only memory, for writing", prot: PROT_READ, write: true, want: -EFAULT },
    { desc: "write-only memory, for reading", prot: PROT_WRITE, write: false, want: -EFAULT },
    { desc: "no access", prot: PROT_NONE, write: false, want: -EFAULT },
  ])("$desc", ({ prot, write, want }) => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: PAGE_SIZE, prot });
    expect(fixup(rig, AT + 5, write)).toBe(want);
  });

  test("no area; a fatal signal; beyond a file's end", () => {
    const rig = new Rig();
    const file = new MemoryFile(rig.mem, PAGE_SIZE);
    rig.mmap({ address: AT, length: 2 * PAGE_SIZE, flags: MAP_SHARED | 0x10, backing: file.backing });
    expect([fixup(rig, 0, true), fixup(rig, TASK_SIZE, true), fixup(rig, AT + PAGE_SIZE, true)]).toEqual([
      -EFAULT,
      -EFAULT,
      -EFAULT,
    ]);
    rig.task.fatalSignal = true;
    expect(fixup(rig, AT, true)).toBe(-EINTR);
  });

  test("a page that is there is faulted all the same, and counted", () => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: PAGE_SIZE });
    rig.store(AT, 1);
    expect([fixup(rig, AT, true), fixup(rig, AT, true)]).toEqual([0, 0]);
    expect(rig.faults()).toEqual([3, 0]);
  });

  test("a fault that drops the lock is tried again, and the lock is held in the end", () => {
    const rig = new Rig();
    const file = new MemoryFile(rig.mem, PAGE_SIZE, { latency: 10 });
    rig.mmap({ address: AT, length: PAGE_SIZE, flags: MAP_SHARED | 0x10, backing: file.backing });
    expect(fixup(rig, AT, true)).toBe(0);
    expect(rig.faults()).toEqual([0, 1]);
    expect(rig.mm.mmapLock.isFree()).toBe(true);
  });

  function fixup(rig: Rig, at: number, write: boolean): number {
    return rig.run(
      (function* () {
        yield* downRead(rig.task, rig.mm.mmapLock);
        const status = yield* fixupUserFault(rig.task, at, write ? FAULT_FLAG_WRITE : 0);
        upRead(rig.task, rig.mm.mmapLock);
        return status;
      })(),
    );
  }
});

test("FOLL_NOFAULT never faults, and is not stopped by a page that only lacks the accessed bit", () => {
  const rig = new Rig();
  rig.mmap({ address: AT, length: PAGE_SIZE });
  rig.store(AT, 1);
  const vpn = AT / PAGE_SIZE;
  rig.mm.pgd.set(vpn, rig.mm.pgd.get(vpn) & ~PTE_ACCESSED);
  const before = rig.faults();
  expect(get(rig, AT, 1, FOLL_NOFAULT | FOLL_WRITE).got).toBe(1);
  expect(rig.faults()).toEqual(before);
});
