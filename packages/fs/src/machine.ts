// A machine: one world with a disk and one node, or several that share the disk.
//
//   const machine = new Machine({ kernel: "5.10" });
//   const file = machine.file("a", 8192);
//   const task = machine.task("reader");
//   const sys = machine.syscalls(task);           one task at a time: system calls are functions
//   const fd = sys.open(file, O_RDWR);
//   machine.start(task, sysPread64(task, ...));   several: each is given something to do,
//   machine.run();                                and then they run until all are done or stuck

import {
  checkInstance,
  checkInteger,
  errnoName,
  type RunResult,
  type TaskBody,
  World,
  type WorldOptions,
} from "@faultline/kernel";
import { type HostMemory, MmStruct, PhysMem, UserTask } from "@faultline/mm";
import { Volume } from "memfs";
import { Disk, type DiskOptions } from "./disk/disk.ts";
import { resolveInside, type VolumeFs, volumeErrno } from "./disk/volume.ts";
import { Dlm, type DlmOptions } from "./dlm/dlm.ts";
import { LockDlm } from "./gfs2/lock-dlm.ts";
import { LOCK_NOLOCK } from "./gfs2/lock-space.ts";
import type { Gfs2Revision } from "./gfs2/revision.ts";
import { REVISIONS } from "./gfs2/revisions/catalogue.ts";
import { Gfs2Sbd } from "./gfs2/sbd.ts";
import { FilesStruct, FsTask } from "./sys/fs-task.ts";
import { plainSyscalls, type Syscalls } from "./sys/syscalls.ts";

export interface MachineOptions extends WorldOptions {
  /** The world to live in, made by whoever explores it; the options of a world are of no use then. */
  readonly world?: World;
  /** A revision, or the name of one; 6.12 by default. */
  readonly kernel?: Gfs2Revision | string;
  /** Bytes of memory of each node; 64 MiB by default. */
  readonly memory?: number;
  /** Memory of the host for the first node's, of just that size; the machine that had it before is over. */
  readonly hostMemory?: HostMemory;
  /** Dirty pages at which writers have to wait; 20 % of memory by default. */
  readonly dirtyLimit?: number;
  /** What is on disk: anything with node:fs's synchronous calls. An empty memfs volume by default. */
  readonly volume?: VolumeFs;
  readonly disk?: DiskOptions;
  /** How many nodes share the disk, or their names; one by default, which then needs no lock manager. */
  readonly nodes?: number | readonly string[];
  readonly dlm?: DlmOptions;
}

/** One computer: its memory, and its mount of the shared disk. */
export interface Node {
  readonly name: string;
  readonly mem: PhysMem;
  readonly sbd: Gfs2Sbd;
}

export class Machine {
  readonly world: World;
  readonly kernel: Gfs2Revision;
  readonly volume: VolumeFs;
  readonly disk: Disk;
  readonly nodes: readonly Node[];
  /** Where the nodes get their locks from; null if there is only one. */
  readonly dlm: Dlm | null;

  constructor(options: MachineOptions = {}) {
    this.world = options.world ?? new World(options);
    this.kernel = revisionOf(options.kernel ?? "6.12");
    this.volume = options.volume ?? (new Volume() as unknown as VolumeFs);
    this.disk = new Disk(this.world, this.volume, options.disk);
    const names = nodeNames(options.nodes ?? 1);
    this.dlm = names.length > 1 ? new Dlm(this.world, options.dlm) : null;
    this.nodes = names.map((name) => this.#boot(name, options));
  }

  #boot(name: string, options: MachineOptions): Node {
    const mem = new PhysMem(this.world, options.memory ?? 64 * 1024 * 1024, options.hostMemory);
    const kernelMm = new MmStruct(mem, this.kernel.mm);
    const { dlm } = this;
    const sbd = new Gfs2Sbd({
      node: name,
      mem,
      dirtyLimit: options.dirtyLimit,
      disk: this.disk,
      revision: this.kernel,
      lm: dlm === null ? LOCK_NOLOCK : new LockDlm(dlm),
      startWorker: (comm, body) => {
        const where = dlm === null ? comm : `${comm} on ${name}`;
        const worker = new UserTask(this.world, where, kernelMm, { daemon: true });
        this.world.start(worker, body(worker));
        return worker;
      },
    });
    return { name, mem, sbd };
  }

