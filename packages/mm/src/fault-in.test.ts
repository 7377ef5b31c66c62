// What does each fault_in function promise, in each version, mistakes included? The tables of the reference,
// row by row: what is probed, what is returned, what is left behind in memory.
import { EFAULT, type MayFault, PAGE_SIZE, type TraceEvent, type Tracer } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import {
  faultInPagesReadable,
  faultInPagesWriteable,
  faultInReadable,
  faultInSafeWriteable,
  faultInSubpageWriteable,
  faultInWriteable,
  isFaultedIn,
  MAP_PRIVATE,
  MAP_SHARED,
  MM_5_10,
  MM_5_16,
  MM_5_18,
  MM_6_1,
  MM_6_12,
  MM_LATEST,
  type MmRevision,
  PROT_NONE,
  PROT_READ,
  pagefaultDisable,
  pagefaultEnable,
  ptePfn,
  setPoison,
  TASK_SIZE,
  type UserTask,
  VM_IO,
  VM_PFNMAP,
} from "./index.ts";
import { MemoryFile } from "./testing/memory-file.ts";
import { Rig, type RigOptions } from "./testing/rig.ts";

type FaultIn = (task: UserTask, address: number, size: number) => MayFault<number>;

const A = 0x10000;
const B = 0x11000;
const C = 0x12000;

/** Page A and page C mapped, page B a hole. */
function hole(revision: MmRevision = MM_LATEST, options: RigOptions = {}): Rig {
  const rig = new Rig({ ...options, revision });
  rig.mmap({ address: A, length: PAGE_SIZE });
  rig.mmap({ address: C, length: PAGE_SIZE });
  return rig;
}

/** Addresses at which the kernel faulted since `from`. */
function faultsSince(rig: Rig, from: number): number[] {
  const events = [...(rig.world.trace as Tracer).events(from)] as TraceEvent[];
  return events.flatMap((event) => (event.name === "page_fault_kernel" ? [event.args.address] : []));
}

describe("the worked values: a hole between two good pages", () => {
  test.each([
    { at: A, size: 0x3000, readable: 0x2000, safe516: 0, safe518: 0, safe615: 0x2000 },
    { at: 0x10800, size: 0x2000, readable: 0x1800, safe516: 0, safe518: 0, safe615: 0x1800 },
    { at: B, size: 0x2000, readable: 0x2000, safe516: 0, safe518: 0x2000, safe615: 0x2000 },
    { at: 0x11800, size: 0x800, readable: 0x800, safe516: 0, safe518: 0x800, safe615: 0x800 },
    { at: 0x10fff, size: 1, readable: 0, safe516: 0, safe518: 0, safe615: 0 },
  ])("$at, $size", ({ at, size, readable, safe516, safe518, safe615 }) => {
    const left = (revision: MmRevision, faultIn: FaultIn): number => {
      const rig = hole(revision);
      const result = rig.run(faultIn(rig.task, at, size));
      rig.check();
      return result;
    };
    for (const revision of [MM_5_16, MM_5_18, MM_6_1, MM_LATEST]) {
      expect(left(revision, faultInReadable)).toBe(readable);
      expect(left(revision, faultInWriteable)).toBe(readable);
    }
    expect(left(MM_5_16, faultInSafeWriteable)).toBe(safe516);
    expect(left(MM_5_18, faultInSafeWriteable)).toBe(safe518);
    // The recorded 6.1 and 6.12 have got the rule of 6.15.
    for (const revision of [MM_6_1, MM_6_12, MM_LATEST]) expect(left(revision, faultInSafeWriteable)).toBe(safe615);
  });
});

