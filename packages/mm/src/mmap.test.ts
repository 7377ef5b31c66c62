// Where does memory go, what may be asked for, and what is the answer when it may not?
import {
  downWrite,
  EACCES,
  EAGAIN,
  EEXIST,
  EINVAL,
  ENOMEM,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  PAGE_SIZE,
  upWrite,
} from "@faultline/kernel";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  doMmap,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  MAP_LOCKED,
  MAP_NONBLOCK,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MMAP_BASE,
  type MmapArgs,
  MmStruct,
  PROT_NONE,
  PROT_READ,
  TASK_SIZE,
  UserTask,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_SHARED,
  Vma,
} from "./index.ts";
import { MemoryFile } from "./testing/memory-file.ts";
import { Rig, RW } from "./testing/rig.ts";

const P = PAGE_SIZE;
const ANON = MAP_PRIVATE | MAP_ANONYMOUS;
const AT = 0x200000;

/** The areas, as "start-end" in pages from `base`. */
function areas(rig: Rig, base = AT): string {
  return [...rig.mm.vmas.values()].map(({ start, end }) => `${(start - base) / P}-${(end - base) / P}`).join(" ");
}

describe("placement", () => {
  test("from the top down, and into the highest gap that is large enough", () => {
    const rig = new Rig();
    const place = (pages: number): number => (MMAP_BASE - rig.mmap({ length: pages * P })) / P;
    expect([place(1), place(2), place(3)]).toEqual([1, 3, 6]);
    rig.munmap(MMAP_BASE - 3 * P, 2 * P);
    expect([place(3), place(1), place(1), place(1)]).toEqual([9, 2, 3, 10]);
    rig.check();
  });

  test.each([
    { desc: "a hint that is free", hint: AT, want: AT },
    { desc: "a hint inside a page", hint: AT + 5, want: AT },
    { desc: "a hint below what may be mapped", hint: P, want: 65536 },
    { desc: "no hint", hint: 5, want: MMAP_BASE - P },
    { desc: "a hint that is taken", hint: AT + 8 * P, want: MMAP_BASE - P },
    { desc: "a hint that reaches into what is taken", hint: AT + 7 * P, length: 2 * P, want: MMAP_BASE - 2 * P },
    { desc: "a hint beyond user space", hint: 2 ** 63, want: MMAP_BASE - P },
    { desc: "a hint at the very end", hint: TASK_SIZE - P, length: 2 * P, want: MMAP_BASE - 2 * P },
    { desc: "a negative hint", hint: -P, want: MMAP_BASE - P },
  ])("$desc", ({ hint, length = P, want }) => {
    const rig = new Rig();
    rig.mmap({ address: AT + 8 * P, length: P });
    expect(rig.mmap({ address: hint, length, flags: ANON })).toBe(want);
    rig.check();
  });

  test("a stack keeps its distance from what is placed below it", () => {
    const rig = new Rig();
    rig.mmap({ address: MMAP_BASE - 10 * P, length: P, flags: ANON | MAP_FIXED | MAP_GROWSDOWN });
    expect((MMAP_BASE - rig.mmap({ length: 9 * P })) / P).toBe(9);
    expect((MMAP_BASE - rig.mmap({ length: P })) / P).toBe(10 + 256 + 1);
    expect(rig.mmap({ address: MMAP_BASE - 11 * P, length: P, flags: ANON })).toBe(MMAP_BASE - 268 * P);
    // MAP_FIXED does not ask.
    expect(rig.mmap({ address: MMAP_BASE - 11 * P, length: P })).toBe(MMAP_BASE - 11 * P);
    rig.check();
  });

  test("an area that straddles the base does not hide the gap below it", () => {
    const rig = new Rig();
    rig.mmap({ address: MMAP_BASE - P, length: 2 * P });
    expect(rig.mmap({ length: P })).toBe(MMAP_BASE - 2 * P);
  });

  test("when there is no gap below the base, the lowest one from a third of the space up", () => {
    const rig = new Rig();
    const base = MMAP_BASE;
    expect(rig.mmap({ length: base - 65536 })).toBe(65536);
    expect(rig.mmap({ length: P })).toBe(base);
    expect(rig.mmap({ length: TASK_SIZE })).toBe(-ENOMEM);
    rig.check();
  });

  test("the search that remembers where it was agrees with one that does not", () => {
    const step = fc.record({
      pages: fc.integer({ min: 1, max: 6 }),
      drop: fc.nat({ max: 40 }),
      grows: fc.nat({ max: 9 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const rig = new Rig({ memory: 16 * P });
        for (const { pages, drop, grows } of steps) {
          const wanted = new MmStruct(rig.mem, rig.mm.revision);
          for (const { start, end, flags, pgoff } of rig.mm.vmas.values()) {
            wanted.vmas.insert(new Vma(wanted, start, end, flags, pgoff));
          }
          const task = new UserTask(rig.world, "fresh", wanted);
          const fresh = rig.run(doMmap(task, { address: 0, length: pages * P, prot: RW, flags: ANON }), task);
          const flags = ANON | (grows === 0 ? MAP_GROWSDOWN : 0);
          expect(rig.mmap({ length: pages * P, flags })).toBe(fresh);
          if (drop < 20) rig.munmap(MMAP_BASE - (drop + 2) * P, (1 + (drop % 3)) * P);
          rig.check();
        }
      }),
      { numRuns: 100, seed: 1 },
    );
  });
});

describe("MAP_FIXED", () => {
  test("replaces what is there, cutting areas as needed", () => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: 6 * P });
    for (let i = 0; i < 6; i++) rig.store(AT + i * P, i + 1);
    expect(rig.mmap({ address: AT + 2 * P, length: 2 * P, prot: PROT_READ })).toBe(AT + 2 * P);
    expect(areas(rig)).toBe("0-2 2-4 4-6");
    expect([0, 1, 2, 3, 4, 5].map((i) => rig.load(AT + i * P))).toEqual([1, 2, 0, 0, 5, 6]);
    rig.check();
  });

  test.each([
    { desc: "on free space", at: AT + 4 * P, want: AT + 4 * P },
    { desc: "on what is there", at: AT + P, want: -EEXIST },
    { desc: "reaching into it", at: AT - P, want: -EEXIST },
    { desc: "misaligned", at: AT + 1, want: -EINVAL },
    { desc: "below what may be mapped", at: P, want: -EPERM },
    { desc: "beyond the end", at: TASK_SIZE - P, want: -ENOMEM },
    { desc: "beyond the end and misaligned", at: TASK_SIZE - 1, want: -ENOMEM },
    { desc: "a kernel address", at: 2 ** 63, want: -ENOMEM },
    { desc: "a negative address", at: -P, want: -ENOMEM },
  ])("no replacing: $desc", ({ at, want }) => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: 2 * P });
    expect(rig.mmap({ address: at, length: 2 * P, flags: ANON | MAP_FIXED_NOREPLACE })).toBe(want);
    if (want !== -EEXIST) expect(rig.mmap({ address: at, length: 2 * P, flags: ANON | MAP_FIXED })).toBe(want);
    rig.check();
  });
});

