// mm: copies, faults, areas, page tables, fork.

import { type Faulting, PAGE_SIZE, type Sleep, World } from "@faultline/kernel";
import {
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
} from "@faultline/mm";
import { GIB, KIB, MIB, once, type Timed, type Workload } from "./workload.ts";

const RW = PROT_READ | PROT_WRITE;

/** One process in a memory of its own, and one frame of the kernel's. */
class Process {
  readonly world: World = new World();
  readonly mem: PhysMem;
  readonly mm: MmStruct;
  readonly task: UserTask;

  constructor(memory: number, limits: Partial<MmLimits> = {}) {
    this.mem = new PhysMem(this.world, memory);
    this.mm = new MmStruct(this.mem, MM_LATEST, limits);
    this.task = new UserTask(this.world, "bench", this.mm);
  }

  run<T>(body: Generator<Sleep | Faulting, T, void>): T {
    return this.world.runSync(this.task, body);
  }

  map(length: number, flags = 0, address = 0, prot: number = RW): number {
    return this.run(doMmap(this.task, { address, length, prot, flags: MAP_PRIVATE | MAP_ANONYMOUS | flags }));
  }

  /** The same, and every page of it is there. */
  mapResident(length: number): number {
    const at = this.map(length);
    if (this.run(faultInSafeWriteable(this.task, at, length)) !== 0) throw new Error("not faulted in");
    return at;
  }

  /** Let pages go; the memory stays mapped. */
  drop(at: number, length: number): void {
    if (this.run(doMadvise(this.task, at, length, MADV_DONTNEED)) !== 0) throw new Error("madvise failed");
  }

  /** Cut an area, or two in one. */
  protect(at: number, length: number, prot: number): void {
    if (this.run(doMprotect(this.task, at, length, prot)) !== 0) throw new Error("mprotect failed");
  }

  /** Physically contiguous memory of the kernel's own. Returns: its physical address. */
  kernelMemory(size: number): number {
    const first = this.mem.tryAllocPage(true);
    for (let at = PAGE_SIZE; at < size; at += PAGE_SIZE) this.mem.tryAllocPage(true);
    return pageAddress(first);
  }
}

/** `scale`: 1 for real numbers, less to see that they work. */
export function userMemoryWorkloads(scale: number): Workload[] {
  return [...copies(), ...faults(), ...areas(scale), ...sparse(), ...fork(scale), bookkeeping()];
}

/** Copies walk through 1 MiB of user memory, which no first-level cache holds. */
function copies(): Workload[] {
  const prepare = (size: number, into: boolean): Timed => {
    const process = new Process(8 * MIB);
    const { task } = process;
    const { u8 } = process.mem;
    const kernel = process.kernelMemory(64 * KIB);
    const user = process.mapResident(2 * MIB);
    const physical = (process.mm.pgd.get(user / PAGE_SIZE) >>> 12) * PAGE_SIZE;
    const times = MIB / size;
    const copy = into
      ? (at: number): number => copyToUserInatomic(task, user + at, kernel, size)
      : (at: number): number => copyFromUserInatomic(task, kernel, user + at, size);
    const raw = into
      ? (at: number): unknown => u8.copyWithin(physical + at, kernel, kernel + size)
      : (at: number): unknown => u8.copyWithin(kernel, physical + at, physical + at + size);
    return {
      times,
      run: () => {
        for (let i = 0; i < times; i++) if (copy(i * size + 64) !== 0) throw new Error("short copy");
      },
      theirs: () => {
        for (let i = 0; i < times; i++) raw(i * size + 64);
      },
    };
  };
  const row = (name: string, size: number, goal: number): Workload => ({
    name: `${name} ${size / KIB} KiB / copyWithin`,
    goal,
    prepare: () => prepare(size, name === "copy_to_user"),
  });
  return [
    row("copy_from_user", 4 * KIB, 1.5),
    row("copy_from_user", 64 * KIB, 1.1),
    row("copy_to_user", 4 * KIB, 1.5),
    row("copy_to_user", 64 * KIB, 1.1),
  ];
}

function faults(): Workload[] {
  const pages = 256;
  const size = pages * PAGE_SIZE;
  /** Each run finds the memory mapped and nothing in it. */
  const prepare = (times: number, run: (process: Process, at: number, kernel: number) => void): Timed => {
    const process = new Process(8 * MIB);
    const kernel = process.kernelMemory(PAGE_SIZE);
    const at = process.map(size);
    return {
      times,
      theirs: times === 1 ? 60_000 : 500,
      reset: () => process.drop(at, size),
      run: () => run(process, at, kernel),
      check: () => (process.mm.pgd.get(at / PAGE_SIZE) !== 0 ? "" : "nothing was faulted in"),
    };
  };
  return [
    {
      name: "minor fault, a store to an anonymous page / 0.5 us",
      goal: 1,
      prepare: () =>
        prepare(pages, ({ task }, at, kernel) => {
          for (let i = 0; i < pages; i++) userStore(task, at + i * PAGE_SIZE, kernel, 1).next();
        }),
    },
    {
      name: "fault_in_safe_writeable of 256 pages / 60 us",
      goal: 1,
      prepare: () => prepare(1, ({ task }, at) => void faultInSafeWriteable(task, at, size).next()),
    },
    {
      name: "fault_in_readable of 256 pages / 60 us",
      goal: 1,
      prepare: () => prepare(1, ({ task }, at) => void faultInReadable(task, at, size).next()),
    },
  ];
}