describe("fault_in_pages_readable and _writeable, until 5.15: all or nothing", () => {
  test.each([
    { desc: "nothing asked", at: B, size: 0, want: 0, probes: [] },
    { desc: "one page", at: A, size: PAGE_SIZE, want: 0, probes: [A] },
    { desc: "the exact first byte", at: A + 5, size: 10, want: 0, probes: [A + 5] },
    { desc: "a hole at the start", at: B, size: 1, want: -EFAULT, probes: [B] },
    { desc: "a hole in the middle", at: A, size: 3 * PAGE_SIZE, want: -EFAULT, probes: [A, B] },
    {
      desc: "steps of 4096 from the start, not from page starts",
      at: A + 5,
      size: PAGE_SIZE,
      want: -EFAULT,
      probes: [A + 5, A + 5 + PAGE_SIZE - 1],
    },
    {
      desc: "the last byte is in a hole that no step meets",
      at: A + 0x800,
      size: 0x900,
      want: -EFAULT,
      probes: [A + 0x800, B + 0xff],
    },
    { desc: "a range that wraps", at: A, size: -1, want: -EFAULT, probes: [] },
  ])("$desc", ({ at, size, want, probes }) => {
    for (const faultIn of [faultInPagesReadable, faultInPagesWriteable]) {
      const rig = hole(MM_5_10);
      const from = (rig.world.trace as Tracer).count;
      expect(rig.run((faultIn as FaultIn)(rig.task, at, size))).toBe(want);
      expect(faultsSince(rig, from)).toEqual(probes);
    }
  });

  test("_writeable stores zeroes: at the start, at each step, and in the last byte", () => {
    const rig = new Rig({ revision: MM_5_10 });
    const at = rig.mmap({ length: 3 * PAGE_SIZE });
    for (let i = 0; i < 3 * PAGE_SIZE; i++) rig.store(at + i, 9);
    expect(rig.run(faultInPagesWriteable(rig.task, at + 10, 2 * PAGE_SIZE - 4))).toBe(0);
    const zeroes = Array.from({ length: 3 * PAGE_SIZE }, (_, i) => i).filter((i) => rig.load(at + i) === 0);
    expect(zeroes).toEqual([10, 10 + PAGE_SIZE, 2 * PAGE_SIZE + 5]);
  });
});

describe("fault_in_readable and fault_in_writeable, since 5.16: bytes not faulted in", () => {
  test.each([
    { desc: "nothing asked", at: B, size: 0, want: 0, probes: [] },
    {
      desc: "the exact first byte, then the first of each page",
      at: A + 5,
      size: PAGE_SIZE,
      want: 5,
      probes: [A + 5, B],
    },
    { desc: "the first probe fails: nothing", at: B + 8, size: 100, want: 100, probes: [B + 8] },
    {
      desc: "a hole in the middle: what lies before counts",
      at: A + 5,
      size: 3 * PAGE_SIZE,
      want: 2 * PAGE_SIZE + 5,
      probes: [A + 5, B],
    },
    { desc: "the last byte of a page", at: A + PAGE_SIZE - 1, size: 1, want: 0, probes: [A + PAGE_SIZE - 1] },
    { desc: "address 0, until 6.12", at: 0, size: 100, want: 100, probes: [0], revision: MM_6_12 },
    { desc: "address 0 today: nobody even looks", at: 0, size: 100, want: 100, probes: [] },
  ])("$desc", ({ at, size, want, probes, revision }) => {
    for (const faultIn of [faultInReadable, faultInWriteable]) {
      const rig = hole(revision);
      const from = (rig.world.trace as Tracer).count;
      expect(rig.run((faultIn as FaultIn)(rig.task, at, size))).toBe(want);
      expect(faultsSince(rig, from)).toEqual(probes);
    }
  });

  test.each([
    { desc: "5.16 goes on to the end of user space", revision: MM_5_16, left: PAGE_SIZE },
    { desc: "today the whole range is checked first", revision: MM_LATEST, left: 2 * PAGE_SIZE },
  ])("a range that leaves user space: $desc", ({ revision, left }) => {
    const rig = new Rig({ revision });
    const top = TASK_SIZE - PAGE_SIZE;
    expect(rig.mmap({ address: top, length: PAGE_SIZE })).toBe(top);
    expect(rig.run(faultInReadable(rig.task, top, 2 * PAGE_SIZE))).toBe(left);
    expect(rig.run(faultInWriteable(rig.task, top, 2 * PAGE_SIZE))).toBe(left);
    expect(rig.run(faultInReadable(rig.task, 2 ** 63, 10))).toBe(10);
  });

  test("_writeable destroys the exact first byte and the first of each page", () => {
    const rig = new Rig();
    const at = rig.mmap({ length: 2 * PAGE_SIZE });
    for (let i = 0; i < 2 * PAGE_SIZE; i++) rig.store(at + i, 9);
    expect(rig.run(faultInWriteable(rig.task, at + 10, PAGE_SIZE + 100))).toBe(0);
    const zeroes = Array.from({ length: 2 * PAGE_SIZE }, (_, i) => i).filter((i) => rig.load(at + i) === 0);
    expect(zeroes).toEqual([10, PAGE_SIZE]);
  });

  test("with page faults disabled only what is there counts, and no handler runs", () => {
    const rig = new Rig();
    const at = rig.mmap({ length: 3 * PAGE_SIZE });
    rig.store(at, 1);
    const before = rig.faults();
    pagefaultDisable(rig.task);
    expect(rig.run(faultInReadable(rig.task, at, 3 * PAGE_SIZE))).toBe(2 * PAGE_SIZE);
    pagefaultEnable(rig.task);
    expect(rig.faults()).toEqual(before);
  });
});

