// The shortcut of buffered reads and writes, for when nobody watches: the buffer is there, the pages are in the
// cache, the blocks exist, and every lock is free. Then no revision has to wait for anything, and all come to the
// same end: what they leave behind is left here, too, down to the flags of pages and the counts of locks.
//
// Each looks first and acts then. null: something is missing, nothing has happened, and the revision goes its own
// way from the beginning.

import {
  bugOn,
  downWriteNow,
  offsetInPage,
  PAGE_SIZE,
  type Pfn,
  pageIndex,
  type Ssize,
  upWrite,
} from "@faultline/kernel";
import {
  markPageAccessed,
  PG_ACTIVE,
  PG_DIRTY,
  PG_LOCKED,
  PG_READAHEAD,
  PG_REFERENCED,
  PG_UPTODATE,
  type UserTask,
} from "@faultline/mm";
import { copyPageFromIterAtomic, copyPageToIterAtomic, type IovIter, isIterResident } from "@faultline/uio";
import { markPageDirty } from "../../cache/page-writeback.ts";
import type { FileMapping } from "../../vfs/inode.ts";
import type { Kiocb } from "../../vfs/kiocb.ts";
import { isTimeCurrent } from "../file.ts";
import { Gfs2Holder, GLF_DIRTY } from "../glock.ts";
import { gfs2GlockDq, gfs2GlockTryNq } from "../glock-queue.ts";
import type { Gfs2Inode } from "../inode.ts";
import { LM_ST_EXCLUSIVE } from "../lm.ts";
import type { ResidentIo } from "../revision.ts";
import type { FaultInWindow, WindowRule } from "../window.ts";

/** Read bytes that lie within the file. No revision takes the glock for what is cached. */
export const readResident: ResidentIo = (task, iocb, to) => {
  const inode = iocb.file.inode as Gfs2Inode;
  const { mapping } = inode;
  const { pos } = iocb;
  const { count } = to;
  if (!isPlain(task, iocb, inode, count) || !isIterResident(task, to, count, true)) return null;
  if (cleanPages(mapping, pos, count, PG_READAHEAD) < 0) return null;
  const { ra } = iocb.file;
  const end = pos + count;
  const pageByPage = inode.sb.readBatch === 1;
  const usedNow = pageByPage ? ra.prevPos === pos : pageIndex(ra.prevPos - 1) === pageIndex(pos);
  while (iocb.pos < end) {
    const index = pageIndex(iocb.pos);
    const offset = offsetInPage(iocb.pos);
    const frame = mapping.find(index);
    const pages = mapping.pages.run(index, pagesOf(offset, end - iocb.pos));
    const bytes = Math.min(end - iocb.pos, pages * PAGE_SIZE - offset);
    // What the read before this one ended in is not used once more.
    for (let each = usedNow && iocb.pos === pos ? frame + 1 : frame; each < frame + pages; each++) {
      markPageAccessed(mapping.mem, each as Pfn);
    }
    bugOn(copyPageToIterAtomic(task, frame, offset, bytes, to) !== bytes, "resident memory is not there");
    iocb.pos += bytes;
  }
  ra.prevPos = pageByPage ? pageIndex(end - 1) * PAGE_SIZE + offsetInPage(end) : end;
  return count as Ssize;
};

/**
 * Overwrite bytes of the file: window by window, or extent by extent where there are no windows. The glock is taken
 * and dropped for each of them.
 */
