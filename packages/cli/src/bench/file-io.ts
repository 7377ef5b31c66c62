// fs: whole system calls, from the file descriptor to the copy, with buffers and files that are in memory.

import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, statfsSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type FsTask,
  GFS2_5_10,
  GFS2_6_12,
  type Gfs2Revision,
  Machine,
  O_CREAT,
  O_RDWR,
  sysMmap,
  sysOpen,
  sysPread64,
  sysPwrite64,
} from "@faultline/fs";
import { doMunmap, faultInSafeWriteable, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "@faultline/mm";
import { Volume } from "memfs";
import { KIB, MIB, type Timed, type Workload } from "./workload.ts";

type Direction = "pwrite" | "pread";

/** Calls walk through so much of the file and of the buffer. */
const SPAN = 2 * MIB;

export function fileIoWorkloads(): Workload[] {
  const rows: Workload[] = [];
  for (const direction of ["pwrite", "pread"] as const) {
    const against = (size: number, what: string, goal: number, other: Other, kernel = GFS2_6_12): void => {
      const suffix = kernel === GFS2_6_12 ? "" : `, ${kernel.name}`;
      const amount = size < MIB ? `${size / KIB} KiB` : `${size / MIB} MiB`;
      const name = `${direction} ${amount} / ${what}${suffix}`;
      rows.push({ name, goal, prepare: () => compare(direction, size, kernel, other) });
    };
    against(4 * KIB, "memfs", 1, memfs);
    against(64 * KIB, "raw copy", 1.5, rawCopy);
    against(MIB, "raw copy", 1.2, rawCopy);
    against(4 * KIB, "memfs", 1, memfs, GFS2_5_10);
    against(64 * KIB, "raw copy", 1.5, rawCopy, GFS2_5_10);
    against(MIB, "raw copy", 1.2, rawCopy, GFS2_5_10);
    if (tmpfsFolder() !== null) against(4 * KIB, "node:fs on tmpfs", 1, nodeFs);
  }
  return [...rows, retryRound()];
}

/** Somebody else's way to move `size` bytes at `offset` between a buffer and a file, both of SPAN bytes. */
type Other = (direction: Direction, size: number) => (offset: number) => void;

function compare(direction: Direction, size: number, kernel: Gfs2Revision, other: Other): Timed {
  const { machine, task, fd, buffer } = machineWithFile(kernel);
  const call = direction === "pwrite" ? sysPwrite64 : sysPread64;
  const theirs = other(direction, size);
  const times = SPAN / size;
  return {
    times,
    run: () => {
      for (let at = 0; at < SPAN; at += size) {
        if (machine.call(task, call(task, fd, buffer + at, size, at)) !== size) throw new Error("short transfer");
      }
    },
    theirs: () => {
      for (let at = 0; at < SPAN; at += size) theirs(at);
    },
  };
}

/** A machine with one process, which has a file of SPAN bytes open and a buffer as large, both in memory. */
function machineWithFile(kernel: Gfs2Revision): { machine: Machine; task: FsTask; fd: number; buffer: number } {
  const machine = new Machine({ kernel });
  const task = machine.task("bench");
  const fd = machine.call(task, sysOpen(task, "file", O_CREAT | O_RDWR));
  const buffer = anonymous(machine, task, SPAN);
  if (machine.call(task, faultInSafeWriteable(task, buffer, SPAN)) !== 0) throw new Error("not faulted in");
  if (machine.call(task, sysPwrite64(task, fd, buffer, SPAN, 0)) !== SPAN) throw new Error("short write");
  return { machine, task, fd, buffer };
}

function anonymous(machine: Machine, task: FsTask, length: number): number {
  const map = { address: 0, length, prot: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS };
  return machine.call(task, sysMmap(task, map));
}

const memfs: Other = (direction, size) => {
  const volume = new Volume();
  const buffer = Buffer.alloc(SPAN);
  volume.writeFileSync("/file", buffer);
  const fd = volume.openSync("/file", "r+");
  if (direction === "pwrite") return (at) => void volume.writeSync(fd, buffer, at, size, at);
  return (at) => void volume.readSync(fd, buffer, at, size, at);
};

const rawCopy: Other = (direction, size) => {
  const memory = new Uint8Array(2 * SPAN).fill(1);
  if (direction === "pwrite") return (at) => void memory.copyWithin(SPAN + at, at, at + size);
  return (at) => void memory.copyWithin(at, SPAN + at, SPAN + at + size);
};

const nodeFs: Other = (direction, size) => {
  const folder = mkdtempSync(join(tmpfsFolder() as string, "faultline-"));
  const buffer = Buffer.alloc(SPAN);
  const fd = openSync(join(folder, "file"), "w+");
  // The file stays for as long as it is open.
  rmSync(folder, { recursive: true });
  process.once("exit", () => closeSync(fd));
  ftruncateSync(fd, SPAN);
  writeSync(fd, buffer, 0, SPAN, 0);
  if (direction === "pwrite") return (at) => void writeSync(fd, buffer, at, size, at);
  return (at) => void readSync(fd, buffer, at, size, at);
};

/** A folder that is kept in memory, where there is one. */
function tmpfsFolder(): string | null {
  const TMPFS_MAGIC = 0x01021994;
  const isTmpfs = (folder: string): boolean => {
    try {
      return statfsSync(folder).type === TMPFS_MAGIC;
    } catch {
      return false;
    }
  };
  return [tmpdir(), "/dev/shm"].find(isTmpfs) ?? null;
}

/**
 * A pread into memory that nobody has touched goes in rounds: a copy that falls short, unlock, fault 32 pages
 * in, lock. What one more of them costs is the price of a long read over that of a short one.
 */
function retryRound(): Workload {
  const window = 32 * 4 * KIB;
  const rounds = SPAN / window;
  return {
    name: "retry round: short copy, unlock, fault-in of 32 pages, lock / 15 us",
    goal: 1,
    prepare: () => {
      const { machine, task, fd } = machineWithFile(GFS2_6_12);
      let buffer = 0;
      return {
        times: rounds,
        reset: () => {
          if (buffer !== 0 && machine.call(task, doMunmap(task, buffer, SPAN)) !== 0) throw new Error("munmap failed");
          buffer = anonymous(machine, task, SPAN);
          // A window is what the task may dirty before it has to look at the limits.
          task.nrDirtied = 0;
          task.nrDirtiedPause = window / (4 * KIB);
        },
        run: () => {
          if (machine.call(task, sysPread64(task, fd, buffer, SPAN, 0)) !== SPAN) throw new Error("short read");
        },
        theirs: 15_000,
      };
    },
  };
}
