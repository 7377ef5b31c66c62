// Where does memory go when it is moved or resized, and what stays behind?
import { EAGAIN, EFAULT, EINVAL, ENOMEM, PAGE_SIZE } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import {
  doMremap,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_LOCKED,
  MAP_PRIVATE,
  MAP_SHARED,
  MMAP_BASE,
  MREMAP_DONTUNMAP,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  type MremapArgs,
  PROT_READ,
  TASK_SIZE,
  VM_DONTEXPAND,
  VM_PFNMAP,
} from "./index.ts";
import { MemoryFile } from "./testing/memory-file.ts";
import { Rig } from "./testing/rig.ts";

const P = PAGE_SIZE;
const AT = 0x200000;
const TO = 0x400000;

function mremap(rig: Rig, args: Partial<MremapArgs>): number {
  return rig.run(doMremap(rig.task, { address: AT, oldLength: 4 * P, newLength: 4 * P, flags: 0, ...args }));
}

function areas(rig: Rig): string {
  return [...rig.mm.vmas.values()].map(({ start, end }) => `${(start - AT) / P}-${(end - AT) / P}`).join(" ");
}

/** Four pages that hold 1, 2, 3, 4. */
function four(options: ConstructorParameters<typeof Rig>[0] = {}): Rig {
  const rig = new Rig(options);
  rig.mmap({ address: AT, length: 4 * P });
  for (let i = 0; i < 4; i++) rig.store(AT + i * P, i + 1);
  return rig;
}

const held = (rig: Rig, at: number, count: number): (number | string)[] =>
  Array.from({ length: count }, (_, i) => rig.load(at + i * P));

describe("in place", () => {
  test("smaller: the end goes", () => {
    const rig = four();
    expect(mremap(rig, { newLength: 2 * P })).toBe(AT);
    expect([areas(rig), held(rig, AT, 3)]).toEqual(["0-2", [1, 2, "SIGSEGV"]]);
    rig.check();
  });

  test("the same size: nothing", () => {
    const rig = four();
    expect([mremap(rig, {}), areas(rig)]).toEqual([AT, "0-4"]);
  });

  test("larger, where there is room; it joins what it meets", () => {
    const rig = four();
    rig.mmap({ address: AT + 6 * P, length: P });
    expect(mremap(rig, { newLength: 6 * P })).toBe(AT);
    expect([areas(rig), held(rig, AT, 6)]).toEqual(["0-7", [1, 2, 3, 4, 0, 0]]);
    rig.check();
  });

  test("larger, where there is none", () => {
    const rig = four();
    rig.mmap({ address: AT + 5 * P, length: P });
    expect(mremap(rig, { newLength: 6 * P })).toBe(-ENOMEM);
    expect([areas(rig), held(rig, AT, 4)]).toEqual(["0-4 5-6", [1, 2, 3, 4]]);
  });

  test("smaller over several areas and gaps", () => {
    const rig = four();
    rig.mmap({ address: AT + 6 * P, length: P, prot: PROT_READ });
    expect(mremap(rig, { oldLength: 8 * P, newLength: P })).toBe(AT);
    expect(areas(rig)).toBe("0-1");
    rig.check();
  });
});

