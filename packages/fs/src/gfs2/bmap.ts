// Mapping files to blocks (fs/gfs2/bmap.c): gfs2's side of iomap, unstuffing, and freeing blocks.

import { ENOENT, ENOMEM, ENOTBLK, err, type MaySleep, PAGE_SIZE, type Pfn, type Status } from "@faultline/kernel";
import { PG_UPTODATE, pageAddress, putPage, type UserTask, unlockPage } from "@faultline/mm";
import { grabPage, truncateInodePages } from "../cache/page-cache.ts";
import { folioMarkDirty } from "../cache/page-writeback.ts";
import { STUFFED_MAX } from "../disk/block-map.ts";
import {
  IOMAP_DIRECT,
  IOMAP_F_NEW,
  IOMAP_F_SIZE_CHANGED,
  IOMAP_HOLE,
  IOMAP_INLINE,
  IOMAP_MAPPED,
  IOMAP_REPORT,
  IOMAP_WRITE,
  IOMAP_ZERO,
  type Iomap,
  type IomapOps,
} from "../iomap/iomap.ts";
import type { Inode } from "../vfs/inode.ts";
import { Gfs2Holder, GLF_DIRTY } from "./glock.ts";
import { gfs2GlockDq, gfs2GlockNq } from "./glock-queue.ts";
import type { Gfs2Inode } from "./inode.ts";
import { LM_ST_EXCLUSIVE } from "./lm.ts";
import { writeDinode } from "./super.ts";

export const gfs2IomapOps: IomapOps = {
  /** Linux: gfs2_iomap_begin() */
  *begin(task: UserTask, vfsInode: Inode, pos: number, length: number, flags: number, iomap: Iomap): MaySleep<Status> {
    const inode = vfsInode as Gfs2Inode;
    const { trace } = task.world;
    trace?.emit(task, "gfs2_iomap_begin", inode.ino, pos, length, flags);
    if (needsWriteLock(inode, flags)) {
      const holder = new Gfs2Holder(inode.glock, LM_ST_EXCLUSIVE, 0, "gfs2_iomap_begin");
      yield* gfs2GlockNq(task, holder);
      inode.iomapHolder = holder;
    }
    const status = yield* mapForIomap(task, inode, pos, length, flags, iomap);
    if (status !== 0) dropWriteLock(task, inode);
    trace?.emit(task, "gfs2_iomap_begin_ret", status);
    return status;
  },

  /** Linux: gfs2_iomap_end() */
  *end(
    task: UserTask,
    vfsInode: Inode,
    pos: number,
    length: number,
    written: number,
    flags: number,
    iomap: Iomap,
  ): MaySleep<Status> {
    const inode = vfsInode as Gfs2Inode;
    const { trace } = task.world;
    trace?.emit(task, "gfs2_iomap_end", inode.ino, pos, length, written);
    const buffered = (flags & IOMAP_WRITE) !== 0 && (flags & IOMAP_DIRECT) === 0;
    const zeroed = (flags & IOMAP_ZERO) !== 0 && iomap.type !== IOMAP_HOLE;
    if (buffered || zeroed) {
      inode.ordered = true;
      if (written !== length && (iomap.flags & IOMAP_F_NEW) !== 0)
        yield* freeUnused(task, inode, pos, length, written, iomap);
      if (written > 0) {
        if ((iomap.flags & IOMAP_F_SIZE_CHANGED) !== 0) inode.markDirty();
        inode.glock.flags |= GLF_DIRTY;
      }
    }
    dropWriteLock(task, inode);
    trace?.emit(task, "gfs2_iomap_end_ret", 0);
    return 0;
  },
};

/** Is iomap_begin where a buffered write takes the lock: until 5.15? Linux: gfs2_iomap_need_write_lock() */
function needsWriteLock(inode: Gfs2Inode, flags: number): boolean {
  return inode.sb.revision.locksInIomap && (flags & (IOMAP_WRITE | IOMAP_DIRECT)) === IOMAP_WRITE;
}

