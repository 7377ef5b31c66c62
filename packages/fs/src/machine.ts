// A machine: one world with a disk and one node, or several that share the disk.
//
//   const machine = new Machine({ kernel: GFS2_5_10 });
//   const task = machine.task("writer");
//   machine.start(task, ...); machine.run();

import { type RunResult, type TaskBody, World, type WorldOptions } from "@faultline/kernel";
import { MmStruct, PhysMem, UserTask } from "@faultline/mm";
import { Volume } from "memfs";
import { Disk, type DiskOptions } from "./disk/disk.ts";
import type { VolumeFs } from "./disk/volume.ts";
import { LOCK_NOLOCK } from "./gfs2/lock-space.ts";
import type { Gfs2Revision } from "./gfs2/revision.ts";
import { Gfs2Sbd } from "./gfs2/sbd.ts";
import { FilesStruct, FsTask } from "./sys/fs-task.ts";

export interface MachineOptions extends WorldOptions {
  /** The world to live in, made by whoever explores it; the options of a world are of no use then. */
  readonly world?: World;
  readonly kernel: Gfs2Revision;
  /** Bytes of memory of each node; 64 MiB by default. */
  readonly memory?: number;
  /** Memory of the host for the first node's, of just that size; the machine that had it before is over. */
  readonly hostMemory?: Uint8Array;
  /** Dirty pages at which writers have to wait; 20 % of memory by default. */
  readonly dirtyLimit?: number;
  /** What is on disk: anything with node:fs's synchronous calls. An empty memfs volume by default. */
  readonly volume?: VolumeFs;
  readonly disk?: DiskOptions;
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

  constructor(options: MachineOptions) {
    this.world = options.world ?? new World(options);
    this.kernel = options.kernel;
    this.volume = options.volume ?? (new Volume() as unknown as VolumeFs);
    this.disk = new Disk(this.world, this.volume, options.disk);
    this.nodes = [this.#boot("node 1", options)];
  }

  #boot(name: string, options: MachineOptions): Node {
    const mem = new PhysMem(this.world, options.memory ?? 64 * 1024 * 1024, options.hostMemory ?? null);
    const kernelMm = new MmStruct(mem, this.kernel.mm);
    const sbd = new Gfs2Sbd({
      mem,
      dirtyLimit: options.dirtyLimit,
      disk: this.disk,
      revision: this.kernel,
      lm: LOCK_NOLOCK,
      startWorker: (comm, body) => {
        const worker = new UserTask(this.world, comm, kernelMm, { daemon: true });
        this.world.start(worker, body(worker));
      },
    });
    return { name, mem, sbd };
  }

  /** A process of its own: new memory, no open files. Threads of it are made with `thread`. */
  task(comm: string, node: Node = this.nodes[0]): FsTask {
    return new FsTask(this.world, comm, new MmStruct(node.mem, this.kernel.mm), new FilesStruct(), node.sbd);
  }

  /** Another thread of a process: the same memory and the same open files. */
  thread(of: FsTask, comm: string): FsTask {
    return new FsTask(this.world, comm, of.mm, of.files, of.root);
  }

  /** Let a task run `body` when the machine runs. */
  start(task: FsTask, body: TaskBody): void {
    this.world.start(task, body);
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
