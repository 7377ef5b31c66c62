// What does each advice do, and when is it refused? Facts marked "recorded" are those of real kernels.
import { EACCES, EAGAIN, EFAULT, EINVAL, ENOMEM, EOPNOTSUPP, EPERM, PAGE_SIZE } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import {
  doMadvise,
  doMincore,
  dupMm,
  MADV_COLD,
  MADV_COLLAPSE,
  MADV_DODUMP,
  MADV_DOFORK,
  MADV_DONTDUMP,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_DONTNEED_LOCKED,
  MADV_FREE,
  MADV_HUGEPAGE,
  MADV_HWPOISON,
  MADV_KEEPONFORK,
  MADV_MERGEABLE,
  MADV_NOHUGEPAGE,
  MADV_NORMAL,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_RANDOM,
  MADV_REMOVE,
  MADV_SEQUENTIAL,
  MADV_SOFT_OFFLINE,
  MADV_UNMERGEABLE,
  MADV_WILLNEED,
  MADV_WIPEONFORK,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_LOCKED,
  MAP_PRIVATE,
  MAP_SHARED,
  MM_5_10,
  MM_5_16,
  MM_6_1,
  MM_6_12,
  MM_LATEST,
  type MmStruct,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  TASK_SIZE,
  UserTask,
  VM_IO,
  VM_PFNMAP,
  VM_RAND_READ,
  VM_SEQ_READ,
} from "./index.ts";
import { MemoryFile } from "./testing/memory-file.ts";
import { Rig, type RigOptions } from "./testing/rig.ts";

const P = PAGE_SIZE;
const AT = 0x200000;

function advise(rig: Rig, advice: number, at = AT, length = 4 * P): number {
  return rig.run(doMadvise(rig.task, at, length, advice));
}

/** One letter a page: `w` read-write, `r` read-only, `o` write-only, `n` no access, `.` a gap. */
function pages(layout: string, options: RigOptions = {}): Rig {
  const rig = new Rig(options);
  const prot = { w: PROT_READ | PROT_WRITE, r: PROT_READ, o: PROT_WRITE, n: PROT_NONE };
  for (const [i, letter] of [...layout].entries()) {
    if (letter !== ".") rig.mmap({ address: AT + i * P, length: P, prot: prot[letter as "w"] });
  }
  return rig;
}

function withFile(size: number, options: ConstructorParameters<typeof MemoryFile>[2] = {}, more: RigOptions = {}) {
  const rig = new Rig(more);
  const file = new MemoryFile(rig.mem, size, options);
  rig.mmap({ address: AT, length: 8 * P, flags: MAP_SHARED | MAP_FIXED, backing: file.backing });
  return { rig, file };
}

describe("arguments", () => {
  test.each([
    { desc: "misaligned", at: AT + 1, length: P, want: -EINVAL },
    { desc: "no length", at: AT, length: 0, want: 0 },
    { desc: "part of a page", at: AT, length: 1, want: 0 },
    { desc: "a wrap", at: AT, length: -P, want: -EINVAL },
    { desc: "a negative address", at: -P, length: P, want: -EINVAL },
    { desc: "NaN", at: AT, length: Number.NaN, want: -EINVAL },
    { desc: "a gap", at: AT + 8 * P, length: P, want: -ENOMEM },
    { desc: "beyond user space", at: TASK_SIZE, length: P, want: -ENOMEM },
    { desc: "a kernel address", at: 2 ** 63, length: P, want: -ENOMEM },
  ])("$desc", ({ at, length, want }) => {
    for (const advice of [MADV_DONTNEED, MADV_NORMAL, MADV_WILLNEED, MADV_POPULATE_READ, MADV_POPULATE_WRITE]) {
      const rig = pages("wwww");
      expect([advice, advise(rig, advice, at, length)]).toEqual([advice, want]);
      rig.check();
    }
  });

  test("unknown advice, and advice that is not known yet", () => {
    expect(advise(pages("w"), 77)).toBe(-EINVAL);
    expect(advise(pages("w"), 1.5)).toBe(-EINVAL);
    expect(advise(pages("w"), 77, AT + 1)).toBe(-EINVAL);
    expect(advise(pages("wwww", { revision: MM_5_10 }), MADV_POPULATE_READ)).toBe(-EINVAL);
    expect(advise(pages("wwww", { revision: MM_5_16 }), MADV_DONTNEED_LOCKED)).toBe(-EINVAL);
    for (const advice of [MADV_HWPOISON, MADV_SOFT_OFFLINE]) expect(advise(pages("wwww"), advice)).toBe(-EPERM);
  });

  test("gaps do not keep the rest from being done", () => {
    const rig = pages("w.w.");
    rig.store(AT, 1);
    rig.store(AT + 2 * P, 1);
    expect(advise(rig, MADV_DONTNEED)).toBe(-ENOMEM);
    expect(rig.pagemap(AT, 4 * P)).toBe("....");
    // Also not if the range goes on beyond user space.
    rig.store(AT, 1);
    expect(advise(rig, MADV_DONTNEED, AT, 2 ** 50)).toBe(-ENOMEM);
    expect(rig.pagemap(AT, P)).toBe(".");
  });
});