describe("bad arguments", () => {
  const file = (rig: Rig): MemoryFile => new MemoryFile(rig.mem, 4 * P);
  const cases: { desc: string; args: (rig: Rig) => Partial<MmapArgs> & { length: number }; want: number }[] = [
    { desc: "no length", args: () => ({ length: 0 }), want: -EINVAL },
    { desc: "a negative length", args: () => ({ length: -P }), want: -ENOMEM },
    { desc: "a length beyond all space", args: () => ({ length: 2 ** 60 }), want: -ENOMEM },
    { desc: "half a length", args: () => ({ length: 0.5 }), want: -EINVAL },
    { desc: "NaN", args: () => ({ length: Number.NaN }), want: -EINVAL },
    { desc: "neither shared nor private", args: () => ({ length: P, flags: MAP_ANONYMOUS }), want: -EINVAL },
    { desc: "a type that does not exist", args: () => ({ length: P, flags: MAP_ANONYMOUS | 5 }), want: -EINVAL },
    {
      desc: "validated, but anonymous",
      args: () => ({ length: P, flags: MAP_ANONYMOUS | MAP_SHARED_VALIDATE }),
      want: -EINVAL,
    },
    {
      desc: "validated, and unknown flags",
      args: (rig) => ({ length: P, flags: MAP_SHARED_VALIDATE | 0x4000000, backing: file(rig).backing }),
      want: -EOPNOTSUPP,
    },
    {
      desc: "a negative file offset",
      args: (rig) => ({ length: P, flags: MAP_SHARED, backing: file(rig).backing, pgoff: -1 }),
      want: -EOVERFLOW,
    },
    {
      desc: "an offset where files cannot end",
      args: (rig) => ({ length: P, flags: MAP_SHARED, backing: file(rig).backing, pgoff: 2 ** 40 }),
      want: -EOVERFLOW,
    },
    {
      desc: "a stack that shows a file",
      args: (rig) => ({ length: P, flags: MAP_PRIVATE | MAP_GROWSDOWN, backing: file(rig).backing }),
      want: -EINVAL,
    },
    {
      desc: "a stack that is shared",
      args: () => ({ length: P, flags: MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN }),
      want: -EINVAL,
    },
    {
      desc: "a shared writable view of a file opened for reading",
      args: (rig) => ({ length: P, flags: MAP_SHARED, backing: file(rig).backing, vmFlags: { remove: VM_MAYWRITE } }),
      want: -EACCES,
    },
  ];
  test.each(cases)("$desc", ({ args, want }) => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: P });
    expect(rig.mmap(args(rig))).toBe(want);
    expect(areas(rig)).toBe("0-1");
    rig.check();
  });

  test("a view of a file opened for reading is shared in name only", () => {
    const rig = new Rig();
    const at = rig.mmap({
      length: P,
      flags: MAP_SHARED,
      prot: PROT_READ,
      backing: file(rig).backing,
      vmFlags: { remove: VM_MAYWRITE },
    });
    expect((rig.mm.vmas.lookup(at)?.flags ?? 0) & (VM_SHARED | VM_MAYSHARE | VM_MAYWRITE)).toBe(VM_MAYSHARE);
    expect(rig.mprotect(at, P, RW)).toBe(-EACCES);
  });
});

