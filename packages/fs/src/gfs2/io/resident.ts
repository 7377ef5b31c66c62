// The shortcut of buffered reads and writes, for when nobody watches: the buffer is there, the pages are in the
// cache, the blocks exist, and every lock is free. Then no revision has to wait for anything, and all come to the
// same end: what they leave behind is left here, too, down to the flags of pages and the counts of locks.
//
// Each looks first and acts then. null: something is missing, nothing has happened, and the revision goes its own
// way from the beginning.

import {
  bugOn,
  downWriteNow,
  MAX_RW_COUNT,
  offsetInPage,
  PAGE_SIZE,
  pageIndex,
  type Ssize,
  upWrite,
} from "@faultline/kernel";
import {
  copyFromUserInatomic,
  copyToUserInatomic,
  isFaultedIn,
  markPageAccessed,
  PG_ACTIVE,
  PG_DIRTY,
  PG_LOCKED,
  PG_READAHEAD,
  PG_REFERENCED,
  PG_UPTODATE,
  pageAddress,
  type UserTask,
} from "@faultline/mm";
import { markPageDirty } from "../../cache/page-writeback.ts";
import type { FileMapping } from "../../vfs/inode.ts";
import { isTimeCurrent } from "../file.ts";
import { Gfs2Holder, GLF_DIRTY } from "../glock.ts";
import { gfs2GlockDq, gfs2GlockTryNq } from "../glock-queue.ts";
import type { Gfs2Inode } from "../inode.ts";
import { LM_ST_EXCLUSIVE } from "../lm.ts";
import type { ResidentIo } from "../revision.ts";

/** Read bytes that lie within the file. No revision takes the glock for what is cached. */
export const readResident: ResidentIo = (task, iocb, buf, count) => {
  const inode = iocb.file.inode as Gfs2Inode;
  const { mapping } = inode;
  const { pos } = iocb;
  const end = pos + count;
  if (!isPlain(task, inode, iocb.flags, pos, count) || !isFaultedIn(task, buf, count, true)) return null;
  const flags = flagsOf(mapping, pos, end);
  if (!allHave(flags, PG_UPTODATE) || anyHas(flags, PG_READAHEAD)) return null;
  const { ra } = iocb.file;
  const pageByPage = inode.sb.readBatch === 1;
  if (!allHave(flags, PG_REFERENCED | PG_ACTIVE)) {
    const usedNow = pageByPage ? ra.prevPos === pos : pageIndex(ra.prevPos - 1) === pageIndex(pos);
    // What the read before this one ended in is not used once more.
    for (let index = pageIndex(pos) + (usedNow ? 1 : 0); index * PAGE_SIZE < end; index++) {
      markPageAccessed(mapping.mem, mapping.find(index));
    }
  }
  for (let at = pos, bytes: number; at < end; at += bytes) {
    bytes = adjacent(mapping, at, end);
    const left = copyToUserInatomic(task, buf + at - pos, physicalAt(mapping, at), bytes);
    bugOn(left > 0, "resident memory is not there");
  }
  iocb.pos = end;
  ra.prevPos = pageByPage ? pageIndex(end - 1) * PAGE_SIZE + offsetInPage(end) : end;
  return count as Ssize;
};

/** For how many bytes of a write of `count` bytes at `pos` a revision takes the glock at once; more is all of them. */
export type Stretch = (task: UserTask, inode: Gfs2Inode, pos: number, count: number) => number;

