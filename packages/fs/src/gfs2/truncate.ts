// Changing the size of a file and the blocks behind it (fs/gfs2/bmap.c, file.c): ftruncate and fallocate.

import {
  downWrite,
  EFBIG,
  EINVAL,
  EOPNOTSUPP,
  err,
  isErr,
  type MaySleep,
  offsetInPage,
  PAGE_SIZE,
  type Status,
  upWrite,
} from "@faultline/kernel";
import { type UserTask, unmapMappingPages } from "@faultline/mm";
import { truncateInodePages, truncatePagecache } from "../cache/page-cache.ts";
import { filemapWriteAndWait } from "../cache/page-writeback.ts";
import { STUFFED_MAX } from "../disk/block-map.ts";
import { iomapZeroRange } from "../iomap/zero-range.ts";
import { type File, O_DSYNC, O_SYNC } from "../vfs/file.ts";
import { allocateBlocks, gfs2IomapOps, gfs2UnstuffDinode, gfs2WriteAllocRequired } from "./bmap.ts";
import { fileUpdateTime, setTimes } from "./file.ts";
import { gfs2Fsync } from "./fsync.ts";
import { Gfs2Holder } from "./glock.ts";
import { gfs2GlockDq, gfs2GlockNq } from "./glock-queue.ts";
import type { Gfs2Inode } from "./inode.ts";
import { LM_ST_EXCLUSIVE } from "./lm.ts";

export const FALLOC_FL_KEEP_SIZE = 1;
export const FALLOC_FL_PUNCH_HOLE = 2;

/**
 * Make the file this long.
 *
 * Context: sleeps. Returns: 0, -EINVAL, -EFBIG, -ENOSPC or -EIO.
 * Linux: gfs2_setattr_size()
 */
export function gfs2Truncate(task: UserTask, inode: Gfs2Inode, size: number): MaySleep<Status> {
  return exclusively(task, inode, "gfs2_setattr", function* (): MaySleep<Status> {
    if (size > inode.sb.maxBytes || size > task.fileSizeLimit) return err(EFBIG);
    return size >= inode.size ? yield* doGrow(task, inode, size) : yield* doShrink(task, inode, size);
  });
}

/** Hold i_rwsem and the glock around a change. */
function* exclusively(task: UserTask, inode: Gfs2Inode, ip: string, change: () => MaySleep<Status>): MaySleep<Status> {
  yield* downWrite(task, inode.rwsem);
  const holder = new Gfs2Holder(inode.glock, LM_ST_EXCLUSIVE, 0, ip);
  let status = (yield* gfs2GlockNq(task, holder)) as Status;
  if (status === 0) {
    status = yield* change();
    gfs2GlockDq(task, holder);
  }
  upWrite(task, inode.rwsem);
  return status;
}

/** Linux: do_grow() */
function* doGrow(task: UserTask, inode: Gfs2Inode, size: number): MaySleep<Status> {
  if (inode.isInline && size > STUFFED_MAX) {
    const status = yield* gfs2UnstuffDinode(task, inode);
    if (status !== 0) return status;
  }
  if (size !== inode.size) {
    inode.size = size;
    setTimes(task, inode);
    inode.markDirty();
  }
  return 0;
}

/** Linux: do_shrink(), trunc_start() */
function* doShrink(task: UserTask, inode: Gfs2Inode, size: number): MaySleep<Status> {
  if (inode.isInline) {
    inode.stuffedData.fill(0, size);
  } else if (offsetInPage(size) !== 0) {
    const rest = PAGE_SIZE - offsetInPage(size);
    const status = yield* gfs2BlockZeroRange(task, inode, size, rest);
    if (status !== 0) return status;
  }
  inode.size = size;
  setTimes(task, inode);
  inode.markDirty();
  yield* truncatePagecache(task, inode.mapping, size);
  const { disk } = inode.sb;
  if (!inode.isInline) disk.free(inode.disk, Math.ceil(size / PAGE_SIZE), Number.POSITIVE_INFINITY);
  if (size === 0) {
    inode.stuffedData.fill(0);
    inode.disk.map.height = 0;
  }
  return 0;
}

/**
 * Allocate blocks, durably if the file was opened so, or with FALLOC_FL_PUNCH_HOLE free them.
 *
 * Context: sleeps. Returns: 0, -EINVAL, -EOPNOTSUPP, -EFBIG, -ENOSPC or -EIO.
 * Linux: gfs2_fallocate()
 */
