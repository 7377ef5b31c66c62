// Reading through the page cache (mm/filemap.c): filemap_read.
//
// Pages are collected in batches; a batch ends at the first page that is missing, not read yet, or marked
// for read-ahead, and what that page needs happens before any page of the batch is copied.

import {
  EAGAIN,
  EFAULT,
  EINTR,
  EINVAL,
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
  getPage,
  markPageAccessed,
  PG_READAHEAD,
  PG_UPTODATE,
  pageMapping,
  putPage,
  trylockPage,
  type UserAccess,
  type UserTask,
  unlockPage,
  waitOnPageLocked,
} from "@faultline/mm";
import {
  copyIsInterrupted,
  copyPageInTwo,
  copyPageToIter,
  copyPageToIterAtomic,
  type IovIter,
  iovIterTruncate,
} from "@faultline/uio";
import type { FileMapping } from "../vfs/inode.ts";
import { IOCB_NOIO, IOCB_NOWAIT, type Kiocb } from "../vfs/kiocb.ts";
import { addNewPage } from "./page-cache.ts";
import { pinPages, unpinPages } from "./page-pins.ts";
import { pageCacheAsyncReadahead, pageCacheSyncReadahead } from "./readahead.ts";

/** Not an error: the page went away or was not ready; look again. Linux: AOP_TRUNCATED_PAGE */
const LOOK_AGAIN = 1;

/**
 * Read from the page cache into an iterator, reading pages from disk as needed.
 *
 * Context: sleeps; what else depends on `user`. IOCB_NOIO: no I/O at all; IOCB_NOWAIT: no waiting.
 * Returns: bytes read, 0 at the end of the file; an error only if nothing was read (-EFAULT: the buffer;
 *          -EAGAIN: the flags forbid what is needed; -EIO).
 * Linux:   filemap_read() since 5.12
 */
export function* filemapRead<Y>(
  task: UserTask,
  iocb: Kiocb,
  to: IovIter,
  user: UserAccess<Y>,
): Generator<Sleep | Y, Ssize, void> {
  const { inode, ra } = iocb.file;
  const { mapping } = inode;
  const { mem } = mapping;
  if (iocb.pos < 0) return err(EINVAL);
  if (iocb.pos >= inode.sb.maxBytes || to.count === 0) return 0 as Ssize;
  iovIterTruncate(to, inode.sb.maxBytes - iocb.pos);
  const seesProgress = inode.sb.readahead.seesProgress;
  const pins = pinsPages(iocb, user);
  const batch: Pfn[] = [];
  let read = 0;
  let error: Status = 0;
  task.world.accesses?.read(ra.id);
  let lastPos = ra.prevPos;
  do {
    if (task.world.preemptible) yield PREEMPT;
    if (iocb.pos >= inode.size) break;
    error = getReadBatch(mapping, iocb, to.count, batch) ? 0 : yield* filemapGetPages(task, iocb, to.count, batch);
    if (error < 0) break;
    const { size } = inode;
    const end = Math.min(size, iocb.pos + to.count);
    if (pins) pinPages(task, mapping);
    // A page that one read touches in several steps counts as used once.
    const sameAsLast = lastPos > 0 && pageIndex(iocb.pos) === pageIndex(lastPos - 1);
    for (let i = 0; i < batch.length && iocb.pos < end; ) {
      if (i > 0 || !sameAsLast) markPageAccessed(mem, batch[i]);
      let run = 1;
      while (i + run < batch.length && batch[i + run] === batch[i] + run) markPageAccessed(mem, batch[i + run++]);
      const offset = offsetInPage(iocb.pos);
      const bytes = Math.min(end - iocb.pos, run * PAGE_SIZE - offset);
      const first = user.faults ? 0 : copyIsInterrupted(task, to, bytes);
      const copied = user.faults
        ? yield* copyPageToIter(task, batch[i], offset, bytes, to, user)
        : first > 0
          ? yield* copyPageInTwo(task, batch[i], offset, bytes, to, first)
          : copyPageToIterAtomic(task, batch[i], offset, bytes, to);
      read += copied;
      iocb.pos += copied;
      if (seesProgress) {
        task.world.accesses?.write(ra.id);
        ra.prevPos = iocb.pos;
      }
      lastPos = iocb.pos;
      if (copied < bytes) {
        error = err(EFAULT);
        break;
      }
      i += run;
    }
    for (const frame of batch) putPage(mem, frame);
    if (pins) unpinPages(task, mapping);
    batch.length = 0;
    if (iocb.pos >= size) break;
  } while (to.count > 0 && error === 0);
  task.world.accesses?.write(ra.id);
  ra.prevPos = lastPos;
  return (read > 0 ? read : error) as Ssize;
}

/** Does the read keep pages while it faults, with no lock that would keep them anyway? */
export function pinsPages<Y>(iocb: Kiocb, user: UserAccess<Y>): boolean {
  return user.faults && (iocb.flags & IOCB_NOIO) !== 0;
}

/**
 * Collect what is there: pages with a reference, up to the first that is not ready or is marked.
 *
 * Context: atomic. Returns: true when nothing else is to be done for them.
 * Linux: filemap_get_read_batch()
 */
