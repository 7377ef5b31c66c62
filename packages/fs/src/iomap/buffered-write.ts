// Buffered writes (fs/iomap/buffered-io.c): page by page, touch the source, get the page, copy with page
// faults disabled, and see how much of it counts.
//
// A short copy into a page that is not uptodate is thrown away: a later read would overwrite it, or show
// what it did not cover. Into an uptodate page it counts.

import {
  EFAULT,
  EIO,
  ENOMEM,
  err,
  type MaySleep,
  offsetInPage,
  PAGE_SIZE,
  type Pfn,
  PREEMPT,
  pageIndex,
  type Sleep,
  type Ssize,
  type Status,
} from "@faultline/kernel";
import {
  markPageAccessed,
  PG_LOCKED,
  PG_UPTODATE,
  pageAddress,
  putPage,
  trylockPage,
  type UserAccess,
  type UserTask,
  unlockPage,
} from "@faultline/mm";
import {
  copyIsInterrupted,
  copyPageFromIterAtomic,
  copyPageInTwo,
  faultInIovIterReadable,
  type IovIter,
  iovIterFaultInReadable,
  iovIterSingleSegCount,
  isIterFaultedIn,
} from "@faultline/uio";
import { grabPage, truncatePagecache } from "../cache/page-cache.ts";
import { balanceDirtyPages, markPageDirty, mustBalanceDirty } from "../cache/page-writeback.ts";
import type { FileMapping } from "../vfs/inode.ts";
import type { Kiocb } from "../vfs/kiocb.ts";
import { blockNeedsZeroing, readPageSync } from "./buffered-read.ts";
import { IOMAP_F_SIZE_CHANGED, IOMAP_INLINE, IOMAP_WRITE, IomapIter, type IomapOps, iomapIter } from "./iomap.ts";
import type { IomapRevision } from "./revision.ts";

/**
 * Write from an iterator into the page cache; moves iocb.pos.
 *
 * Context: sleeps; what else depends on `user`: with faults disabled a missing source ends the write early.
 * Returns: bytes written; an error only if nothing was written (-EFAULT, -ENOSPC, -EIO, -ENOMEM).
 * Linux:   iomap_file_buffered_write()
 */
export function* iomapFileBufferedWrite<Y>(
  task: UserTask,
  iocb: Kiocb,
  from: IovIter,
  ops: IomapOps,
  user: UserAccess<Y>,
): Generator<Sleep | Y, Ssize, void> {
  const { inode } = iocb.file;
  const iter = new IomapIter(inode, iocb.pos, from.count, IOMAP_WRITE);
  task.world.trace?.emit(task, "iomap_file_buffered_write", inode.ino);
  let status: number;
  while ((status = yield* iomapIter(task, iter, ops)) > 0) {
    iter.processed = yield* iomapWriteIter(task, iter, from, user);
  }
  const written = iter.pos - iocb.pos;
  iocb.pos = iter.pos;
  const ret = (written > 0 ? written : status) as Ssize;
  task.world.trace?.emit(task, "iomap_file_buffered_write_ret", ret);
  return ret;
}

/** Write the part of the iterator that the current extent takes. Returns: bytes, or an error if none. Linux: iomap_write_iter() */
function* iomapWriteIter<Y>(
  task: UserTask,
  iter: IomapIter,
  from: IovIter,
  user: UserAccess<Y>,
): Generator<Sleep | Y, number, void> {
  const { inode, iomap } = iter;
  const mapping = inode.mapping as FileMapping;
  const { mem } = mapping;
  const { dirty, iomap: rules } = inode.sb;
  const { trace, preemptible, interrupts } = task.world;
  let { pos, length } = iter;
  let written = 0;
  /** What the next try is limited to, after one that was thrown away. */
  let limit = PAGE_SIZE;
  while (from.count > 0 && length > 0) {
    if (preemptible) yield PREEMPT;
    const offset = offsetInPage(pos);
    const bytes = Math.min(PAGE_SIZE - offset, from.count, length, limit);
    limit = PAGE_SIZE;
    if (rules.throttlesFirst && mustBalanceDirty(task, dirty)) yield* balanceDirtyPages(task, mapping);
    if (!isIterFaultedIn(task, from, bytes) && !(yield* prefault(task, from, bytes, rules, user))) {
      return written > 0 ? written : err(EFAULT);
    }
    const frame = readyPage(task, mapping, pos, bytes) || (yield* iomapWriteBegin(task, iter, pos, bytes));
    if (frame < 0) {
      if (pos + bytes > inode.size) yield* truncatePagecache(task, mapping, Math.max(pos, inode.size));
      return written > 0 ? written : frame;
    }
    trace?.emit(task, "iomap_write_begin_ret", 0);
    // Others may take the source away still.
    if (interrupts) yield PREEMPT;
    const first = copyIsInterrupted(task, from, bytes);
    const copied =
      first > 0
        ? yield* copyPageInTwo(task, frame as Pfn, offset, bytes, from, first)
        : copyPageFromIterAtomic(task, frame as Pfn, offset, bytes, from);
    const taken = iomapWriteEnd(task, iter, mapping, frame as Pfn, pos, bytes, copied);
    trace?.emit(task, "iomap_write_end_ret", rules.writeEndIsBoolean ? (taken > 0 ? 1 : 0) : taken);
    if (pos + taken > inode.size) {
      inode.size = pos + taken;
      iomap.flags |= IOMAP_F_SIZE_CHANGED;
    }
    unlockPage(mem, frame as Pfn);
    putPage(mem, frame as Pfn);
    if (taken === 0) {
      rules.shortCopies.revert(from, copied);
      if (pos + bytes > inode.size) yield* truncatePagecache(task, mapping, Math.max(pos, inode.size));
      if (rules.retriesSegment) limit = Math.min(PAGE_SIZE - offset, iovIterSingleSegCount(from));
      else if (copied > 0) limit = copied;
      continue;
    }
    if (taken < copied) rules.shortCopies.revert(from, copied - taken);
    pos += taken;
    written += taken;
    length -= taken;
    if (!rules.throttlesFirst && mustBalanceDirty(task, dirty)) yield* balanceDirtyPages(task, mapping);
  }
  return written;
}