  /** A process of its own: new memory, no open files. Threads of it are made with `thread`. */
  task(comm: string, node: Node = this.nodes[0]): FsTask {
    if (typeof comm !== "string") throw new TypeError(`comm must be a string, not ${typeof comm}`);
    return new FsTask(this.world, comm, new MmStruct(node.mem, this.kernel.mm), new FilesStruct(), node.sbd);
  }

  /** Another thread of a process: the same memory and the same open files. */
  thread(of: FsTask, comm: string): FsTask {
    return new FsTask(this.world, comm, of.mm, of.files, of.root);
  }

  /**
   * Put a new file on the disk: these bytes, or so many zeros. Nobody has it in memory.
   *
   * Returns: its name. Throws: RangeError when there is one of that name, or there cannot be.
   */
  file(name: string, content: Uint8Array | number): string {
    const bytes = typeof content === "number" ? new Uint8Array(checkInteger(content, "content", 0)) : content;
    checkInstance(bytes, Uint8Array, "content");
    if (typeof name !== "string") throw new TypeError(`name must be a string, not ${typeof name}`);
    const path = resolveInside(this.volume, this.disk.root, name);
    if (typeof path !== "string") throw new RangeError(`name: "${name}" is no path on the disk: ${errnoName(path)}`);
    let fd: number;
    try {
      fd = this.volume.openSync(path, "wx");
    } catch (error) {
      throw new RangeError(`name: "${name}" cannot be made: ${errnoName(volumeErrno(error))}`);
    }
    for (let at = 0; at < bytes.length; ) at += this.volume.writeSync(fd, bytes, at, bytes.length - at, at);
    this.volume.closeSync(fd);
    return name;
  }

  /** The system calls of a task as plain functions, and its loads and stores. */
  syscalls(task: FsTask): Syscalls {
    return plainSyscalls(this.world, checkInstance(task, FsTask, "task"));
  }

  /** Let a task run `body` when the machine runs. */
  start(task: FsTask, body: TaskBody): void {
    this.world.start(task, body);
  }

  /**
   * A node stops where it is: its tasks never go on, what it had not written is lost, its requests to the disk
   * fail. The others get its locks when its journal is recovered. Also between runs.
   */
  crash(node: Node): void {
    if (!this.nodes.includes(node)) throw new TypeError("node must be one of this machine's nodes");
    for (const task of [...this.world.live]) {
      if (task instanceof UserTask && task.mm.mem === node.mem) this.world.abandon(task);
    }
    node.sbd.crash();
  }

  /** Run until every task has ended, or cannot go on. */
  run(): RunResult {
    return this.world.run();
  }

  /** Make a system call like a function: `machine.call(task, sysPread64(task, fd, buf, count, pos))`. */
  call<T>(task: FsTask, body: Generator<TaskBody extends Generator<infer Y> ? Y : never, T, void>): T {
    return this.world.runSync(task, body);
  }
}

function revisionOf(kernel: Gfs2Revision | string): Gfs2Revision {
  if (typeof kernel !== "string") {
    if (typeof kernel?.bufferedRead !== "function") throw new TypeError("kernel must be a revision or the name of one");
    return kernel;
  }
  if (Object.hasOwn(REVISIONS, kernel)) return REVISIONS[kernel];
  throw new RangeError(`kernel: there is no "${kernel}"; there are ${Object.keys(REVISIONS).join(", ")}`);
}

/** The most nodes that a machine may have. */
const MAX_NODES = 256;

function nodeNames(nodes: number | readonly string[]): readonly string[] {
  if (typeof nodes !== "number") {
    if (!Array.isArray(nodes) || nodes.length === 0 || new Set(nodes).size !== nodes.length) {
      throw new TypeError("nodes must be a number or a list of different names");
    }
    return nodes;
  }
  checkInteger(nodes, "nodes", 1, MAX_NODES);
  return Array.from({ length: nodes }, (_, index) => `node ${index + 1}`);
}