describe("fault_in_safe_writeable: as if written to, but nothing is", () => {
  test.each([MM_5_16, MM_5_18, MM_LATEST])(
    "bytes stay what they are, and the page becomes our own ($name)",
    (revision) => {
      const rig = new Rig({ revision });
      const file = new MemoryFile(rig.mem, 2 * PAGE_SIZE);
      const at = rig.mmap({ length: 2 * PAGE_SIZE, flags: MAP_PRIVATE, backing: file.backing });
      expect(rig.run(faultInSafeWriteable(rig.task, at + 5, 100))).toBe(0);
      expect(rig.pagemap(at, 2 * PAGE_SIZE)).toBe("A.");
      expect(rig.load(at + 7)).toBe(file.byteAt(7));
      expect(isFaultedIn(rig.task, at, PAGE_SIZE, true)).toBe(true);
      rig.check();
    },
  );

  test.each([MM_5_16, MM_5_18, MM_LATEST])(
    "a shared page is made writable by its file, and is dirty ($name)",
    (revision) => {
      const rig = new Rig({ revision });
      const file = new MemoryFile(rig.mem, 2 * PAGE_SIZE, { around: false });
      const at = rig.mmap({ length: 2 * PAGE_SIZE, flags: MAP_SHARED, backing: file.backing });
      expect(rig.run(faultInSafeWriteable(rig.task, at, PAGE_SIZE))).toBe(0);
      expect(file.calls).toEqual(["fault 0", "read 0", "mkwrite 0", "balance"]);
      expect(rig.pagemap(at, 2 * PAGE_SIZE)).toBe("F.");
      rig.check();
    },
  );

  test.each([
    { revision: MM_5_16, desc: "passes over raw memory and counts it as done", raw: 0, readOnly: 2 * PAGE_SIZE },
    { revision: MM_5_18, desc: "calls any progress complete", raw: 0, readOnly: 0 },
    { revision: MM_LATEST, desc: "says what is missing", raw: 0, readOnly: 2 * PAGE_SIZE },
  ])("$revision.name $desc", ({ revision, raw, readOnly }) => {
    const areas = (flags: object): number => {
      const rig = new Rig({ revision });
      const at = 0x100000;
      rig.mmap({ address: at, length: PAGE_SIZE });
      rig.mmap({ address: at + PAGE_SIZE, length: PAGE_SIZE, ...flags });
      rig.mmap({ address: at + 2 * PAGE_SIZE, length: PAGE_SIZE });
      return rig.run(faultInSafeWriteable(rig.task, at, 3 * PAGE_SIZE));
    };
    // fixup_user_fault does not refuse raw memory; the area here is backed by nothing but zeroes.
    expect(areas({ vmFlags: { add: VM_PFNMAP } })).toBe(raw);
    expect(areas({ vmFlags: { add: VM_IO } })).toBe(raw);
    expect(areas({ prot: PROT_READ })).toBe(readOnly);
    expect(areas({ prot: PROT_NONE })).toBe(readOnly);
  });

  test.each([
    { desc: "nothing asked, at a page", at: A, want: 0, faulted: "." },
    { desc: "5.16 faults a page in for nothing when the start is inside it", at: A + 8, want: 0, faulted: "A" },
  ])("$desc", ({ at, want, faulted }) => {
    const rig = hole(MM_5_16);
    expect(rig.run(faultInSafeWriteable(rig.task, at, 0))).toBe(want);
    expect(rig.pagemap(A, PAGE_SIZE)).toBe(faulted);
    const today = hole();
    expect(today.run(faultInSafeWriteable(today.task, at, 0))).toBe(0);
    expect(today.pagemap(A, PAGE_SIZE)).toBe(".");
  });

  test("the part of a file beyond its end is not faulted in", () => {
    const rig = new Rig();
    const file = new MemoryFile(rig.mem, 5000);
    const at = rig.mmap({ length: 4 * PAGE_SIZE, flags: MAP_SHARED, backing: file.backing });
    expect(rig.run(faultInSafeWriteable(rig.task, at, 4 * PAGE_SIZE))).toBe(2 * PAGE_SIZE);
    expect(rig.pagemap(at, 4 * PAGE_SIZE)).toBe("FF..");
  });

  test("a fatal signal and a lack of memory end it", () => {
    const rig = hole();
    rig.task.fatalSignal = true;
    expect(rig.run(faultInSafeWriteable(rig.task, A, 100))).toBe(100);
    const poor = new Rig({ memory: 12 * PAGE_SIZE });
    const at = poor.mmap({ length: 64 * PAGE_SIZE });
    const free = poor.mem.freePages;
    expect(poor.run(faultInSafeWriteable(poor.task, at, 64 * PAGE_SIZE))).toBe((64 - free) * PAGE_SIZE);
    poor.check();
  });
});