function dropWriteLock(task: UserTask, inode: Gfs2Inode): void {
  if (inode.iomapHolder === null) return;
  gfs2GlockDq(task, inode.iomapHolder);
  inode.iomapHolder = null;
}

function* mapForIomap(
  task: UserTask,
  inode: Gfs2Inode,
  pos: number,
  length: number,
  flags: number,
  iomap: Iomap,
): MaySleep<Status> {
  gfs2IomapGet(inode, pos, length, flags, iomap);
  if ((flags & IOMAP_REPORT) !== 0 && iomap.type === IOMAP_HOLE && pos >= inode.size) return err(ENOENT);
  if ((flags & IOMAP_WRITE) === 0) return 0;
  if ((flags & IOMAP_DIRECT) !== 0) {
    // Holes and stuffed data make a direct write fall back to a buffered one.
    return iomap.type === IOMAP_MAPPED ? 0 : err(ENOTBLK);
  }
  if (inode.isInline && pos + length > STUFFED_MAX) {
    const status = yield* gfs2UnstuffDinode(task, inode);
    if (status !== 0) return status;
    gfs2IomapGet(inode, iomap.offset, iomap.length, flags, iomap);
  }
  if (iomap.type !== IOMAP_HOLE) return 0;
  const allocated = allocateBlocks(task, inode, iomap.offset / PAGE_SIZE, iomap.length / PAGE_SIZE);
  if (allocated < 0) return allocated as Status;
  iomap.length = allocated * PAGE_SIZE;
  iomap.type = IOMAP_MAPPED;
  iomap.flags |= IOMAP_F_NEW;
  iomap.addr = inode.disk.map.addressOf(iomap.offset / PAGE_SIZE);
  return 0;
}

/**
 * Find the extent at `pos`; a missing one is a hole as long as the range, or for writing as long as one
 * allocation can be.
 *
 * Context: atomic. Linux: __gfs2_iomap_get()
 */
function gfs2IomapGet(inode: Gfs2Inode, pos: number, length: number, flags: number, iomap: Iomap): void {
  const { map } = inode.disk;
  iomap.flags = 0;
  iomap.addr = 0;
  iomap.inlineData = null;
  const write = (flags & IOMAP_WRITE) !== 0;
  if (map.stuffed && !(write && pos + length > STUFFED_MAX)) {
    if (write || pos < inode.size) {
      iomap.type = IOMAP_INLINE;
      iomap.offset = 0;
      iomap.length = write ? STUFFED_MAX : inode.size;
      iomap.inlineData = inode.stuffedData;
    } else {
      iomap.type = IOMAP_HOLE;
      iomap.offset = pos;
      iomap.length = length;
    }
    return;
  }
  const block = Math.floor(pos / PAGE_SIZE);
  const count = Math.floor((pos + length - 1) / PAGE_SIZE) - block + 1;
  const extent = map.extent(block, count);
  const hole = extent.address === 0;
  iomap.type = hole ? IOMAP_HOLE : IOMAP_MAPPED;
  iomap.addr = extent.address;
  iomap.offset = block * PAGE_SIZE;
  if (!hole) iomap.length = extent.count * PAGE_SIZE;
  else if (write) iomap.length = map.allocatable(block, count) * PAGE_SIZE;
  // Beyond what the tree of pointers reaches, nobody looks how far the hole goes.
  else iomap.length = (pos < inode.size && map.reaches(block) ? extent.count : count) * PAGE_SIZE;
}

/**
 * Allocate the missing blocks of a range, or as many from its beginning as lie next to each other on disk: all of
 * them, unless the environment chooses an "extent" that ends earlier. What is allocated next lies elsewhere then.
 *
 * Blocks that were given back are used again only when that is in the journal: after a crash they may belong to
 * what was there before.
 *
 * Context: atomic; the glock is held exclusively. Returns: blocks of the range that exist now, -ENOSPC or -EIO.
 * Linux: gfs2_alloc_blocks()
 */