describe("limits", () => {
  test("address space, data, locked memory, number of areas", () => {
    const limited = (limits: ConstructorParameters<typeof Rig>[0]): Rig => new Rig(limits);
    const space = limited({ limits: { addressSpace: 4 * P } });
    expect([space.mmap({ length: 3 * P }) > 0, space.mmap({ length: 2 * P })]).toEqual([true, -ENOMEM]);
    // What a fixed mapping replaces does not count.
    const [area] = [...space.mm.vmas.values()];
    expect(space.mmap({ address: area.start, length: 4 * P })).toBe(area.start);
    space.check();

    const data = limited({ limits: { data: 2 * P } });
    expect(data.mmap({ length: 3 * P, prot: PROT_READ }) > 0).toBe(true);
    expect([data.mmap({ length: 3 * P }), data.mmap({ length: 2 * P }) > 0]).toEqual([-ENOMEM, true]);
    data.check();

    const locked = limited({ limits: { memlock: 2 * P } });
    expect(locked.mmap({ length: 3 * P, flags: ANON | MAP_LOCKED })).toBe(-EAGAIN);
    const at = locked.mmap({ length: 2 * P, flags: ANON | MAP_LOCKED });
    expect([locked.pagemap(at, 2 * P), locked.mm.lockedVm]).toEqual(["AA", 2 * P]);
    expect(locked.munmap(at, P)).toBe(0);
    expect([locked.mm.lockedVm, locked.mmap({ length: P, flags: ANON | MAP_LOCKED }) > 0]).toEqual([P, true]);
    locked.check();
    expect(limited({ limits: { memlock: 0 } }).mmap({ length: P, flags: ANON | MAP_LOCKED })).toBe(-EPERM);

    const count = limited({ limits: { maxMapCount: 3 } });
    const island = (i: number): number => count.mmap({ address: AT + 2 * i * P, length: P });
    // Linux looks before it adds: one more than the limit fits.
    expect([0, 1, 2, 3, 4].map((i) => island(i) > 0)).toEqual([true, true, true, true, false]);
    count.check();
  });

  test("wrong limits are the caller's mistake", () => {
    const { mem } = new Rig();
    expect(() => new MmStruct(mem, new Rig().mm.revision, { data: -1 })).toThrow(RangeError);
    expect(() => new MmStruct(mem, new Rig().mm.revision, { data: "much" as unknown as number })).toThrow(TypeError);
    expect(() => new MmStruct({} as unknown as typeof mem, new Rig().mm.revision)).toThrow(TypeError);
  });
});

