// The system calls of one task as plain functions, for whoever runs one task at a time: each call runs until it
// returns, and daemons and timers while it sleeps. A call that never returns throws a RunError with the verdict.

import { checkInstance, checkInteger, ENOMEM, err, PAGE_SIZE, type TaskBody, type World } from "@faultline/kernel";
import {
  doMadvise,
  doMincore,
  doMprotect,
  doMremap,
  doMunmap,
  pageAddress,
  putPage,
  userLoad,
  userStore,
} from "@faultline/mm";
import * as calls from "./calls.ts";
import { sysCopyFileRange } from "./copy-file-range.ts";
import { sysFiemap } from "./fiemap.ts";
import type { FsTask } from "./fs-task.ts";
import * as rw from "./read-write.ts";

/** Who makes which call. */
interface CallTable {
  open: typeof calls.sysOpen;
  close: typeof calls.sysClose;
  dup: typeof calls.sysDup;
  unlink: typeof calls.sysUnlink;
  lseek: typeof calls.sysLseek;
  fstat: typeof calls.sysFstat;
  fsync: typeof calls.sysFsync;
  ftruncate: typeof calls.sysFtruncate;
  fallocate: typeof calls.sysFallocate;
  fadvise: typeof calls.sysFadvise;
  copyFileRange: typeof sysCopyFileRange;
  pipe2: typeof calls.sysPipe2;
  setPipeSize: typeof calls.sysSetPipeSize;
  fionread: typeof calls.sysFionread;
  fiemap: typeof sysFiemap;
  read: typeof rw.sysRead;
  write: typeof rw.sysWrite;
  pread: typeof rw.sysPread64;
  pwrite: typeof rw.sysPwrite64;
  readv: typeof rw.sysReadv;
  writev: typeof rw.sysWritev;
  preadv: typeof rw.sysPreadv;
  pwritev: typeof rw.sysPwritev;
  preadv2: typeof rw.sysPreadv2;
  pwritev2: typeof rw.sysPwritev2;
  mmap: typeof calls.sysMmap;
  munmap: typeof doMunmap;
  mprotect: typeof doMprotect;
  mremap: typeof doMremap;
  madvise: typeof doMadvise;
  mincore: typeof doMincore;
}

const CALLS: CallTable = {
  open: calls.sysOpen,
  close: calls.sysClose,
  dup: calls.sysDup,
  unlink: calls.sysUnlink,
  lseek: calls.sysLseek,
  fstat: calls.sysFstat,
  fsync: calls.sysFsync,
  ftruncate: calls.sysFtruncate,
  fallocate: calls.sysFallocate,
  fadvise: calls.sysFadvise,
  copyFileRange: sysCopyFileRange,
  pipe2: calls.sysPipe2,
  setPipeSize: calls.sysSetPipeSize,
  fionread: calls.sysFionread,
  fiemap: sysFiemap,
  read: rw.sysRead,
  write: rw.sysWrite,
  pread: rw.sysPread64,
  pwrite: rw.sysPwrite64,
  readv: rw.sysReadv,
  writev: rw.sysWritev,
  preadv: rw.sysPreadv,
  pwritev: rw.sysPwritev,
  preadv2: rw.sysPreadv2,
  pwritev2: rw.sysPwritev2,
  mmap: calls.sysMmap,
  munmap: doMunmap,
  mprotect: doMprotect,
  mremap: doMremap,
  madvise: doMadvise,
  mincore: doMincore,
};

/** The task's own accesses to its memory, in user mode. */
interface UserMemory {
  /** Load bytes; fewer when a signal ended it. */
  load(address: number, size: number): Uint8Array;
  /** Store bytes. Returns: how many; fewer when a signal ended it. */
  store(address: number, bytes: Uint8Array): number;
}

type Plain<Call> = Call extends (task: never, ...args: infer Args) => Generator<infer _, infer Result, void>
  ? (...args: Args) => Result
  : never;

export type Syscalls = { readonly [Name in keyof CallTable]: Plain<CallTable[Name]> } & UserMemory;

type AnyCall = (task: FsTask, ...args: unknown[]) => TaskBody;

export function plainSyscalls(world: World, task: FsTask): Syscalls {
  const plain = Object.entries(CALLS).map(([name, call]) => [
    name,
    (...args: unknown[]) => world.runSync(task, (call as AnyCall)(task, ...args)),
  ]);
  return { ...Object.fromEntries(plain), ...userMemory(world, task) } as Syscalls;
}

/** Bytes go through a page of the kernel. */
function userMemory(world: World, task: FsTask): UserMemory {
  const { mem } = task.mm;
  const byPage = (
    address: number,
    size: number,
    move: (physical: number, at: number, chunk: number) => number,
  ): number => {
    checkInteger(address, "address", 0);
    const page = mem.tryAllocPage(false);
    if (page === 0) return err(ENOMEM);
    let done = 0;
    for (let left = 0; done < size && left === 0; ) {
      const chunk = Math.min(size - done, PAGE_SIZE - ((address + done) % PAGE_SIZE));
      left = move(pageAddress(page), done, chunk);
      done += chunk - left;
    }
    putPage(mem, page);
    return done;
  };
  return {
    load(address, size) {
      const bytes = new Uint8Array(checkInteger(size, "size", 0, 2 ** 31));
      const done = byPage(address, size, (physical, at, chunk) => {
        const { left } = world.runSync(task, userLoad(task, physical, address + at, chunk));
        bytes.set(mem.u8.subarray(physical, physical + chunk - left), at);
        return left;
      });
      return bytes.subarray(0, Math.max(done, 0));
    },
    store(address, bytes) {
      checkInstance(bytes, Uint8Array, "bytes");
      return byPage(address, bytes.length, (physical, at, chunk) => {
        mem.u8.set(bytes.subarray(at, at + chunk), physical);
        return world.runSync(task, userStore(task, address + at, physical, chunk)).left;
      });
    },
  };
}
