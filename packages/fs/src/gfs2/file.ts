// gfs2's file operations (fs/gfs2/file.c): what every revision has in common around its four ways to move
// bytes, and faults on mappings.
//
// Lock order:
//   i_rwsem                      writers only; held across the fault-in
//     inode glock                SH to read, EX to write, DF for direct I/O
//   mmap_lock
//     inode glock                SH in ->fault, EX in ->page_mkwrite

import {
  downWrite,
  downWriteNow,
  ENOMEM,
  ENOTBLK,
  err,
  type Faulting,
  type HeldLock,
  type MayFault,
  type MaySleep,
  PAGE_SIZE,
  pageIndex,
  type Sleep,
  type Ssize,
  type Status,
  upWrite,
} from "@faultline/kernel";
import {
  lockPage,
  PG_UPTODATE,
  pageMapping,
  type UserTask,
  unlockPage,
  VM_FAULT_LOCKED,
  VM_FAULT_NOPAGE,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
  type Vma,
  type VmaBacking,
  type VmFault,
  type VmOperations,
} from "@faultline/mm";
import type { IovIter } from "@faultline/uio";
import { filemapFault, filemapMapPages } from "../cache/filemap-fault.ts";
import { invalidateMappingPages } from "../cache/page-cache.ts";
import { folioMarkDirty } from "../cache/page-writeback.ts";
import { forcePageCacheReadahead } from "../cache/readahead.ts";
import { File, type FileOperations } from "../vfs/file.ts";
import { IOCB_APPEND, IOCB_DIRECT, IOCB_DSYNC, type Kiocb } from "../vfs/kiocb.ts";
import { genericWriteChecks, genericWriteSync } from "../vfs/write-checks.ts";
import { gfs2AllocatePageBacking, gfs2UnstuffDinode, gfs2WriteAllocRequired } from "./bmap.ts";
import { gfs2Fsync } from "./fsync.ts";
import { Gfs2Holder, GLF_DIRTY, Glock } from "./glock.ts";
import { gfs2GlockDq, gfs2GlockNq } from "./glock-queue.ts";
import type { Gfs2Inode } from "./inode.ts";
import { GLR_TRYFAILED, LM_FLAG_TRY, LM_ST_EXCLUSIVE, LM_ST_SHARED } from "./lm.ts";
import { gfs2Llseek } from "./seek.ts";

const gfs2VmOps: VmOperations = {
  fault: gfs2Fault,
  mapPages: filemapMapPages,
  pageMkwrite: gfs2PageMkwrite,
  close(vma: Vma): void {
    const inode = inodeOf(vma);
    if (inode.disk.links > 0 || inode.mapping.iMmap.size > 0) return;
    // As any last user of a file it leaves the rest to a worker: fput() has one, too.
    inode.sb.lockSpace.startWorker("delayed_fput", function* (task): MaySleep<void> {
      inode.sb.evictUnused(task, inode);
    });
  },

  *willneed(task: UserTask, vma: Vma, index: number, count: number): MaySleep<void> {
    const { mapping } = inodeOf(vma);
    yield* forcePageCacheReadahead(task, mapping, (vma.file as File).ra, index, count);
  },
};

/** Linux: gfs2_fault() */
function* gfs2Fault(task: UserTask, vmf: VmFault): MaySleep<number> {
  const inode = inodeOf(vmf.vma);
  task.world.trace?.emit(task, "gfs2_fault", inode.ino, vmf.pgoff);
  const holder = new Gfs2Holder(inode.glock, LM_ST_SHARED, faultLockFlags(task, inode), "gfs2_fault");
  const status = meetsItself(task, holder) ? GLR_TRYFAILED : yield* gfs2GlockNq(task, holder);
  const result = status === 0 ? yield* filemapFault(task, vmf) : lockErrorToFault(status);
  if (status === 0) gfs2GlockDq(task, holder);
  task.world.trace?.emit(task, "gfs2_fault_ret", result);
  return result;
}

/** Linux: gfs2_page_mkwrite() */
function* gfs2PageMkwrite(task: UserTask, vmf: VmFault): MaySleep<number> {
  const inode = inodeOf(vmf.vma);
  task.world.trace?.emit(task, "gfs2_page_mkwrite", inode.ino, vmf.pgoff);
  const holder = new Gfs2Holder(inode.glock, LM_ST_EXCLUSIVE, faultLockFlags(task, inode), "gfs2_page_mkwrite");
  const status = meetsItself(task, holder) ? GLR_TRYFAILED : yield* gfs2GlockNq(task, holder);
  const result = status === 0 ? yield* mkwriteLocked(task, inode, vmf) : lockErrorToFault(status);
  if (status === 0) gfs2GlockDq(task, holder);
  if (result === VM_FAULT_LOCKED) folioMarkDirty(task, inode.mapping, vmf.page);
  task.world.trace?.emit(task, "gfs2_page_mkwrite_ret", result);
  return result;
}