describe("moving", () => {
  test("takes the pages along, without a copy or a fault", () => {
    const rig = four();
    rig.mmap({ address: AT + 4 * P, length: P, prot: PROT_READ });
    const { freePages } = rig.mem;
    const faults = rig.faults();
    const to = mremap(rig, { newLength: 6 * P, flags: MREMAP_MAYMOVE });
    expect(to).toBe(MMAP_BASE - 6 * P);
    expect([rig.mem.freePages, rig.faults()]).toEqual([freePages, faults]);
    expect([held(rig, to, 6), held(rig, AT, 1)]).toEqual([[1, 2, 3, 4, 0, 0], ["SIGSEGV"]]);
    rig.check();
  });

  test("part of an area", () => {
    const rig = four();
    const moved = { address: AT + P, oldLength: 2 * P, newLength: 3 * P, newAddress: TO };
    expect(mremap(rig, { ...moved, flags: MREMAP_MAYMOVE | MREMAP_FIXED })).toBe(TO);
    expect([held(rig, AT, 4), held(rig, TO, 3)]).toEqual([
      [1, "SIGSEGV", "SIGSEGV", 4],
      [2, 3, 0],
    ]);
    rig.check();
  });

  test("to a fixed place, over what is there, smaller", () => {
    const rig = four();
    rig.mmap({ address: TO - P, length: 5 * P });
    for (let i = -1; i < 4; i++) rig.store(TO + i * P, 10 + i);
    const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    expect(mremap(rig, { newLength: 2 * P, flags, newAddress: TO })).toBe(TO);
    expect(held(rig, TO - P, 5)).toEqual([9, 1, 2, 12, 13]);
    expect(held(rig, AT, 4)).toEqual(["SIGSEGV", "SIGSEGV", "SIGSEGV", "SIGSEGV"]);
    rig.check();
  });

  test("of file pages keeps their offsets", () => {
    const rig = new Rig();
    const file = new MemoryFile(rig.mem, 4 * P);
    rig.mmap({ address: AT, length: 4 * P, flags: MAP_SHARED | MAP_FIXED, backing: file.backing });
    rig.load(AT + 2 * P);
    const moved = { address: AT + P, oldLength: 2 * P, newLength: 2 * P, newAddress: TO };
    expect(mremap(rig, { ...moved, flags: MREMAP_MAYMOVE | MREMAP_FIXED })).toBe(TO);
    expect([rig.load(TO), rig.load(TO + P)]).toEqual([file.byteAt(P), file.byteAt(2 * P)]);
    expect(rig.pagemap(TO, 2 * P)).toBe("FF");
    rig.check();
  });

  test("MREMAP_DONTUNMAP leaves an empty area behind", () => {
    const rig = four();
    const to = mremap(rig, { flags: MREMAP_MAYMOVE | MREMAP_DONTUNMAP });
    expect([held(rig, to, 4), held(rig, AT, 4)]).toEqual([
      [1, 2, 3, 4],
      [0, 0, 0, 0],
    ]);
    expect(rig.mm.totalVm).toBe(8 * P);
    rig.check();
  });

  test("old length 0 maps shared memory a second time", () => {
    const rig = new Rig();
    const flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED;
    rig.mmap({ address: AT, length: 4 * P, flags });
    rig.store(AT + P, 5);
    const to = mremap(rig, { address: AT + P, oldLength: 0, newLength: 2 * P, flags: MREMAP_MAYMOVE });
    expect([rig.load(to), rig.load(AT + P)]).toEqual([5, 5]);
    rig.store(to, 6);
    expect(rig.load(AT + P)).toBe(6);
    rig.check();
  });
});

test("shared anonymous memory cannot grow: what is added is SIGBUS", () => {
  const rig = new Rig();
  rig.mmap({ address: AT, length: 2 * P, flags: MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED });
  expect(mremap(rig, { oldLength: 2 * P, newLength: 4 * P })).toBe(AT);
  expect(held(rig, AT, 4)).toEqual([0, 0, "SIGBUS", "SIGBUS"]);
  rig.check();
});

test("locked memory that grows is populated, and what is left behind is not locked", () => {
  const rig = new Rig({ limits: { memlock: 6 * P } });
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_LOCKED;
  rig.mmap({ address: AT, length: 2 * P, flags });
  expect(mremap(rig, { oldLength: 2 * P, newLength: 4 * P })).toBe(AT);
  expect([rig.pagemap(AT, 4 * P), rig.mm.lockedVm]).toEqual(["AAAA", 4 * P]);
  expect(mremap(rig, { newLength: 7 * P })).toBe(-EAGAIN);
  mremap(rig, { flags: MREMAP_MAYMOVE | MREMAP_DONTUNMAP });
  expect(rig.mm.lockedVm).toBe(4 * P);
  rig.check();
});