describe("MADV_DONTNEED", () => {
  test("anonymous memory reads as zero again, private copies of a file as the file, and the cache stays", () => {
    const rig = pages("ww");
    rig.store(AT, 7);
    expect([advise(rig, MADV_DONTNEED, AT, P), rig.load(AT)]).toEqual([0, 0]);
    const file = new MemoryFile(rig.mem, P);
    const at = rig.mmap({ length: P, flags: MAP_PRIVATE, backing: file.backing });
    rig.store(at, 77);
    expect([rig.load(at), advise(rig, MADV_DONTNEED, at, P), rig.load(at)]).toEqual([77, 0, file.byteAt(0)]);
    expect(file.mapping.nrpages).toBe(1);
    rig.check();
  });

  test.each([
    {
      desc: "locked memory",
      args: { flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_LOCKED },
      want: [-EINVAL, 0],
    },
    { desc: "raw memory", args: { vmFlags: { add: VM_PFNMAP } }, want: [-EINVAL, -EINVAL] },
    { desc: "device memory", args: { vmFlags: { add: VM_IO } }, want: [0, 0] },
  ])("$desc; and with _LOCKED", ({ args, want }) => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: 4 * P, ...args });
    expect([advise(rig, MADV_DONTNEED), advise(rig, MADV_DONTNEED_LOCKED)]).toEqual(want);
  });

  test("it goes on with mmap_lock held for reading only: a reader does not stop it", () => {
    const rig = pages("w");
    rig.store(AT, 1);
    const reader = new UserTask(rig.world, "reader", rig.mm);
    rig.mm.mmapLock.readers.push(reader);
    expect(advise(rig, MADV_DONTNEED, AT, P)).toBe(0);
    rig.mm.mmapLock.readers.pop();
  });
});