/** Touch the source. Returns: true to go on. */
function* prefault<Y>(
  task: UserTask,
  from: IovIter,
  bytes: number,
  rules: IomapRevision,
  user: UserAccess<Y>,
): Generator<Sleep | Y, boolean, void> {
  if (rules.prefault === "pages") return (yield* iovIterFaultInReadable(task, from, bytes, user)) === 0;
  const left = yield* faultInIovIterReadable(task, from, bytes, user);
  return rules.prefault === "whole" ? left === 0 : left < bytes;
}

/**
 * The page, locked and with a reference, if it needs no preparation: it is uptodate, or all of it is written.
 *
 * Context: atomic. Returns: 0 when iomapWriteBegin has to be called; nothing has happened then.
 */
function readyPage(task: UserTask, mapping: FileMapping, pos: number, bytes: number): number {
  const { mem, host } = mapping;
  if (mem.world.preemptible || host.isInline) return 0;
  const frame = mapping.find(pageIndex(pos));
  if (frame === 0) return 0;
  const flags = mem.flags[frame];
  if ((flags & PG_LOCKED) !== 0 || ((flags & PG_UPTODATE) === 0 && bytes < PAGE_SIZE)) return 0;
  trylockPage(task, mem, frame);
  mem.refcount[frame]++;
  markPageAccessed(mem, frame);
  return frame;
}

/**
 * Get the page of `pos`, locked, with everything in it that the write does not cover.
 *
 * Context: sleeps. Returns: the page with a reference, or an error. Linux: iomap_write_begin()
 */
export function* iomapWriteBegin(task: UserTask, iter: IomapIter, pos: number, bytes: number): MaySleep<number> {
  const mapping = iter.inode.mapping as FileMapping;
  const { mem } = mapping;
  const frame = yield* grabPage(task, mapping, pageIndex(pos));
  if (frame === 0) return err(ENOMEM);
  if ((mem.flags[frame] & PG_UPTODATE) !== 0) return frame;
  const status = yield* fillAround(iter, mapping, frame, pos, bytes);
  if (status === 0) return frame;
  unlockPage(mem, frame);
  putPage(mem, frame);
  return status;
}

/** Read or zero what the write leaves of a page that is not uptodate. Linux: __iomap_write_begin() */
function* fillAround(iter: IomapIter, mapping: FileMapping, frame: Pfn, pos: number, bytes: number): MaySleep<Status> {
  const { mem } = mapping;
  const start = pageAddress(frame);
  const offset = offsetInPage(pos);
  const { inlineData } = iter.iomap;
  mem.world.accesses?.write(mem.bytesId(frame));
  if (iter.iomap.type === IOMAP_INLINE && inlineData !== null) {
    mem.u8.fill(0, start, start + PAGE_SIZE);
    mem.u8.set(inlineData.subarray(0, iter.inode.size), start);
  } else if (bytes === PAGE_SIZE) {
    return 0;
  } else if (blockNeedsZeroing(iter, pos - offset)) {
    mem.u8.fill(0, start, start + offset);
    mem.u8.fill(0, start + offset + bytes, start + PAGE_SIZE);
  } else {
    const status = yield* readPageSync(mapping, frame);
    if (status !== 0) return err(EIO);
  }
  mem.world.accesses?.write(mem.pageId(frame));
  mem.flags[frame] |= PG_UPTODATE;
  return 0;
}

/**
 * Take what was copied into the file.
 *
 * Context: atomic; the page is locked. Returns: bytes taken: all, or 0 when the copy has to be thrown away.
 * Linux: iomap_write_end()
 */
export function iomapWriteEnd(
  task: UserTask,
  iter: IomapIter,
  mapping: FileMapping,
  frame: Pfn,
  pos: number,
  bytes: number,
  copied: number,
): number {
  const { mem } = mapping;
  const { iomap } = iter;
  if (iomap.type === IOMAP_INLINE && iomap.inlineData !== null) {
    const start = pageAddress(frame);
    iomap.inlineData.set(mem.u8.subarray(start + pos, start + pos + copied), pos);
    iter.inode.markInlineDirty();
    return copied;
  }
  const uptodate = (mem.flags[frame] & PG_UPTODATE) !== 0;
  // Whoever looks without the lock whether it is ready.
  if (!uptodate) task.world.accesses?.write(mem.pageId(frame));
  const counted = iter.inode.sb.iomap.shortCopies.counts(bytes, copied, uptodate);
  if (counted === 0 && bytes > 0 && !uptodate) return 0;
  mem.flags[frame] |= PG_UPTODATE;
  markPageDirty(task, mapping, frame);
  return counted;
}
