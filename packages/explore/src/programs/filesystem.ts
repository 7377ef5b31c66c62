// Tasks that allocate a disk block for an inode, with a lock for each inode and each block (Flanagan and
// Godefroid, POPL 2005). Tasks i and i+13 meet at one block: 2^(n-13) traces for 14 tasks and more.

import { type MaySleep, Mutex, mutexLock, mutexUnlock, type Task } from "@faultline/kernel";
import { Cell } from "../cell.ts";
import type { Program } from "../program.ts";

const BLOCKS = 26;
const INODES = 32;

interface Disk {
  readonly inodeLocks: readonly Mutex[];
  readonly inodes: readonly Cell<number>[];
  readonly blockLocks: readonly Mutex[];
  readonly busy: readonly Cell<boolean>[];
}

/** `locked`: is a block looked at and taken under its lock? */
function withBlockLocks(name: string, n: number, locked: boolean): Program {
  function* allocate(task: Task, i: number, disk: Disk): MaySleep<void> {
    yield* mutexLock(task, disk.inodeLocks[i]);
    if ((yield* disk.inodes[i].read(task)) === 0) {
      let block = (i * 2) % BLOCKS;
      while (!(yield* take(task, i, block, disk))) block = (block + 1) % BLOCKS;
    }
    mutexUnlock(task, disk.inodeLocks[i]);
  }
  function* take(task: Task, i: number, block: number, disk: Disk): MaySleep<boolean> {
    if (locked) yield* mutexLock(task, disk.blockLocks[block]);
    const free = !(yield* disk.busy[block].read(task));
    if (free) {
      yield* disk.busy[block].write(task, true);
      yield* disk.inodes[i].write(task, block + 1);
    }
    if (locked) mutexUnlock(task, disk.blockLocks[block]);
    return free;
  }
  return {
    name,
    revision: `n=${n}`,
    start(world) {
      const disk: Disk = {
        inodeLocks: Array.from({ length: INODES }, (_, i) => new Mutex(world, "inode", `inode ${i}'s lock`)),
        inodes: Array.from({ length: INODES }, (_, i) => new Cell(world, 0, `inode ${i}`)),
        blockLocks: Array.from({ length: BLOCKS }, (_, i) => new Mutex(world, "block", `block ${i}'s lock`)),
        busy: Array.from({ length: BLOCKS }, (_, i) => new Cell(world, false, `block ${i}`)),
      };
      for (let i = 0; i < n; i++) world.spawn(`task-${i}`, (task) => allocate(task, i % INODES, disk));
      return {
        invariant() {
          const blocks = disk.inodes.map((inode) => inode.value).filter((block) => block !== 0);
          return new Set(blocks).size === blocks.length ? null : "two inodes have one block";
        },
      };
    },
  };
}

export function filesystem(n: number): Program {
  return {
    ...withBlockLocks("filesystem", n, true),
    mutants: [withBlockLocks("blocks are taken without their lock", n, false)],
  };
}