describe("fault_in_subpage_writeable: exact to the granule", () => {
  test("fault_in_readable is happy with poison, the copy is not, and this one knows", () => {
    const rig = new Rig();
    const at = rig.mmap({ length: 2 * PAGE_SIZE });
    rig.store(at, 1);
    rig.store(at + PAGE_SIZE, 1);
    const frame = ptePfn(rig.mm.pgd.get(at / PAGE_SIZE + 1));
    setPoison(rig.mem, frame * PAGE_SIZE + 100, 1);
    expect(rig.run(faultInReadable(rig.task, at, 2 * PAGE_SIZE))).toBe(0);
    expect(rig.run(faultInSafeWriteable(rig.task, at, 2 * PAGE_SIZE))).toBe(0);
    // Byte 100 of the second page lies in the granule that begins at 96.
    expect(rig.run(faultInSubpageWriteable(rig.task, at + 8, 2 * PAGE_SIZE - 8))).toBe(PAGE_SIZE - 96);
    expect(rig.run(faultInSubpageWriteable(rig.task, at + PAGE_SIZE + 100, 200))).toBe(200);
    expect(rig.run(faultInSubpageWriteable(rig.task, at + PAGE_SIZE + 112, 200))).toBe(0);
  });

  test("without poison it is fault_in_writeable", () => {
    const rig = hole();
    expect(rig.run(faultInSubpageWriteable(rig.task, A + 8, 2 * PAGE_SIZE))).toBe(PAGE_SIZE + 8);
    expect(rig.run(faultInSubpageWriteable(rig.task, A, 0))).toBe(0);
  });
});

test("what reading faults in: the zero page, and file pages read-only", () => {
  const rig = new Rig();
  const file = new MemoryFile(rig.mem, 2 * PAGE_SIZE);
  const anonymous = rig.mmap({ length: PAGE_SIZE });
  const shared = rig.mmap({ length: 2 * PAGE_SIZE, flags: MAP_SHARED, backing: file.backing });
  expect(rig.run(faultInReadable(rig.task, anonymous, 1))).toBe(0);
  expect(rig.run(faultInReadable(rig.task, shared, 1))).toBe(0);
  expect(rig.pagemap(anonymous, PAGE_SIZE)).toBe("a");
  expect(isFaultedIn(rig.task, anonymous, 1, false)).toBe(true);
  expect(isFaultedIn(rig.task, anonymous, 1, true)).toBe(false);
  expect(isFaultedIn(rig.task, shared, 1, true)).toBe(false);
  rig.check();
});
