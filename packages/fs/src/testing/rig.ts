// A machine for tests of the file system: files with known bytes, buffers with chosen pages, and what a system
// call did, counted from its trace.

import {
  type Chooser,
  Completion,
  errnoName,
  FifoChooser,
  type MayFault,
  PAGE_SIZE,
  RunError,
  type TraceEvent,
  type VerdictKind,
  verdictReport,
} from "@faultline/kernel";
import {
  doMprotect,
  doMunmap,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  pageAddress,
  userLoad,
  userStore,
  VM_PFNMAP,
} from "@faultline/mm";
import { Volume } from "memfs";
import { afterEach, expect } from "vitest";
import { checkMachine } from "../check-machine.ts";
import {
  type FsTask,
  type Gfs2Inode,
  type Gfs2Revision,
  Machine,
  O_CREAT,
  O_RDWR,
  POSIX_FADV_DONTNEED,
  sysClose,
  sysFadvise,
  sysFsync,
  sysFtruncate,
  sysMmap,
  sysOpen,
  sysPread64,
  sysPwrite64,
  type VolumeFs,
} from "../index.ts";
import { HookedTracer } from "./hooked-tracer.ts";

const RW: number = PROT_READ | PROT_WRITE;

export interface RigOptions {
  readonly chooser?: Chooser;
  readonly memory?: number;
  /** Microseconds that the disk takes; 0 by default. */
  readonly latency?: number;
  readonly capacityBlocks?: number;
}

export interface FileOptions {
  /** Bytes; or pages, one letter each: `d` data, `h` a hole. */
  readonly size: number | string;
  /** Leave its pages in the cache. */
  readonly cached?: boolean;
}

/** What a call did. */
export interface Outcome {
  /** Bytes or "EFAULT"; how the run ended, if the call did not return. */
  readonly ret: number | string;
  /** Tries under the glock. */
  readonly io: number;
  /** Times that gfs2 faulted a window in, and how many bytes it asked for each time. */
  readonly rounds: number;
  readonly asked: readonly number[];
}

/** The byte at an offset of a file: no two pages are alike. */
export function fileByte(offset: number, seed = 1): number {
  return (offset * 7 + Math.floor(offset / PAGE_SIZE) * 31 + seed * 13) & 0xff;
}

/** `length` of them. */
export function fileBytes(offset: number, length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = fileByte(offset + i, seed);
  return bytes;
}

/** Where buffers lie, far from each other and from everything else. */
const FIRST_BUFFER = 0x10_0000_0000;
const BUFFER_STRIDE = 0x1000_0000;
const SCRATCH_PAGES = 64;
const MAKER_PAGES = 16;
/** Choices that a test may settle: as often as it likes. */
const INJECTABLE = { "disk-error": Infinity, "short-transfer": Infinity, "alloc-fail": Infinity };

class InjectingChooser extends FifoChooser {
  readonly #injections: Map<string, number>;

  constructor(injections: Map<string, number>) {
    super();
    this.#injections = injections;
  }

  override choose(choice = ""): number {
    const left = this.#injections.get(choice) ?? 0;
    if (left > 0) this.#injections.set(choice, left - 1);
    return left > 0 ? 1 : 0;
  }
}

/** Those that the current test has made. */
const rigs: Rig[] = [];

// No lock, reference or pin outlives its call, whatever the test was about; unless the call never returned.
afterEach(() => {
  for (const rig of rigs.splice(0)) if (rig.mayRest) rig.check();
});

export class Rig {
  /** Has every call returned, as far as anybody knows, and does the test keep nothing on purpose? */
  mayRest = true;
  readonly machine: Machine;
  readonly task: FsTask;
  readonly trace: HookedTracer = new HookedTracer(1 << 17);
  readonly volume: Volume = new Volume();
  /** How many of the next choices of the environment turn out badly, by name: "disk-error", "alloc-fail". */
  readonly injections: Map<string, number> = new Map();
  /** Physical memory that belongs to nobody: the user program's registers, so to speak. */
  readonly #registers: number;
  readonly #tasks: FsTask[] = [];
  #buffers = 0;

  constructor(kernel: Gfs2Revision, options: RigOptions = {}) {
    const { latency = 0, capacityBlocks, chooser, ...rest } = options;
    const disk = { latency, ...(capacityBlocks === undefined ? {} : { capacityBlocks }) };
    // The dirty limit of the machine that the recordings come from.
    this.machine = new Machine({
      kernel,
      trace: this.trace,
      chooser: chooser ?? new InjectingChooser(this.injections),
      environment: chooser === undefined ? INJECTABLE : {},
      dirtyLimit: 45_000,
      memory: 8 << 20,
      volume: this.volume as unknown as VolumeFs,
      ...rest,
      disk,
    });
    this.task = this.process("task");
    const { mem } = this.task.mm;
    const frames = Array.from({ length: SCRATCH_PAGES }, () => mem.tryAllocPage(true));
    this.#registers = pageAddress(frames[0]);
    rigs.push(this);
  }