describe("errors leave everything as it was", () => {
  const moves = MREMAP_MAYMOVE | MREMAP_FIXED;
  const cases: { desc: string; args: Partial<MremapArgs>; want: number }[] = [
    { desc: "unknown flags", args: { flags: 8 }, want: -EINVAL },
    { desc: "fixed, but may not move", args: { flags: MREMAP_FIXED, newAddress: TO }, want: -EINVAL },
    { desc: "leave behind, but may not move", args: { flags: MREMAP_DONTUNMAP }, want: -EINVAL },
    {
      desc: "leave behind and resize",
      args: { flags: MREMAP_DONTUNMAP | MREMAP_MAYMOVE, newLength: 5 * P },
      want: -EINVAL,
    },
    { desc: "misaligned", args: { address: AT + 1 }, want: -EINVAL },
    { desc: "to nothing", args: { newLength: 0 }, want: -EINVAL },
    { desc: "to a misaligned place", args: { flags: moves, newAddress: TO + 1 }, want: -EINVAL },
    { desc: "to a place beyond user space", args: { flags: moves, newAddress: TASK_SIZE - P }, want: -EINVAL },
    { desc: "onto itself", args: { flags: moves, newAddress: AT + P }, want: -EINVAL },
    { desc: "private memory twice", args: { oldLength: 0, flags: MREMAP_MAYMOVE }, want: -EINVAL },
    { desc: "no area", args: { address: TO }, want: -EFAULT },
    {
      desc: "over the end of an area",
      args: { oldLength: 5 * P, newLength: 6 * P, flags: MREMAP_MAYMOVE },
      want: -EFAULT,
    },
    { desc: "a kernel address", args: { address: 2 ** 63 }, want: -EFAULT },
    { desc: "a negative address", args: { address: -P }, want: -EFAULT },
    { desc: "larger than all space", args: { newLength: 2 ** 50, flags: MREMAP_MAYMOVE }, want: -ENOMEM },
    { desc: "a negative new length", args: { newLength: -P, flags: MREMAP_MAYMOVE }, want: -ENOMEM },
    { desc: "a negative old length", args: { oldLength: -P }, want: -EINVAL },
    { desc: "NaN", args: { newLength: Number.NaN }, want: -EINVAL },
    { desc: "half a page", args: { oldLength: 0.5 }, want: -EINVAL },
  ];
  test.each(cases)("$desc", ({ args, want }) => {
    const rig = four();
    expect(mremap(rig, args)).toBe(want);
    expect([areas(rig), held(rig, AT, 4)]).toEqual(["0-4", [1, 2, 3, 4]]);
    rig.check();
  });

  test.each([
    { desc: "raw memory does not grow", add: VM_PFNMAP, want: -EFAULT },
    { desc: "nor does what must not", add: VM_DONTEXPAND, want: -EFAULT },
  ])("$desc", ({ add, want }) => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: 4 * P, vmFlags: { add } });
    expect(mremap(rig, { newLength: 5 * P, flags: MREMAP_MAYMOVE })).toBe(want);
    expect(mremap(rig, { flags: MREMAP_MAYMOVE | MREMAP_DONTUNMAP })).toBe(-EINVAL);
  });

  test("limits", () => {
    const space = four({ limits: { addressSpace: 5 * P } });
    expect(mremap(space, { newLength: 6 * P })).toBe(-ENOMEM);
    expect(mremap(space, { flags: MREMAP_MAYMOVE | MREMAP_DONTUNMAP })).toBe(-ENOMEM);
    const count = four({ limits: { maxMapCount: 4 } });
    expect(mremap(count, { flags: MREMAP_MAYMOVE | MREMAP_FIXED, newAddress: TO })).toBe(-ENOMEM);
    expect(held(count, AT, 4)).toEqual([1, 2, 3, 4]);
    space.check();
    count.check();
  });
});
