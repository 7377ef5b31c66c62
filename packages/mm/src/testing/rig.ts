// A machine for tests of mm: a world, memory, one address space and a task in it.

import {
  type Chooser,
  FifoChooser,
  PAGE_SIZE,
  type Pfn,
  type TaskBody,
  Tracer,
  World,
  type WorldOptions,
} from "@faultline/kernel";
import { expect } from "vitest";
import {
  checkMm,
  doMmap,
  doMprotect,
  doMunmap,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MM_LATEST,
  type MmapArgs,
  type MmLimits,
  type MmRevision,
  MmStruct,
  PhysMem,
  PROT_READ,
  PROT_WRITE,
  pageAddress,
  pagemapEntry,
  type UserAccessResult,
  UserTask,
  userLoad,
  userStore,
} from "../index.ts";

export const RW: number = PROT_READ | PROT_WRITE;

export interface RigOptions {
  readonly revision?: MmRevision;
  /** Bytes of memory; 4 MiB by default. */
  readonly memory?: number;
  readonly limits?: Partial<MmLimits>;
  readonly chooser?: Chooser;
  readonly environment?: WorldOptions["environment"];
  readonly lockdep?: boolean;
}

/** Whatever a task does, as a value: what `run` takes. */
type Body<T> = Generator<TaskBody extends Generator<infer Y> ? Y : never, T, void>;

export class Rig {
  readonly world: World;
  readonly mem: PhysMem;
  readonly mm: MmStruct;
  readonly task: UserTask;
  /** Frames that belong to nobody else: the kernel's side of copies. */
  readonly buffer: number;
  readonly bufferPages: readonly Pfn[];

  constructor(options: RigOptions = {}) {
    this.world = new World({
      chooser: options.chooser ?? new FifoChooser(),
      trace: new Tracer(1 << 16),
      lockdep: options.lockdep ?? false,
      environment: options.environment ?? {},
    });
    this.mem = new PhysMem(this.world, options.memory ?? 4 * 1024 * 1024);
    this.mm = new MmStruct(this.mem, options.revision ?? MM_LATEST, options.limits ?? {});
    this.task = new UserTask(this.world, "task", this.mm);
    this.bufferPages = Array.from({ length: 6 }, () => this.mem.tryAllocPage(true));
    this.buffer = pageAddress(this.bufferPages[0]);
  }

  /** Run what a task does to its end, like a function. */
  run<T>(body: Body<T>, task: UserTask = this.task): T {
    return this.world.runSync(task, body);
  }

  /** Map memory: private anonymous and writable unless told otherwise. Returns: the address or an error. */
  mmap(args: Partial<MmapArgs> & { readonly length: number }): number {
    const fixed = args.address === undefined ? 0 : MAP_FIXED;
    return this.run(doMmap(this.task, { address: 0, prot: RW, flags: MAP_PRIVATE | MAP_ANONYMOUS | fixed, ...args }));
  }

  munmap(address: number, length: number): number {
    return this.run(doMunmap(this.task, address, length));
  }

  mprotect(address: number, length: number, prot: number): number {
    return this.run(doMprotect(this.task, address, length, prot));
  }

  /** One byte that user space loads, or the signal that it gets, as "SIGBUS". */
  load(address: number, task: UserTask = this.task): number | string {
    const { signal } = this.run(userLoad(task, this.buffer, address, 1), task);
    return signal === 0 ? this.mem.u8[this.buffer] : signalName(signal);
  }

  /** User space stores one byte. Returns: "" or the signal that it gets. */
  store(address: number, value: number, task: UserTask = this.task): string {
    this.mem.u8[this.buffer] = value;
    const result: UserAccessResult = this.run(userStore(task, address, this.buffer, 1), task);
    return result.signal === 0 ? "" : signalName(result.signal);
  }

  /** Page table entries as letters: `.` none, `z` the zero page, `a` anonymous, `f` of a file; capital if mapped once. */
  pagemap(address: number, length: number, task: UserTask = this.task): string {
    let text = "";
    for (let at = address; at < address + length; at += PAGE_SIZE) {
      const { present, file, exclusive } = pagemapEntry(task, at);
      const letter = file ? "f" : "a";
      text += present ? (exclusive ? letter.toUpperCase() : letter) : ".";
    }
    return text;
  }

  /** What happened since `from`, by name. */
  events(from: number): string[] {
    return [...(this.world.trace as Tracer).events(from)].map((event) => event.name);
  }

  /** Faults so far, minor and major. */
  faults(task: UserTask = this.task): [number, number] {
    return [task.minFlt, task.majFlt];
  }

  /** Fail if memory is inconsistent. `held`: references that the test keeps, besides the buffer's. */
  check(spaces: readonly MmStruct[] = [this.mm], held: Iterable<[number, number]> = []): void {
    const all = new Map<number, number>(this.bufferPages.map((page) => [page, 1]));
    for (const [page, count] of held) all.set(page, (all.get(page) ?? 0) + count);
    expect(checkMm(spaces, all)).toEqual([]);
  }
}

const SIGNALS = new Map([
  [7, "SIGBUS"],
  [9, "SIGKILL"],
  [11, "SIGSEGV"],
]);

export function signalName(signal: number): string {
  return SIGNALS.get(signal) ?? `signal ${signal}`;
}