  /** A process of its own. */
  process(comm: string): FsTask {
    const task = this.machine.task(comm);
    this.#tasks.push(task);
    return task;
  }

  /** Another thread of a process. */
  thread(of: FsTask, comm: string): FsTask {
    const task = this.machine.thread(of, comm);
    this.#tasks.push(task);
    return task;
  }

  /** Run what a task does to its end, like a function. */
  run<T>(body: MayFault<T>, task: FsTask = this.task): T {
    try {
      return this.machine.call(task, body);
    } catch (error) {
      this.mayRest = false;
      throw error;
    }
  }

  /** Make a system call that has to succeed. Returns: what it returns. */
  must(body: MayFault<number>, task: FsTask = this.task): number {
    const ret = this.run(body, task);
    if (ret < 0) throw new Error(`a call that has to succeed returned ${errnoName(ret)}`);
    return ret;
  }

  /** Make a file that holds `fileByte`s, on disk and not in the cache. Another process does it. */
  make(name: string, { size, cached = false }: FileOptions): void {
    const maker = this.process("maker");
    const fd = this.must(sysOpen(maker, name, O_RDWR | O_CREAT), maker);
    const layout = typeof size === "string" ? size : "d".repeat(Math.ceil(size / PAGE_SIZE));
    const bytes = typeof size === "string" ? size.length * PAGE_SIZE : size;
    const at = this.must(
      sysMmap(maker, { address: 0, length: MAKER_PAGES * PAGE_SIZE, prot: RW, flags: MAP_PRIVATE | MAP_ANONYMOUS }),
      maker,
    );
    // Stretches of data, as long as the buffer or shorter.
    for (const { index, 0: run } of layout.matchAll(/d{1,16}/g)) {
      const pos = index * PAGE_SIZE;
      const length = Math.min(run.length * PAGE_SIZE, bytes - pos);
      this.poke(at, fileBytes(pos, length), maker);
      expect(this.must(sysPwrite64(maker, fd, at, length, pos), maker)).toBe(length);
    }
    this.must(sysFtruncate(maker, fd, bytes), maker);
    this.must(sysFsync(maker, fd), maker);
    this.must(sysFadvise(maker, fd, 0, 0, POSIX_FADV_DONTNEED), maker);
    for (let pos = 0; cached && pos < bytes; pos += MAKER_PAGES * PAGE_SIZE) {
      this.must(sysPread64(maker, fd, at, MAKER_PAGES * PAGE_SIZE, pos), maker);
    }
    this.must(sysClose(maker, fd), maker);
    this.must(doMunmap(maker, at, MAKER_PAGES * PAGE_SIZE), maker);
  }

  open(name: string, flags: number = O_RDWR, task: FsTask = this.task): number {
    return this.must(sysOpen(task, name, flags), task);
  }

  inode(name: string): Gfs2Inode {
    return this.machine.nodes[0].sbd.lookup(name, false) as Gfs2Inode;
  }

  /**
   * Map anonymous memory, one letter a page: `r` resident and filled with `fileByte`s, `.` not there yet, `z` the
   * zero page, `o` read-only, `n` PROT_NONE, `p` raw memory without entries, `-` a gap. Returns: its address.
   */
  buffer(layout: string, task: FsTask = this.task): number {
    const start = FIRST_BUFFER + this.#buffers++ * BUFFER_STRIDE;
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    for (const [page, letter] of [...layout].entries()) {
      const address = start + page * PAGE_SIZE;
      if (letter === "-") continue;
      const raw = letter === "p" ? { vmFlags: { add: VM_PFNMAP } } : {};
      this.must(sysMmap(task, { address, length: PAGE_SIZE, prot: RW, flags, ...raw }), task);
      if (letter === "r") {
        this.poke(
          address,
          Array.from({ length: PAGE_SIZE }, (_, i) => fileByte(page * PAGE_SIZE + i, 2)),
          task,
        );
      }
      if (letter === "z") this.peek(address, 1, task);
      if (letter === "o") this.must(doMprotect(task, address, PAGE_SIZE, PROT_READ), task);
      if (letter === "n") this.must(doMprotect(task, address, PAGE_SIZE, PROT_NONE), task);
    }
    return start;
  }

  /** Map a file. Returns: the address. */
  map(fd: number, pages: number, flags: number, prot: number = RW, task: FsTask = this.task): number {
    const address = FIRST_BUFFER + this.#buffers++ * BUFFER_STRIDE;
    return this.must(sysMmap(task, { address, length: pages * PAGE_SIZE, prot, flags: flags | MAP_FIXED, fd }), task);
  }