/** Overwrite bytes of the file. The glock is taken and dropped for each stretch of them. */
export const writeResidentIn =
  (stretch: Stretch): ResidentIo =>
  (task, iocb, buf, count) => {
    const inode = iocb.file.inode as Gfs2Inode;
    const { mapping } = inode;
    const { pos } = iocb;
    const end = pos + count;
    if (!isPlain(task, inode, iocb.flags, pos, count) || !isFaultedIn(task, buf, count, false)) return null;
    if (end > task.fileSizeLimit || !isTimeCurrent(task, inode)) return null;
    const flags = flagsOf(mapping, pos, end);
    if (!allHave(flags, PG_UPTODATE) || anyHas(flags, PG_LOCKED)) return null;
    if (!inode.disk.map.isWhole(pageIndex(pos), pageIndex(end - 1) + 1)) return null;
    const clean = allHave(flags, PG_DIRTY) ? 0 : cleanPages(mapping, pos, end);
    // Nor may the task come to where it has to look at the limits.
    if (task.nrDirtied + clean + inode.sb.dirty.leaks[0] >= task.nrDirtiedPause || !downWriteNow(task, inode.rwsem))
      return null;
    const holder = new Gfs2Holder(inode.glock, LM_ST_EXCLUSIVE, 0, "gfs2_file_buffered_write");
    while (iocb.pos < end && gfs2GlockTryNq(task, holder)) {
      const at = iocb.pos;
      iocb.pos = Math.min(at + stretch(task, inode, at, end - at), end);
      if (!allHave(flags, SETTLED)) settle(task, mapping, at, iocb.pos);
      inode.glock.flags |= GLF_DIRTY;
      inode.ordered = true;
      gfs2GlockDq(task, holder);
    }
    // The first try of the glock fails, or none does.
    const done = iocb.pos === end;
    // Nobody could have come in between: what the glock was taken for so often is copied at once.
    if (done) overwrite(task, mapping, pos, end, buf);
    upWrite(task, inode.rwsem);
    return done ? (count as Ssize) : null;
  };

/** A page that is used, active and dirty: it cannot become more so. */
const SETTLED = PG_REFERENCED | PG_ACTIVE | PG_DIRTY;

/** The pages of [pos, end) are used and made dirty. */
function settle(task: UserTask, mapping: FileMapping, pos: number, end: number): void {
  for (let index = pageIndex(pos); index * PAGE_SIZE < end; index++) {
    const frame = mapping.find(index);
    markPageAccessed(mapping.mem, frame);
    markPageDirty(task, mapping, frame);
  }
}

function overwrite(task: UserTask, mapping: FileMapping, pos: number, end: number, buf: number): void {
  for (let at = pos, bytes: number; at < end; at += bytes) {
    bytes = adjacent(mapping, at, end);
    const left = copyFromUserInatomic(task, physicalAt(mapping, at), buf + at - pos, bytes);
    bugOn(left > 0, "resident memory is not there");
  }
}

/** Nobody watches, nothing special is asked for, and the range lies within the file. */
function isPlain(task: UserTask, inode: Gfs2Inode, flags: number, pos: number, count: number): boolean {
  return (
    task.world.unwatched &&
    flags === 0 &&
    !task.fatalSignal &&
    count > 0 &&
    count <= MAX_RW_COUNT &&
    pos + count <= Math.min(inode.size, inode.sb.maxBytes) &&
    !inode.isInline
  );
}

/** Flags of the pages of [pos, end): what all of them have, and above that what any of them has. 0: a page is not there. */
function flagsOf(mapping: FileMapping, pos: number, end: number): number {
  const { flags } = mapping.mem;
  let all = ALL_FLAGS;
  let any = 0;
  for (let at = pos, bytes: number; at < end; at += bytes) {
    const frame: number = mapping.find(pageIndex(at));
    if (frame === 0) return 0;
    bytes = adjacent(mapping, at, end);
    const last = frame + pageIndex(offsetInPage(at) + bytes - 1);
    for (let each = frame; each <= last; each++) {
      const its = flags[each];
      all &= its;
      any |= its;
    }
  }
  return all | (any << FLAG_BITS);
}

const FLAG_BITS = 16;
const ALL_FLAGS = (1 << FLAG_BITS) - 1;

function allHave(flags: number, wanted: number): boolean {
  return (flags & wanted) === wanted;
}

function anyHas(flags: number, unwanted: number): boolean {
  return ((flags >>> FLAG_BITS) & unwanted) !== 0;
}

/** How many pages of [pos, end), which are all there, are not dirty yet. */
function cleanPages(mapping: FileMapping, pos: number, end: number): number {
  let clean = 0;
  for (let index = pageIndex(pos); index * PAGE_SIZE < end; index++) {
    if ((mapping.mem.flags[mapping.find(index)] & PG_DIRTY) === 0) clean++;
  }
  return clean;
}

/** Bytes of [pos, end) from `pos` on that lie next to each other in memory. */
function adjacent(mapping: FileMapping, pos: number, end: number): number {
  const index = pageIndex(pos);
  const pages = mapping.pages.run(index, pageIndex(end - 1) + 1 - index);
  return Math.min(end - pos, pages * PAGE_SIZE - offsetInPage(pos));
}

/** Where in memory a byte of the file is. */
function physicalAt(mapping: FileMapping, pos: number): number {
  return pageAddress(mapping.find(pageIndex(pos))) + offsetInPage(pos);
}