describe("areas that fit become one", () => {
  test.each([
    { desc: "a new one after another", second: { address: AT + P }, want: "0-2" },
    { desc: "a new one before another", second: { address: AT - P }, want: "-1-1" },
    { desc: "other access", second: { address: AT + P, prot: PROT_READ }, want: "0-1 1-2" },
    { desc: "a gap", second: { address: AT + 2 * P }, want: "0-1 2-3" },
  ])("$desc", ({ second, want }) => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: P });
    rig.mmap({ length: P, ...second });
    expect(areas(rig)).toBe(want);
    rig.check();
  });

  test("a new one between two joins all three, unless both have pages of their own", () => {
    for (const touched of [false, true]) {
      const rig = new Rig();
      rig.mmap({ address: AT, length: P });
      rig.mmap({ address: AT + 2 * P, length: P });
      if (touched) rig.store(AT, 1);
      if (touched) rig.store(AT + 2 * P, 1);
      rig.mmap({ address: AT + P, length: P });
      expect(areas(rig)).toBe(touched ? "0-2 2-3" : "0-3");
      rig.check();
    }
  });

  test("file areas join where their offsets go on", () => {
    const rig = new Rig();
    const file = new MemoryFile(rig.mem, 8 * P);
    const show = (at: number, pgoff: number): void => {
      rig.mmap({ address: at, length: 2 * P, flags: MAP_SHARED | MAP_FIXED, backing: file.backing, pgoff });
    };
    show(AT, 0);
    show(AT + 2 * P, 2);
    show(AT + 4 * P, 2);
    expect(areas(rig)).toBe("0-4 4-6");
    rig.check();
  });
});

describe("MAP_POPULATE", () => {
  test.each([
    { desc: "private writable memory is written to", flags: ANON | MAP_POPULATE, prot: RW, want: "AAAA" },
    { desc: "private read-only memory is read", flags: ANON | MAP_POPULATE, prot: PROT_READ, want: "aaaa" },
    { desc: "no access: nothing", flags: ANON | MAP_POPULATE, prot: PROT_NONE, want: "...." },
    { desc: "MAP_NONBLOCK: nothing", flags: ANON | MAP_POPULATE | MAP_NONBLOCK, prot: RW, want: "...." },
  ])("$desc", ({ flags, prot, want }) => {
    const rig = new Rig();
    expect(rig.pagemap(rig.mmap({ length: 4 * P, flags, prot }), 4 * P)).toBe(want);
    rig.check();
  });

  test("a file as far as it goes; what fails is no error", () => {
    const rig = new Rig();
    const file = new MemoryFile(rig.mem, 2 * P, { latency: 10 });
    for (const [flags, want] of [
      [MAP_SHARED, "FF.."],
      [MAP_PRIVATE, "AA.."],
    ] as const) {
      const at = rig.mmap({ length: 4 * P, flags: flags | MAP_POPULATE, backing: file.backing });
      expect(rig.pagemap(at, 4 * P)).toBe(want);
      rig.munmap(at, 4 * P);
    }
    const poor = new Rig({ memory: 10 * P });
    const free = poor.mem.freePages;
    const at = poor.mmap({ length: 8 * P, flags: ANON | MAP_POPULATE });
    expect(poor.pagemap(at, 8 * P)).toBe("A".repeat(free).padEnd(8, "."));
  });
});

test("mmap waits for mmap_lock", () => {
  const rig = new Rig();
  const other = new UserTask(rig.world, "other", rig.mm);
  rig.world.start(
    other,
    (function* () {
      yield* downWrite(other, rig.mm.mmapLock);
      rig.world.after(10, () => upWrite(other, rig.mm.mmapLock));
    })(),
  );
  expect(rig.world.run().verdict.kind).toBe("completed");
  expect(rig.mmap({ length: P })).toBe(MMAP_BASE - P);
  expect(rig.world.now).toBe(10);
});