/** How a fault takes its glock: by waiting for it; one revision only tries, when its task holds a glock already. */
function faultLockFlags(task: UserTask, inode: Gfs2Inode): number {
  return inode.sb.revision.faultTriesUnderGlock && task.held.some(isGlock) ? LM_FLAG_TRY : 0;
}

/** Would a fault that only tries for its glock try for one that its task holds? */
function meetsItself(task: UserTask, { flags, glock }: Gfs2Holder): boolean {
  return (flags & LM_FLAG_TRY) !== 0 && task.held.some(({ lock }) => lock === glock);
}

function isGlock({ lock }: HeldLock): boolean {
  return lock instanceof Glock;
}

/** Linux: vmf_fs_error(), block_page_mkwrite_return() */
function lockErrorToFault(status: number): number {
  return status === err(ENOMEM) ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
}

function inodeOf(vma: Vma): Gfs2Inode {
  return (vma.file as File).inode as Gfs2Inode;
}

/** Make sure that the page is still the file's, and has blocks. Returns: LOCKED with the page locked, NOPAGE, an error. */
function* mkwriteLocked(task: UserTask, inode: Gfs2Inode, vmf: VmFault): MaySleep<number> {
  const { mapping, sb } = inode;
  const { mem } = sb;
  const offset = vmf.pgoff * PAGE_SIZE;
  if (offset >= inode.size) return VM_FAULT_SIGBUS;
  yield* fileUpdateTime(task, inode, true);
  const length = Math.min(PAGE_SIZE, inode.size - offset);
  inode.glock.flags |= GLF_DIRTY;
  inode.swPaged = true;
  if (inode.isInline) {
    const status = yield* gfs2UnstuffDinode(task, inode);
    if (status !== 0) return VM_FAULT_SIGBUS;
  }
  const allocates = gfs2WriteAllocRequired(inode, offset, length);
  yield* lockPage(task, mem, vmf.page);
  if ((mem.flags[vmf.page] & PG_UPTODATE) === 0 || pageMapping(mem, vmf.page) !== mapping) {
    unlockPage(mem, vmf.page);
    return VM_FAULT_NOPAGE;
  }
  if (allocates && gfs2AllocatePageBacking(task, inode, vmf.pgoff) !== 0) {
    unlockPage(mem, vmf.page);
    return VM_FAULT_SIGBUS;
  }
  return VM_FAULT_LOCKED;
}

/**
 * Note the time of a change, at most once a clock tick; takes the glock unless the caller has it.
 *
 * Linux: file_update_time(), gfs2_update_time()
 */
export function* fileUpdateTime(task: UserTask, inode: Gfs2Inode, locked: boolean): MaySleep<void> {
  if (isTimeCurrent(task, inode) && !task.world.ticked()) return;
  task.world.trace?.emit(task, "gfs2_update_time", inode.ino);
  if (!locked) {
    const holder = new Gfs2Holder(inode.glock, LM_ST_EXCLUSIVE, 0, "gfs2_update_time");
    const status = yield* gfs2GlockNq(task, holder);
    if (status === 0) gfs2GlockDq(task, holder);
  }
  setTimes(task, inode);
  inode.markTimesDirty();
  task.world.trace?.emit(task, "gfs2_update_time_ret", 0);
}

/** The file changes now: until the clock ticks, a write has no time to note. Context: atomic; the inode glock is held. */
export function setTimes(task: UserTask, inode: Gfs2Inode): void {
  inode.mtime = Math.floor(task.world.now / JIFFY);
}

/** Microseconds of one clock tick (HZ = 250). */
const JIFFY = 4000;

/** Would fileUpdateTime have nothing to do? */
export function isTimeCurrent(task: UserTask, inode: Gfs2Inode): boolean {
  return inode.mtime === Math.floor(task.world.now / JIFFY);
}

const gfs2FileOps: FileOperations<Faulting> = {
  readIter: gfs2FileReadIter,
  writeIter: gfs2FileWriteIter,
  readNow: (task, iocb, buf, count) =>
    (iocb.file.inode as Gfs2Inode).sb.revision.bufferedRead.whenResident?.(task, iocb, buf, count) ?? null,
  writeNow: (task, iocb, buf, count) =>
    (iocb.file.inode as Gfs2Inode).sb.revision.bufferedWrite.whenResident?.(task, iocb, buf, count) ?? null,
  llseek: gfs2Llseek,
  fsync: gfs2Fsync,
  mmap: gfs2Mmap,

  release(task: UserTask, file: File): void {
    const inode = file.inode as Gfs2Inode;
    inode.openCount--;
    inode.disk.openCount--;
    inode.sb.evictUnused(task, inode);
  },
};