export function gfs2Fallocate(
  task: UserTask,
  file: File,
  mode: number,
  offset: number,
  length: number,
): MaySleep<Status> {
  const inode = file.inode as Gfs2Inode;
  return exclusively(task, inode, "gfs2_fallocate", function* (): MaySleep<Status> {
    if ((mode & FALLOC_FL_PUNCH_HOLE) !== 0) return yield* punchHole(task, inode, offset, length);
    const status = yield* allocateRange(task, inode, mode, offset, length);
    if (status !== 0 || (file.flags & O_DSYNC) === 0) return status;
    return yield* gfs2Fsync(task, file, offset, offset + length - 1, (file.flags & O_SYNC) !== O_SYNC);
  });
}

/** What is wrong with the arguments of fallocate? Context: atomic. Linux: vfs_fallocate() */
export function checkFallocate(mode: number, offset: number, length: number): Status {
  if (offset < 0 || length <= 0) return err(EINVAL);
  if ((mode & ~(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) !== 0) return err(EOPNOTSUPP);
  return (mode & FALLOC_FL_PUNCH_HOLE) !== 0 && (mode & FALLOC_FL_KEEP_SIZE) === 0 ? err(EOPNOTSUPP) : 0;
}

/** Linux: __gfs2_fallocate() */
function* allocateRange(
  task: UserTask,
  inode: Gfs2Inode,
  mode: number,
  offset: number,
  length: number,
): MaySleep<Status> {
  const start = offset - offsetInPage(offset);
  const end = offset + length;
  if (gfs2WriteAllocRequired(inode, start, end - start)) {
    if (inode.isInline) {
      const status = yield* gfs2UnstuffDinode(task, inode);
      if (status !== 0) return status;
    }
    const last = Math.ceil(end / PAGE_SIZE);
    for (let block = start / PAGE_SIZE; block < last; ) {
      const allocated = allocateBlocks(task, inode, block, last - block);
      if (allocated < 0) return allocated as Status;
      block += allocated;
    }
  }
  if ((mode & FALLOC_FL_KEEP_SIZE) === 0 && end > inode.size) inode.size = end;
  yield* fileUpdateTime(task, inode, true);
  inode.markDirty();
  return 0;
}

/** Linux: __gfs2_punch_hole() */
function* punchHole(task: UserTask, inode: Gfs2Inode, offset: number, length: number): MaySleep<Status> {
  const end = offset + length;
  if (!inode.isInline) {
    const status = yield* zeroEdges(task, inode, offset, length);
    if (isErr(status)) return status;
  }
  // The pages at the edges come out clean, too: who stores to them next makes them dirty once more.
  const [start, stop] = [offset - offsetInPage(offset), Math.ceil(end / PAGE_SIZE) * PAGE_SIZE];
  const written = yield* filemapWriteAndWait(task, inode.mapping, start, stop - 1);
  if (written !== 0) return written;
  if (inode.isInline && offset < inode.size) inode.stuffedData.fill(0, offset, Math.min(end, inode.size));
  const first = Math.ceil(offset / PAGE_SIZE);
  const last = Math.floor(end / PAGE_SIZE);
  // A hole within the first page ends before it begins, and the unsigned difference is everything there is.
  const unmapped = last === 0 ? Number.POSITIVE_INFINITY : last - first;
  if (unmapped > 0) unmapMappingPages(task, inode.mapping, first, unmapped, false);
  yield* truncateInodePages(task, inode.mapping, offset, end);
  yield* fileUpdateTime(task, inode, true);
  inode.markDirty();
  if (!inode.isInline && last > first) inode.sb.disk.free(inode.disk, first, last);
  return 0;
}

/** Zero the parts of blocks at either side of the hole. */
function* zeroEdges(task: UserTask, inode: Gfs2Inode, offset: number, length: number): MaySleep<Status> {
  const startOffset = offsetInPage(offset);
  let endLength = offsetInPage(offset + length);
  if (startOffset !== 0) {
    const status = yield* gfs2BlockZeroRange(task, inode, offset, Math.min(length, PAGE_SIZE - startOffset));
    if (status !== 0) return status;
    if (startOffset + length < PAGE_SIZE) endLength = 0;
  }
  if (endLength === 0) return 0;
  return yield* gfs2BlockZeroRange(task, inode, offset + length - endLength, endLength);
}

/** Zero a range within one block. Context: sleeps. Returns: 0 or an error. Linux: gfs2_block_zero_range() */
function* gfs2BlockZeroRange(task: UserTask, inode: Gfs2Inode, from: number, length: number): MaySleep<Status> {
  const beyond = inode.sb.revision.zeroesBeyondEof ? Number.POSITIVE_INFINITY : inode.size - from;
  if (beyond <= 0) return 0;
  return yield* iomapZeroRange(task, inode, from, Math.min(length, beyond), gfs2IomapOps);
}