  /** Bytes that the program loads; fewer if that gets it a signal. */
  peek(address: number, length: number, task: FsTask = this.task): Uint8Array {
    const loaded = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const size = Math.min(length - done, SCRATCH_PAGES * PAGE_SIZE);
      const { left } = this.run(userLoad(task, this.#registers, address + done, size), task);
      loaded.set(task.mm.mem.u8.subarray(this.#registers, this.#registers + size - left), done);
      if (left > 0) return loaded.subarray(0, done + size - left);
      done += size;
    }
    return loaded;
  }

  /** The program stores bytes. */
  poke(address: number, bytes: ArrayLike<number>, task: FsTask = this.task): void {
    task.mm.mem.u8.set(bytes, this.#registers);
    const { left } = this.run(userStore(task, address, this.#registers, bytes.length), task);
    if (left > 0) throw new Error(`cannot store at 0x${address.toString(16)}`);
  }

  /** What a read of a whole file gives, by a process that does nothing else. */
  content(name: string): Uint8Array {
    const reader = this.process("reader");
    const fd = this.open(name, O_RDWR, reader);
    const { size } = this.inode(name);
    const length = Math.max(1, Math.ceil(size / PAGE_SIZE)) * PAGE_SIZE;
    const at = this.must(sysMmap(reader, { address: 0, length, prot: RW, flags: MAP_PRIVATE | MAP_ANONYMOUS }), reader);
    const got = this.must(sysPread64(reader, fd, at, size, 0), reader);
    const bytes = this.peek(at, got, reader);
    this.must(sysClose(reader, fd), reader);
    this.must(doMunmap(reader, at, length), reader);
    return bytes;
  }

  /** The bytes that the volume has. */
  onDisk(name: string): Uint8Array {
    return new Uint8Array(this.volume.readFileSync(`/${name}`) as Buffer);
  }

  /** Make a call and count what it does. */
  measure(body: MayFault<number>, task: FsTask = this.task): Outcome {
    const from = this.trace.count;
    let ret: number | string;
    try {
      ret = this.run(body, task);
      if (ret < 0) ret = errnoName(ret);
    } catch (error) {
      if (!(error instanceof RunError)) throw error;
      ret = error.verdict.kind satisfies VerdictKind;
    }
    return { ret, ...count(this.trace.events(from), task.pid) };
  }

  /** Run all tasks that were started. Returns: the report, a line each; "COMPLETED" if they all ended. */
  report(): string[] {
    const { verdict } = this.machine.run();
    if (verdict.kind !== "completed") this.mayRest = false;
    return verdictReport(verdict);
  }

  /** Let what was started come to its end: read-ahead, write-back. */
  settle(): void {
    const { world } = this.machine;
    const done = new Completion("settle");
    world.after(1_000_000, () => done.complete());
    const wait = function* (): MayFault<void> {
      while (!done.isReady()) yield done;
    };
    this.run(wait());
  }

  /** Fail if anything outlived the calls that were made, or is inconsistent. */
  check(): void {
    this.settle();
    const registers = this.#registers / PAGE_SIZE;
    const held = new Map(Array.from({ length: SCRATCH_PAGES }, (_, i) => [registers + i, 1]));
    expect(checkMachine(this.machine, this.#tasks, held)).toEqual([]);
  }
}

/** Count tries and rounds. A round is what gfs2 faults in between two tries, segment by segment. */
function count(events: Iterable<TraceEvent>, pid: number): Omit<Outcome, "ret"> {
  let io = 0;
  let inIomap = false;
  let glocks = 0;
  let roundOpen = false;
  const asked: number[] = [];
  for (const event of events) {
    if (event.task !== pid) continue;
    switch (event.name) {
      case "gfs2_promote":
        glocks++;
        break;
      case "gfs2_glock_queue":
        if (event.args.queue === 0) glocks--;
        break;
      case "generic_file_read_iter":
        if (glocks > 0) io++;
        roundOpen = false;
        break;
      case "iomap_file_buffered_write":
        io++;
        inIomap = true;
        break;
      case "iomap_file_buffered_write_ret":
        inIomap = false;
        roundOpen = false;
        break;
      case "iomap_dio_rw":
        io++;
        break;
      case "gfs2_file_buffered_write":
      case "iomap_dio_rw_ret":
        roundOpen = false;
        break;
      case "fault_in_readable":
      case "fault_in_safe_writeable":
      case "fault_in_user_pages":
        if (inIomap) break;
        if (roundOpen) asked[asked.length - 1] += event.args.size;
        else asked.push(event.args.size);
        roundOpen = true;
        break;
    }
  }
  return { io, rounds: asked.length, asked };
}
