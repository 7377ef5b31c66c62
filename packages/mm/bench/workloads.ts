// What mm should be fast at, as workloads that somebody else times: `faultline bench`, or run.ts beside this
// file. Nothing here looks at a clock.

import { type Faulting, ignoreResult, PAGE_SIZE, type Sleep, World } from "@faultline/kernel";
import {
  copyFromUser,
  copyFromUserInatomic,
  copyToUserInatomic,
  doMadvise,
  doMmap,
  doMprotect,
  dupMm,
  faultInReadable,
  faultInSafeWriteable,
  MADV_DONTNEED,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MM_LATEST,
  type MmLimits,
  MmStruct,
  mmput,
  PhysMem,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  pageAddress,
  UserTask,
  userStore,
} from "../src/index.ts";

export interface Workload {
  readonly name: string;
  /** How often one run does what the name says. */
  readonly times: number;
  /** At most this many nanoseconds each, or this many times what `baseline` takes. */
  readonly goal: { readonly nanoseconds: number } | { readonly ratio: number };
  run(): void;
  /** The same work without user memory, as often. */
  baseline?(): void;
  /** Done before each run, and not timed. */
  reset?(): void;
  /** A fact that must hold after the runs; returns what is wrong, or "". */
  check?(): string;
}

const ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS;
const RW = PROT_READ | PROT_WRITE;
const MIB = 1024 * 1024;

class Machine {
  readonly world: World = new World();
  readonly mem: PhysMem;
  readonly mm: MmStruct;
  readonly task: UserTask;
  readonly buffer: number;

  constructor(memory: number, limits: Partial<MmLimits> = {}) {
    this.mem = new PhysMem(this.world, memory);
    this.mm = new MmStruct(this.mem, MM_LATEST, limits);
    this.task = new UserTask(this.world, "bench", this.mm);
    this.buffer = pageAddress(this.mem.tryAllocPage(true));
    for (let i = 0; i < 16; i++) this.mem.tryAllocPage(true);
  }

  run<T>(body: Generator<Sleep | Faulting, T, void>): T {
    return this.world.runSync(this.task, body);
  }

  map(length: number, flags = 0, address = 0, prot = RW): number {
    return this.run(doMmap(this.task, { address, length, prot, flags: ANONYMOUS | flags }));
  }
}

/** All workloads; each brings its own machine. `scale`: 1 for real numbers, less to see that they work. */
export function mmWorkloads(scale = 1): Workload[] {
  return [...copies(scale), ...faults(), ...areas(scale), ...sparse(), ...fork(scale)];
}

/** Copies walk through 1 MiB of user memory, which no first-level cache holds. */
function copies(scale: number): Workload[] {
  const machine = new Machine(8 * MIB);
  const { task, buffer } = machine;
  const { u8 } = machine.mem;
  const user = machine.map(2 * MIB);
  machine.run(faultInSafeWriteable(task, user, 2 * MIB));
  const physical = (machine.mm.pgd.get(user / PAGE_SIZE) >>> 12) * PAGE_SIZE;
  const copy = (name: string, size: number, ratio: number, copied: (at: number) => void, into = false): Workload => {
    const count = Math.max(1, Math.floor((MIB / size) * 8 * scale));
    const each = (one: (offset: number) => void) => (): void => {
      for (let i = 0; i < count; i++) one(((i * size) % MIB) + 64);
    };
    return {
      name,
      times: count,
      goal: { ratio },
      run: each(copied),
      baseline: each((offset) => {
        if (into) u8.copyWithin(physical + offset, buffer, buffer + size);
        else u8.copyWithin(buffer, physical + offset, physical + offset + size);
      }),
    };
  };
  const from =
    (size: number) =>
    (offset: number): void => {
      if (copyFromUserInatomic(task, buffer, user + offset, size) !== 0) throw new Error("short copy");
    };
  const to =
    (size: number) =>
    (offset: number): void => {
      if (copyToUserInatomic(task, user + offset, buffer, size) !== 0) throw new Error("short copy");
    };
  const faulting =
    (size: number) =>
    (offset: number): void => {
      copyFromUser(task, buffer, user + offset, size).next();
    };
  return [
    copy("copy_from_user, 4 KiB resident", 4096, 1.5, from(4096)),
    copy("copy_from_user, 64 KiB resident", 65536, 1.1, from(65536)),
    copy("copy_to_user, 4 KiB resident", 4096, 1.5, to(4096), true),
    copy("copy_to_user, 64 KiB resident", 65536, 1.1, to(65536), true),
    copy("copy_from_user as a generator, 64 KiB resident", 65536, 1.2, faulting(65536)),
  ];
}