function getReadBatch(mapping: FileMapping, iocb: Kiocb, count: number, batch: Pfn[]): boolean {
  const { mem } = mapping;
  const { accesses } = mem.world;
  const first = pageIndex(iocb.pos);
  const last = pageIndex(iocb.pos + count - 1);
  const most = mapping.host.sb.readBatch;
  for (let index = first; index <= last && batch.length < most; index++) {
    const frame = mapping.find(index);
    accesses?.read(mapping.slotId(index));
    if (frame === 0) break;
    accesses?.read(mem.pageId(frame));
    getPage(mem, frame);
    batch.push(frame);
    if ((mem.flags[frame] & (PG_UPTODATE | PG_READAHEAD)) !== PG_UPTODATE) return false;
  }
  return batch.length > 0;
}

/** Get the batch ready: read what is missing, start the next window, wait. Returns: 0 or an error. Linux: filemap_get_pages() */
function* filemapGetPages(task: UserTask, iocb: Kiocb, count: number, batch: Pfn[]): MaySleep<Status> {
  const { inode, ra } = iocb.file;
  const { mapping } = inode;
  const index = pageIndex(iocb.pos);
  const requested = pageIndex(iocb.pos + count - 1) + 1 - index;
  for (;;) {
    if (task.fatalSignal) return err(EINTR);
    if (batch.length === 0) {
      if ((iocb.flags & IOCB_NOIO) !== 0) return err(EAGAIN);
      yield* pageCacheSyncReadahead(task, mapping, ra, index, requested);
      // The disk may be faster.
      if (task.world.preemptible) yield PREEMPT;
      getReadBatch(mapping, iocb, count, batch);
    }
    if (batch.length === 0) {
      if ((iocb.flags & IOCB_NOWAIT) !== 0) return err(EAGAIN);
      const made = yield* filemapCreatePage(task, mapping, index, batch);
      if (made !== LOOK_AGAIN) return made as Status;
      getReadBatch(mapping, iocb, count, batch);
      continue;
    }
    const outcome = yield* readyLastPage(task, iocb, mapping, batch, index + requested);
    if (outcome === 0) return 0;
    // The last page is not usable; those before it are.
    putPage(mapping.mem, batch.pop() as Pfn);
    if (batch.length > 0) return 0;
    if (outcome !== LOOK_AGAIN) return outcome as Status;
    getReadBatch(mapping, iocb, count, batch);
  }
}

/** The page that ended the batch: start read-ahead at its mark, wait until it is read. Returns: 0, an error or LOOK_AGAIN. */
function* readyLastPage(
  task: UserTask,
  iocb: Kiocb,
  mapping: FileMapping,
  batch: readonly Pfn[],
  end: number,
): MaySleep<number> {
  const { mem } = mapping;
  const frame = batch[batch.length - 1];
  if ((mem.flags[frame] & PG_READAHEAD) !== 0) {
    if ((iocb.flags & IOCB_NOIO) !== 0) return err(EAGAIN);
    yield* pageCacheAsyncReadahead(task, mapping, iocb.file.ra, frame, end - mem.index[frame]);
    if (isOvertaken(task, mapping)) yield PREEMPT;
  }
  return (mem.flags[frame] & PG_UPTODATE) !== 0 ? 0 : yield* filemapUpdatePage(task, iocb, mapping, frame);
}

/** Does somebody else read what is there, now that its mark is gone, before the task copies it? */
export function isOvertaken({ world }: UserTask, { ino }: FileMapping): boolean {
  return world.chooseCircumstance("unmarked", 2, `${ino}`) === 1;
}

/** A cached page that is not uptodate: wait for its read, or read it. Linux: filemap_update_page() */
function* filemapUpdatePage(task: UserTask, iocb: Kiocb, mapping: FileMapping, frame: Pfn): MaySleep<number> {
  const { mem } = mapping;
  // The disk may be done with it by now.
  if (task.world.interrupts) yield PREEMPT;
  if (!trylockPage(task, mem, frame)) {
    if ((iocb.flags & (IOCB_NOWAIT | IOCB_NOIO)) !== 0) return err(EAGAIN);
    yield* waitOnPageLocked(mem, frame);
    return LOOK_AGAIN;
  }
  if (pageMapping(mem, frame) !== mapping) {
    unlockPage(mem, frame);
    return LOOK_AGAIN;
  }
  if ((mem.flags[frame] & PG_UPTODATE) !== 0) {
    unlockPage(mem, frame);
    return 0;
  }
  if ((iocb.flags & (IOCB_NOIO | IOCB_NOWAIT)) !== 0) {
    unlockPage(mem, frame);
    return err(EAGAIN);
  }
  return yield* filemapReadFolio(task, mapping, frame);
}

/**
 * Read one locked page and wait for it.
 *
 * Context: sleeps. Returns: 0, or -EIO; the page is unlocked.
 * Linux: filemap_read_folio()
 */
export function* filemapReadFolio(task: UserTask, mapping: FileMapping, frame: Pfn): MaySleep<Status> {
  const { mem } = mapping;
  const status = yield* mapping.ops.readFolio(task, mapping, frame);
  if (status !== 0) return status;
  yield* waitOnPageLocked(mem, frame);
  return (mem.flags[frame] & PG_UPTODATE) !== 0 ? 0 : err(EIO);
}

/** Read-ahead did not bring the page: make it and read it alone. Linux: filemap_create_folio() */
function* filemapCreatePage(task: UserTask, mapping: FileMapping, index: number, batch: Pfn[]): MaySleep<number> {
  const frame = yield* addNewPage(task, mapping, index);
  if (frame === 0) return mapping.find(index) !== 0 ? LOOK_AGAIN : err(ENOMEM);
  const status = yield* filemapReadFolio(task, mapping, frame);
  if (status === 0) batch.push(frame);
  else putPage(mapping.mem, frame);
  return status;
}