describe("MADV_POPULATE_READ and _WRITE (recorded: 13-populate)", () => {
  const both = [MADV_POPULATE_READ, MADV_POPULATE_WRITE];

  test("untouched anonymous memory: the zero page, or pages of our own; a minor fault each", () => {
    for (const [advice, want] of [
      [MADV_POPULATE_READ, "aaaa"],
      [MADV_POPULATE_WRITE, "AAAA"],
    ] as const) {
      const rig = pages("wwww");
      expect([advise(rig, advice), rig.pagemap(AT, 4 * P), rig.faults()]).toEqual([0, want, [4, 0]]);
    }
  });

  test.each([
    { layout: "nnnn", read: -EINVAL, write: -EINVAL },
    { layout: "rrrr", read: 0, write: -EINVAL },
    { layout: "oooo", read: -EINVAL, write: 0 },
    { layout: "wwrn", read: -EINVAL, write: -EINVAL },
  ])("$layout", ({ layout, read, write }) => {
    for (const revision of [MM_6_1, MM_6_12, MM_LATEST]) {
      const results = both.map((advice) => advise(pages(layout, { revision }), advice));
      expect(results).toEqual([read, write]);
    }
  });

  test("a hole: until 6.8 what lies behind it is done too", () => {
    for (const [revision, want] of [
      [MM_6_1, "aa.aa"],
      [MM_6_12, "aa..."],
      [MM_LATEST, "aa..."],
    ] as const) {
      const rig = pages("ww.ww", { revision });
      expect(advise(rig, MADV_POPULATE_READ, AT, 5 * P)).toBe(-ENOMEM);
      expect(rig.pagemap(AT, 5 * P)).toBe(want);
    }
  });

  test("beyond a file's end: -EFAULT after what there is", () => {
    for (const advice of both) {
      const { rig } = withFile(5000);
      expect([advise(rig, advice, AT, 8 * P), rig.pagemap(AT, 8 * P)]).toEqual([-EFAULT, "FF......"]);
      expect(advise(rig, advice, AT + 4 * P, P)).toBe(-EFAULT);
    }
  });

  test("a slow file: until 6.8 each wait ends the walk and it begins anew; the fault is minor then", () => {
    for (const [revision, faults] of [
      [MM_6_1, [4, 0]],
      [MM_6_12, [3, 1]],
    ] as const) {
      const { rig } = withFile(2 * P, { latency: 10, around: false }, { revision });
      const anonymous = rig.mmap({ address: AT + 2 * P, length: 2 * P });
      expect(anonymous).toBe(AT + 2 * P);
      // Two file pages; the second is in the cache.
      rig.load(AT + P);
      expect(advise(rig, MADV_DONTNEED, AT + P, P)).toBe(0);
      const before = rig.faults();
      expect(advise(rig, MADV_POPULATE_READ)).toBe(0);
      expect(rig.faults().map((count, i) => count - before[i])).toEqual(faults);
    }
  });

  test("no memory", () => {
    const rig = pages("w".repeat(12), { memory: 12 * P });
    expect(advise(rig, MADV_POPULATE_WRITE, AT, 12 * P)).toBe(-ENOMEM);
    rig.check();
  });
});

describe("WILLNEED, COLD, PAGEOUT: what becomes of the page cache", () => {
  test("WILLNEED reads files; anonymous memory has nothing to be read (recorded: 0)", () => {
    const { rig, file } = withFile(4 * P, { latency: 10 });
    expect(advise(rig, MADV_WILLNEED, AT + P, 2 * P)).toBe(0);
    const resident: number[] = [];
    expect(rig.run(doMincore(rig.task, AT, 4 * P, resident))).toBe(0);
    expect([resident, rig.pagemap(AT, 4 * P)]).toEqual([[0, 1, 1, 0], "...."]);
    expect(advise(pages("w"), MADV_WILLNEED, AT, P)).toBe(0);
    expect(file.calls.filter((call) => call.startsWith("read"))).toEqual(["read 1", "read 2"]);
  });

  test("PAGEOUT takes pages back that only this area maps, dirty ones written first", () => {
    const { rig, file } = withFile(4 * P, { latency: 10 });
    rig.store(AT, 77);
    rig.load(AT + P);
    const second = rig.mmap({ length: P, flags: MAP_SHARED, backing: file.backing, pgoff: 1 });
    rig.load(second);
    expect(advise(rig, MADV_PAGEOUT)).toBe(0);
    expect([file.disk[0], file.mapping.find(0)]).toEqual([77, 0]);
    expect(file.mapping.find(1)).not.toBe(0);
    expect(rig.pagemap(AT, 2 * P)).toBe(".f");
    rig.check();
  });

  test("COLD makes pages the next to go", () => {
    const { rig, file } = withFile(4 * P);
    for (const i of [0, 1, 2]) {
      rig.load(AT + i * P);
      expect(advise(rig, MADV_DONTNEED, AT + i * P, P)).toBe(0);
      rig.load(AT + i * P);
    }
    expect(advise(rig, MADV_COLD, AT, P)).toBe(0);
    expect([rig.mem.active.length, rig.mem.inactive.length]).toEqual([2, 1]);
    expect(file.mapping.nrpages).toBe(3);
    rig.check();
  });

  test.each([MADV_COLD, MADV_PAGEOUT, MADV_FREE])("locked memory is refused: advice %s", (advice) => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: 4 * P, flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_LOCKED });
    expect(advise(rig, advice)).toBe(-EINVAL);
  });
});