/** A million areas: one mapping, cut at every other page. */
function areas(scale: number): Workload[] {
  const count = Math.floor(1_000_000 * scale);
  const base = 0x100000000;
  const million = once(() => {
    const process = new Process(MIB, { maxMapCount: 4_000_000 });
    const { mm } = process;
    process.map(count * 2 * PAGE_SIZE, MAP_FIXED | MAP_NORESERVE, base, PROT_NONE);
    for (let i = 0; i < count / 2; i++) process.protect(base + i * 4 * PAGE_SIZE, 2 * PAGE_SIZE, RW);
    if (mm.vmas.size < count - 2) throw new Error(`${mm.vmas.size} areas`);
    return process;
  });
  let seed = 1;
  const anyPage = (): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return base + (seed % count) * 2 * PAGE_SIZE;
  };
  return [
    {
      name: "VMA look-up among 1,000,000 / 1 us",
      goal: 1,
      prepare: () => {
        const { vmas } = million().mm;
        const times = 1000;
        const run = (): void => {
          for (let i = 0; i < times; i++) if (vmas.lookup(anyPage()) === null) throw new Error("no area");
        };
        return { times, run, theirs: 1000 };
      },
    },
    {
      name: "VMA split among 1,000,000 / 3 us",
      goal: 1,
      prepare: () => {
        const process = million();
        const times = 200;
        const run = (): void => {
          for (let i = 0; i < times; i++) process.protect(anyPage(), PAGE_SIZE, PROT_READ);
        };
        return { times, run, theirs: 3000 };
      },
    },
  ];
}

/** A page in each GiB of a TiB. */
function sparse(): Workload[] {
  const touched = 1024;
  const prepare = (): { process: Process; at: number; touch: () => void } => {
    const process = new Process(16 * MIB);
    const kernel = process.kernelMemory(PAGE_SIZE);
    const at = process.map(1024 * GIB, MAP_NORESERVE);
    const touch = (): void => {
      for (let i = 0; i < touched; i++) userStore(process.task, at + i * GIB, kernel, 1).next();
    };
    return { process, at, touch };
  };
  return [
    {
      name: "first store to a GiB of a sparse 1 TiB mapping / 5 us",
      goal: 1,
      prepare: () => {
        const { process, at, touch } = prepare();
        return { times: touched, run: touch, reset: () => process.drop(at, 1024 * GIB), theirs: 5000 };
      },
    },
    {
      // For each of them a table of entries and a table of tables, and one more above all.
      name: "page tables of 1,024 pages in a sparse 1 TiB mapping / 2 a page",
      goal: 1.01,
      prepare: () => {
        const { process, touch } = prepare();
        touch();
        return { unit: "tables", ours: process.mm.pgd.tables, theirs: 2 * touched };
      },
    },
  ];
}

function fork(scale: number): Workload[] {
  const size = Math.floor((GIB * scale) / PAGE_SIZE) * PAGE_SIZE;
  const prepare = (): Process => {
    const process = new Process(size + 64 * MIB);
    process.mapResident(size);
    return process;
  };
  const child = (process: Process): UserTask =>
    new UserTask(process.world, "child", process.run(dupMm(process.task)) as MmStruct);
  return [
    {
      name: "fork of 1 GiB resident / raw copy of it",
      goal: 1,
      prepare: () => {
        const process = prepare();
        let last: UserTask | null = null;
        // As much as a copy of it would move, in memory that is there.
        const span = Math.min(64 * MIB, size);
        const raw = new Uint8Array(2 * span).fill(1);
        return {
          times: 1,
          reset: () => {
            if (last !== null) mmput(last);
          },
          run: () => {
            last = child(process);
          },
          theirs: () => {
            for (let at = 0; at < size; at += span) raw.copyWithin(span, 0, span);
          },
        };
      },
    },
    {
      name: "pages copied by a fork of 1 GiB resident / its pages",
      goal: 0,
      prepare: () => {
        const process = prepare();
        const { freePages } = process.mem;
        child(process);
        return { unit: "pages", ours: freePages - process.mem.freePages, theirs: size / PAGE_SIZE };
      },
    },
  ];
}

/** What is kept of a frame besides its bytes: every array of the memory that has an entry for each. */
function bookkeeping(): Workload {
  return {
    name: "bookkeeping of a frame / 32 bytes",
    goal: 1,
    prepare: () => {
      const { mem } = new Process(16 * MIB);
      const arrays = Object.values(mem).filter((field) => ArrayBuffer.isView(field) && field !== mem.u8);
      const bytes = (arrays as Uint8Array[]).reduce((sum, { byteLength }) => sum + byteLength, 0);
      return { unit: "bytes", ours: bytes / mem.frames, theirs: 32 };
    },
  };
}