function faults(): Workload[] {
  const machine = new Machine(8 * MIB);
  const { task, buffer } = machine;
  const pages = 256;
  const size = pages * PAGE_SIZE;
  const at = machine.map(size);
  const reset = (): void => {
    ignoreResult(machine.run(doMadvise(task, at, size, MADV_DONTNEED)), "the memory is mapped");
  };
  return [
    {
      name: "minor fault: first store to an anonymous page",
      times: pages,
      goal: { nanoseconds: 500 },
      reset,
      run: () => {
        for (let i = 0; i < pages; i++) userStore(task, at + i * PAGE_SIZE, buffer, 1).next();
      },
    },
    {
      name: "fault_in_safe_writeable of 256 pages",
      times: 1,
      goal: { nanoseconds: 60_000 },
      reset,
      run: () => {
        faultInSafeWriteable(task, at, size).next();
      },
    },
    {
      name: "fault_in_readable of 256 pages",
      times: 1,
      goal: { nanoseconds: 60_000 },
      reset,
      run: () => {
        faultInReadable(task, at, size).next();
      },
    },
    {
      name: "fault_in_readable of 256 resident pages",
      times: 1,
      goal: { nanoseconds: 60_000 },
      run: () => {
        faultInReadable(task, at, size).next();
      },
    },
  ];
}

function areas(scale: number): Workload[] {
  const count = Math.floor(1_000_000 * scale);
  const machine = new Machine(MIB, { maxMapCount: 4_000_000 });
  const { task, mm } = machine;
  const base = 0x100000000;
  // One mapping, cut at every other page.
  machine.map(count * 2 * PAGE_SIZE, MAP_FIXED | MAP_NORESERVE, base, PROT_NONE);
  for (let i = 0; i < count / 2; i++) machine.run(doMprotect(task, base + i * 4 * PAGE_SIZE, 2 * PAGE_SIZE, RW));
  const looks = 10_000;
  let seed = 1;
  const next = (): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return seed % count;
  };
  const page = (i: number): number => base + i * 2 * PAGE_SIZE;
  return [
    {
      name: `look-up of an area among ${mm.vmas.size}`,
      times: looks,
      goal: { nanoseconds: 1000 },
      run: () => {
        for (let i = 0; i < looks; i++) if (mm.vmas.lookup(page(next())) === null) throw new Error("no area");
      },
    },
    {
      name: `mprotect that cuts an area among ${mm.vmas.size}`,
      times: 1000,
      goal: { nanoseconds: 3000 },
      run: () => {
        for (let i = 0; i < 1000; i++) {
          if (machine.run(doMprotect(task, page(next()), PAGE_SIZE, PROT_READ)) !== 0)
            throw new Error("mprotect failed");
        }
      },
    },
  ];
}

function sparse(): Workload[] {
  const machine = new Machine(16 * MIB);
  const { task, buffer, mm } = machine;
  const touched = 1024;
  const step = 2 ** 40 / touched;
  const at = machine.map(2 ** 40, MAP_NORESERVE);
  return [
    {
      name: "first store to each GiB of a 1 TiB mapping",
      times: touched,
      goal: { nanoseconds: 5000 },
      reset: () => {
        ignoreResult(machine.run(doMadvise(task, at, 2 ** 40, MADV_DONTNEED)), "the memory is mapped");
      },
      run: () => {
        for (let i = 0; i < touched; i++) userStore(task, at + i * step, buffer, 1).next();
      },
      // A table of entries and a table above it for each touched page, and few more.
      check: () => (mm.pgd.tables <= 2 * touched + 8 ? "" : `${mm.pgd.tables} page tables`),
    },
  ];
}

function fork(scale: number): Workload[] {
  const size = Math.floor((1024 * scale * MIB) / PAGE_SIZE) * PAGE_SIZE;
  const machine = new Machine(size + 64 * MIB);
  const at = machine.map(size);
  machine.run(faultInSafeWriteable(machine.task, at, size));
  let copied = 0;
  let child: UserTask | null = null;
  return [
    {
      name: `fork of ${size / MIB} MiB resident, a page`,
      times: size / PAGE_SIZE,
      goal: { nanoseconds: 100 },
      reset: () => {
        if (child !== null) mmput(child);
      },
      run: () => {
        const { freePages } = machine.mem;
        const mm = machine.run(dupMm(machine.task)) as MmStruct;
        child = new UserTask(machine.world, "child", mm);
        copied += freePages - machine.mem.freePages;
      },
      check: () => (copied === 0 ? "" : `${copied} pages copied`),
    },
  ];
}