describe("advice that changes the area", () => {
  test("reading hints cut and heal areas", () => {
    const rig = pages("wwww");
    expect(advise(rig, MADV_RANDOM, AT + P, P)).toBe(0);
    expect([rig.mm.vmas.size, (rig.mm.vmas.lookup(AT + P)?.flags ?? 0) & VM_RAND_READ]).toEqual([3, VM_RAND_READ]);
    expect(advise(rig, MADV_SEQUENTIAL)).toBe(0);
    expect([rig.mm.vmas.size, (rig.mm.vmas.lookup(AT)?.flags ?? 0) & VM_SEQ_READ]).toEqual([1, VM_SEQ_READ]);
    expect(advise(rig, MADV_NORMAL)).toBe(0);
    rig.check();
  });

  test("one area too many is -EAGAIN", () => {
    const rig = new Rig({ limits: { maxMapCount: 2 } });
    rig.mmap({ address: AT, length: 4 * P });
    expect([advise(rig, MADV_RANDOM, AT + P, P), advise(rig, MADV_RANDOM, AT, P)]).toEqual([-EAGAIN, 0]);
    rig.check();
  });

  test("DONTFORK leaves the area out, WIPEONFORK its bytes", () => {
    const rig = pages("www");
    for (const i of [0, 1, 2]) rig.store(AT + i * P, i + 1);
    expect([advise(rig, MADV_DONTFORK, AT, P), advise(rig, MADV_WIPEONFORK, AT + P, P)]).toEqual([0, 0]);
    const copy = rig.run(dupMm(rig.task)) as MmStruct;
    const child = new UserTask(rig.world, "child", copy);
    expect([0, 1, 2].map((i) => rig.load(AT + i * P, child))).toEqual(["SIGSEGV", 0, 3]);
    expect([0, 1, 2].map((i) => rig.load(AT + i * P))).toEqual([1, 2, 3]);
    expect([advise(rig, MADV_DOFORK, AT, P), advise(rig, MADV_KEEPONFORK, AT, 3 * P)]).toEqual([0, 0]);
    rig.check([rig.mm, copy]);
  });

  test("advice about huge pages, merging and dumps is taken", () => {
    const advices = [MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_DONTDUMP, MADV_DODUMP];
    for (const advice of advices) expect([advice, advise(pages("wwww"), advice)]).toEqual([advice, 0]);
    expect(advise(pages("wwww"), MADV_COLLAPSE)).toBe(-EINVAL);
  });

  test("advice that does not fit is refused", () => {
    const raw = new Rig();
    raw.mmap({ address: AT, length: 4 * P, vmFlags: { add: VM_IO } });
    expect([advise(raw, MADV_DOFORK), advise(raw, MADV_DODUMP)]).toEqual([-EINVAL, -EINVAL]);
    const { rig } = withFile(4 * P);
    expect([advise(rig, MADV_WIPEONFORK), advise(rig, MADV_FREE)]).toEqual([-EINVAL, -EINVAL]);
    expect(advise(pages("wwww"), MADV_FREE)).toBe(0);
  });
});

describe("MADV_REMOVE", () => {
  test("punches a hole into shared anonymous memory", () => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: 4 * P, flags: MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED });
    for (const i of [0, 1, 2]) rig.store(AT + i * P, i + 1);
    const { freePages } = rig.mem;
    expect(advise(rig, MADV_REMOVE, AT + P, P)).toBe(0);
    expect([rig.mem.freePages, rig.load(AT), rig.load(AT + P), rig.load(AT + 2 * P)]).toEqual([freePages + 1, 1, 0, 3]);
    rig.check();
  });

  test("is refused elsewhere", () => {
    expect(advise(pages("wwww"), MADV_REMOVE)).toBe(-EINVAL);
    const { rig, file } = withFile(4 * P);
    expect(advise(rig, MADV_REMOVE)).toBe(-EOPNOTSUPP);
    const at = rig.mmap({ length: 4 * P, flags: MAP_PRIVATE, backing: file.backing });
    expect(advise(rig, MADV_REMOVE, at)).toBe(-EACCES);
    rig.mprotect(AT, 4 * P, PROT_READ);
    expect(advise(rig, MADV_REMOVE)).toBe(-EACCES);
  });
});