export function allocateBlocks(task: UserTask, inode: Gfs2Inode, block: number, count: number): number {
  const { disk } = inode.sb;
  const flushed = disk.reuses(inode.disk, block, count) ? writeDinode(inode) : 0;
  if (flushed !== 0) return flushed;
  const extent = task.world.choose("extent", count + 1, `${inode.ino} ${block}`);
  const found = extent === 0 ? count : extent;
  const status = disk.allocate(inode.disk, block, found);
  if (status !== 0) return status;
  if (extent !== 0) disk.endExtent();
  task.world.trace?.emit(task, "lab_extent", inode.ino, block, found, count);
  inode.markDirty();
  return found;
}

/**
 * Move the data of a stuffed file into a block of its own.
 *
 * Context: sleeps; the glock is held exclusively. Returns: 0, -ENOSPC or -ENOMEM.
 * Linux: gfs2_unstuff_dinode()
 */
export function* gfs2UnstuffDinode(task: UserTask, inode: Gfs2Inode): MaySleep<Status> {
  const { mapping, sb } = inode;
  const { mem } = sb;
  if (inode.size > 0 || sb.revision.unstuffsEmptyPage) {
    const frame = yield* grabPage(task, mapping, 0);
    if (frame === 0) return err(ENOMEM);
    const status = inode.size > 0 ? fillUnstuffed(task, inode, frame) : 0;
    unlockPage(mem, frame);
    putPage(mem, frame);
    if (status !== 0) return status;
  }
  inode.disk.map.growTo(0);
  inode.markDirty();
  return 0;
}

/** Copy the stuffed data to the page that is to hold them. Context: atomic; the page is locked. Linux: gfs2_unstuffer_folio() */
function fillUnstuffed(task: UserTask, inode: Gfs2Inode, frame: Pfn): Status {
  const { mem } = inode.sb;
  const start = pageAddress(frame);
  if ((mem.flags[frame] & PG_UPTODATE) === 0) {
    mem.world.accesses?.write(mem.pageId(frame));
    mem.world.accesses?.write(mem.bytesId(frame));
    mem.u8.fill(0, start, start + PAGE_SIZE);
    mem.u8.set(inode.stuffedData.subarray(0, inode.size), start);
    mem.flags[frame] |= PG_UPTODATE;
  }
  const allocated = allocateBlocks(task, inode, 0, 1);
  if (allocated < 0) return allocated as Status;
  folioMarkDirty(task, inode.mapping, frame);
  return 0;
}

/** A write came short of blocks that were allocated for it: give back those behind it. */
function* freeUnused(
  task: UserTask,
  inode: Gfs2Inode,
  pos: number,
  length: number,
  written: number,
  iomap: Iomap,
): MaySleep<void> {
  const first = Math.ceil((pos + written) / PAGE_SIZE);
  // Until 5.17 the end was rounded down, and the last block stayed.
  const end = inode.sb.revision.freesWholeTail
    ? (iomap.offset + iomap.length) / PAGE_SIZE
    : Math.floor((pos + length) / PAGE_SIZE);
  if (first >= end) return;
  yield* truncateInodePages(task, inode.mapping, first * PAGE_SIZE, end * PAGE_SIZE);
  inode.sb.disk.free(inode.disk, first, end);
}

/** Are blocks missing in the range? Context: atomic. Linux: gfs2_write_alloc_required() */
export function gfs2WriteAllocRequired(inode: Gfs2Inode, offset: number, length: number): boolean {
  const { map } = inode.disk;
  if (map.stuffed) return offset + length > STUFFED_MAX;
  for (let block = Math.floor(offset / PAGE_SIZE); block * PAGE_SIZE < offset + length; block++) {
    if (map.addressOf(block) === 0) return true;
  }
  return false;
}

/** Allocate what is missing behind one page. Context: atomic. Returns: 0 or -ENOSPC. Linux: gfs2_allocate_page_backing() */
export function gfs2AllocatePageBacking(task: UserTask, inode: Gfs2Inode, index: number): Status {
  if (inode.disk.map.addressOf(index) !== 0) return 0;
  return Math.min(0, allocateBlocks(task, inode, index, 1)) as Status;
}
