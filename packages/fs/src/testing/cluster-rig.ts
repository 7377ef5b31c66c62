// A cluster for tests of fs: nodes, processes with a buffer each, and what they do in a line.

import {
  Completion,
  type MayFault,
  PAGE_SIZE,
  type Pfn,
  type Schedule,
  Tracer,
  traceText,
  type Verdict,
  verdictReport,
} from "@faultline/kernel";
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
  pageAddress,
  userLoad,
  userStore,
} from "@faultline/mm";
import { expect } from "vitest";
import { checkMachine } from "../check-machine.ts";
import {
  type FsTask,
  GFS2_6_12,
  Machine,
  type MachineOptions,
  O_CREAT,
  O_RDWR,
  sysClose,
  sysFsync,
  sysMmap,
  sysOpen,
  sysPread64,
  sysPwrite64,
} from "../index.ts";

const RW: number = PROT_READ | PROT_WRITE;

/** Microseconds after which what nobody waits for is over, and locks that are wanted elsewhere are gone. */
const COME_TO_REST = 10_000_000;
/** Bytes of a process's buffer. */
const BUFFER_SIZE = 256 * 1024;

export class Rig {
  readonly machine: Machine;
  readonly tracer: Tracer;
  readonly #processes: Process[] = [];

  constructor(options: Partial<MachineOptions> = {}) {
    this.tracer = new Tracer(1 << 16);
    this.machine = new Machine({
      kernel: GFS2_6_12,
      memory: 8 * 1024 * 1024,
      trace: this.tracer,
      ...options,
    });
  }

  /** A process on a node, with a resident buffer. `node`: its number, from 1. */
  process(comm: string, node = 1): Process {
    const process = new Process(this, this.machine.task(comm, this.machine.nodes[node - 1]));
    this.#processes.push(process);
    return process;
  }

  /** Let processes run side by side to their end. */
  run(...bodies: readonly (readonly [Process, MayFault<unknown>])[]): Verdict {
    for (const [process, body] of bodies) this.machine.start(process.task, body);
    return this.machine.run().verdict;
  }

  /** The same, and it must go well and leave nothing behind; the report says why not. */
  completes(...bodies: readonly (readonly [Process, MayFault<unknown>])[]): void {
    const verdict = this.run(...bodies);
    if (verdict.kind !== "completed") expect.fail(verdictReport(verdict).join("\n"));
    this.check();
  }

  /** Fail if anything outlived the calls that were made, or is inconsistent. */
  check(): void {
    const [first] = this.#processes;
    first.does(first.sleeps(COME_TO_REST));
    const tasks = this.#processes.map(({ task }) => task);
    for (const { mem } of this.machine.nodes) {
      const here = this.#processes.filter(({ task }) => task.mm.mem === mem);
      const held = new Map(here.flatMap(({ frames }) => frames.map((frame) => [frame, 1])));
      expect(
        checkMachine(
          this.machine,
          tasks.filter((task) => task.mm.mem === mem),
          held,
        ),
      ).toEqual([]);
    }
  }

  get schedule(): Schedule {
    return this.machine.world.schedule;
  }

  /** The trace since an event, as text: names and numbers of the events that `keep` wants. */
  events(keep: RegExp, from = 0): string[] {
    const names = { lock: this.machine.world.labels ?? new Map() };
    return [...traceText(this.tracer.events(from), names)]
      .filter((line) => keep.test(line))
      .map((line) =>
        line
          .trim()
          .replace(/^\d+ +/, "")
          .replace(/ +/g, " "),
      );
  }

  /** What the volume has of a file. */
  onDisk(name: string): string {
    const { volume } = this.machine;
    const fd = volume.openSync(`/${name}`, "r");
    const bytes = new Uint8Array(Number(volume.fstatSync(fd).size));
    if (bytes.length > 0) volume.readSync(fd, bytes, 0, bytes.length, 0);
    volume.closeSync(fd);
    return new TextDecoder("latin1").decode(bytes);
  }
}

export class Process {
  readonly task: FsTask;
  readonly #rig: Rig;
  /** Physical page through which bytes go to and from user memory. */
  readonly #scratch: number;
  /** Pages that it keeps. */
  readonly frames: readonly Pfn[];
  #buffer = 0;

  constructor(rig: Rig, task: FsTask) {
    this.#rig = rig;
    this.task = task;
    this.frames = Array.from({ length: BUFFER_SIZE / PAGE_SIZE }, () => task.mm.mem.tryAllocPage(false));
    this.#scratch = pageAddress(this.frames[0]);
  }

  /** Run one thing it does, alone, and give what it returned. */
  does<T>(body: MayFault<T>): T {
    return this.#rig.machine.call(this.task, body);
  }

  /** Let simulated time pass. */
  *sleeps(microseconds: number): MayFault<void> {
    const over = new Completion("a pause");
    this.task.world.after(microseconds, () => over.complete());
    yield* over.wait(this.task);
  }

  *open(name: string, flags: number = O_RDWR | O_CREAT): MayFault<number> {
    return yield* sysOpen(this.task, name, flags);
  }

  *write(fd: number, text: string, pos: number): MayFault<number> {
    const buffer = yield* this.#store(text);
    return yield* sysPwrite64(this.task, fd, buffer, text.length, pos);
  }

  *read(fd: number, count: number, pos: number): MayFault<string> {
    const buffer = yield* this.#map();
    const got = yield* sysPread64(this.task, fd, buffer, count, pos);
    if (got < 0) return `error ${got}`;
    return yield* this.load(buffer, got);
  }

  *fsync(fd: number): MayFault<number> {
    return yield* sysFsync(this.task, fd);
  }

  *close(fd: number): MayFault<number> {
    return yield* sysClose(this.task, fd);
  }

  *mmap(fd: number, length: number, flags: number = MAP_SHARED): MayFault<number> {
    return yield* sysMmap(this.task, { address: 0, length, prot: RW, flags, fd });
  }

  /** User space stores a text. Returns: the signal, 0 = none. */
  *store(address: number, text: string): MayFault<number> {
    const { u8 } = this.task.mm.mem;
    u8.set(new TextEncoder().encode(text), this.#scratch);
    return (yield* userStore(this.task, address, this.#scratch, text.length)).signal;
  }

  /** User space loads a text. */
  *load(address: number, length: number): MayFault<string> {
    const { signal } = yield* userLoad(this.task, this.#scratch, address, length);
    if (signal !== 0) throw new Error(`signal ${signal}`);
    return new TextDecoder("latin1").decode(this.task.mm.mem.u8.subarray(this.#scratch, this.#scratch + length));
  }

  *#store(text: string): MayFault<number> {
    const buffer = yield* this.#map();
    if ((yield* this.store(buffer, text)) !== 0) throw new Error("no buffer");
    return buffer;
  }

  *#map(): MayFault<number> {
    if (this.#buffer === 0) {
      const flags = MAP_PRIVATE | MAP_ANONYMOUS;
      this.#buffer = yield* sysMmap(this.task, { address: 0, length: BUFFER_SIZE, prot: RW, flags });
    }
    return this.#buffer;
  }
}