export const writeResidentIn =
  (rule: WindowRule | null): ResidentIo =>
  (task, iocb, from) => {
    const inode = iocb.file.inode as Gfs2Inode;
    const { pos } = iocb;
    const { count } = from;
    if (!isPlain(task, iocb, inode, count) || !isIterResident(task, from, count, false)) return null;
    if (pos + count > task.fileSizeLimit || !isTimeCurrent(task, inode) || !areBlocks(inode, pos, count)) return null;
    const clean = cleanPages(inode.mapping, pos, count, PG_LOCKED);
    // Nor may the task come to where it has to look at the limits.
    if (clean < 0 || task.nrDirtied + clean >= task.nrDirtiedPause || !downWriteNow(task, inode.rwsem)) return null;
    const window: FaultInWindow = { prevCount: 0, size: 0 };
    while (from.count > 0) {
      if (rule === null) window.size = extentSize(inode, iocb.pos, from.count);
      else if (!rule(task, from, iocb, window)) window.size = from.count;
      const holder = new Gfs2Holder(inode.glock, LM_ST_EXCLUSIVE, 0, "gfs2_file_buffered_write");
      if (!gfs2GlockTryNq(task, holder)) break;
      overwrite(task, iocb, from, Math.min(window.size, from.count), inode);
      gfs2GlockDq(task, holder);
    }
    upWrite(task, inode.rwsem);
    // The first try of the glock fails, or none does.
    return from.count === count ? null : (count as Ssize);
  };

/** A page that is used, active and dirty: it cannot become more so. */
const SETTLED = PG_REFERENCED | PG_ACTIVE | PG_DIRTY;

function overwrite(task: UserTask, iocb: Kiocb, from: IovIter, size: number, inode: Gfs2Inode): void {
  const { mapping } = inode;
  const { flags } = mapping.mem;
  const end = iocb.pos + size;
  while (iocb.pos < end) {
    const index = pageIndex(iocb.pos);
    const offset = offsetInPage(iocb.pos);
    const frame = mapping.find(index);
    const pages = mapping.pages.run(index, pagesOf(offset, end - iocb.pos));
    const bytes = Math.min(end - iocb.pos, pages * PAGE_SIZE - offset);
    for (let each = frame; each < frame + pages; each++) {
      if ((flags[each] & SETTLED) === SETTLED) continue;
      markPageAccessed(mapping.mem, each);
      markPageDirty(task, mapping, each);
    }
    bugOn(copyPageFromIterAtomic(task, frame, offset, bytes, from) !== bytes, "resident memory is not there");
    iocb.pos += bytes;
  }
  inode.glock.flags |= GLF_DIRTY;
}

/** Nobody watches, nothing special is asked for, and the range lies within the file. */
function isPlain(task: UserTask, iocb: Kiocb, inode: Gfs2Inode, count: number): boolean {
  return (
    task.world.unwatched &&
    iocb.flags === 0 &&
    !task.fatalSignal &&
    count > 0 &&
    iocb.pos + count <= Math.min(inode.size, inode.sb.maxBytes) &&
    !inode.isInline
  );
}

/** Look at every page of the range. Returns: how many are clean; -1: one is not there, not read, or has `unwanted` flags. */
function cleanPages(mapping: FileMapping, pos: number, count: number, unwanted: number): number {
  const { flags } = mapping.mem;
  const mask = unwanted | PG_UPTODATE;
  let clean = 0;
  let index = pageIndex(pos);
  for (let left = pagesOf(offsetInPage(pos), count); left > 0; ) {
    const frame = mapping.find(index);
    if (frame === 0) return -1;
    const pages = mapping.pages.run(index, left);
    for (let each: number = frame; each < frame + pages; each++) {
      if ((flags[each] & mask) !== PG_UPTODATE) return -1;
      if ((flags[each] & PG_DIRTY) === 0) clean++;
    }
    index += pages;
    left -= pages;
  }
  return clean;
}

/** Does every block of the range exist? */
function areBlocks(inode: Gfs2Inode, pos: number, count: number): boolean {
  const end = pageIndex(pos + count - 1) + 1;
  for (let block = pageIndex(pos); block < end; ) {
    const extent = inode.disk.map.extent(block, end - block);
    if (extent.address === 0) return false;
    block += extent.count;
  }
  return true;
}

/** What 5.10 takes the glock for: one extent. Returns: bytes from `pos` to its end, `count` at most. */
function extentSize(inode: Gfs2Inode, pos: number, count: number): number {
  const offset = offsetInPage(pos);
  return Math.min(count, inode.disk.map.extent(pageIndex(pos), pagesOf(offset, count)).count * PAGE_SIZE - offset);
}

/** Pages that `count` bytes from `offset` in the first of them reach into. */
function pagesOf(offset: number, count: number): number {
  return Math.ceil((offset + count) / PAGE_SIZE);
}