/** Linux: gfs2_file_read_iter() */
function* gfs2FileReadIter(task: UserTask, iocb: Kiocb, to: IovIter): Generator<Sleep | Faulting, Ssize, void> {
  const inode = iocb.file.inode as Gfs2Inode;
  const { revision } = inode.sb;
  task.world.trace?.emit(task, "gfs2_file_read_iter", inode.ino);
  let ret: Ssize = err(ENOTBLK);
  if ((iocb.flags & IOCB_DIRECT) !== 0) {
    ret = yield* revision.directRead(task, iocb, to);
    if (ret === err(ENOTBLK)) iocb.flags &= ~IOCB_DIRECT;
  }
  if (ret === err(ENOTBLK)) ret = yield* revision.bufferedRead(task, iocb, to);
  task.world.trace?.emit(task, "gfs2_file_read_iter_ret", ret);
  return ret;
}

/** Linux: gfs2_file_write_iter() */
function* gfs2FileWriteIter(task: UserTask, iocb: Kiocb, from: IovIter): Generator<Sleep | Faulting, Ssize, void> {
  const inode = iocb.file.inode as Gfs2Inode;
  task.world.trace?.emit(task, "gfs2_file_write_iter", inode.ino);
  if ((iocb.flags & IOCB_APPEND) !== 0) {
    // Only to learn the size; another node may change it again before the write.
    const holder = new Gfs2Holder(inode.glock, LM_ST_SHARED, 0, "gfs2_file_write_iter");
    const status = yield* gfs2GlockNq(task, holder);
    if (status === 0) gfs2GlockDq(task, holder);
  }
  if (task.world.preemptible || !downWriteNow(task, inode.rwsem)) yield* downWrite(task, inode.rwsem);
  const checked = genericWriteChecks(task, iocb, from);
  const ret = checked > 0 ? yield* writeUnderRwsem(task, iocb, from, inode) : checked;
  upWrite(task, inode.rwsem);
  task.world.trace?.emit(task, "gfs2_file_write_iter_ret", ret);
  return ret;
}

/** Linux: gfs2_mmap() */
function* gfs2Mmap(task: UserTask, file: File): MaySleep<VmaBacking | Status> {
  const inode = file.inode as Gfs2Inode;
  // For the time of the last access, which is not kept here.
  const holder = new Gfs2Holder(inode.glock, LM_ST_SHARED, 0, "gfs2_mmap");
  const status = yield* gfs2GlockNq(task, holder);
  if (status !== 0) return status as Status;
  gfs2GlockDq(task, holder);
  return { mapping: inode.mapping, ops: gfs2VmOps, file };
}

function* writeUnderRwsem(task: UserTask, iocb: Kiocb, from: IovIter, inode: Gfs2Inode): MayFault<Ssize> {
  const { revision } = inode.sb;
  const direct = (iocb.flags & IOCB_DIRECT) !== 0;
  if (!direct || !revision.directKeepsTimes) yield* fileUpdateTime(task, inode, false);
  if (direct) return yield* directThenBuffered(task, iocb, from, inode);
  const ret = yield* revision.bufferedWrite(task, iocb, from);
  return ret > 0 ? yield* genericWriteSync(task, iocb, ret) : ret;
}

/** What cannot be written directly goes through the page cache, to disk, and out of the cache again. */
function* directThenBuffered(task: UserTask, iocb: Kiocb, from: IovIter, inode: Gfs2Inode): MayFault<Ssize> {
  const { revision } = inode.sb;
  const direct = yield* revision.directWrite(task, iocb, from);
  if (direct < 0 || from.count === 0) return direct;
  iocb.flags |= IOCB_DSYNC;
  const buffered = yield* revision.bufferedWrite(task, iocb, from);
  if (buffered <= 0) return direct === 0 ? buffered : direct;
  const synced = yield* genericWriteSync(task, iocb, buffered);
  invalidateMappingPages(task, inode.mapping, pageIndex(iocb.pos - buffered), pageIndex(iocb.pos - 1));
  return direct === 0 || synced > 0 ? ((direct + synced) as Ssize) : direct;
}

/** Open an inode. Context: atomic. Linux: gfs2_open() */
export function gfs2Open(inode: Gfs2Inode, flags: number): File {
  inode.openCount++;
  inode.disk.openCount++;
  return new File(inode.sb.world, gfs2FileOps, flags, inode);
}
