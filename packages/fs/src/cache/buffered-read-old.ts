// Reading through the page cache until 5.11 (mm/filemap.c): generic_file_buffered_read.

import {
  EAGAIN,
  EFAULT,
  EINTR,
  EINVAL,
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
  lockPage,
  markPageAccessed,
  PG_READAHEAD,
  PG_UPTODATE,
  pageMapping,
  putPage,
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
import { filemapReadFolio, isOvertaken, pinsPages } from "./filemap-read.ts";
import { addNewPage, findGetPage } from "./page-cache.ts";
import { pinPages, unpinPages } from "./page-pins.ts";
import { pageCacheAsyncReadahead, pageCacheSyncReadahead } from "./readahead.ts";

/**
 * What filemapRead does, page by page, and with three differences that show. A marked page under IOCB_NOIO
 * ends the read without an error; i_size is looked at only when a page is at hand, so that the page behind
 * the end is read; a page is read with the buffer's fault under way.
 *
 * Linux: generic_file_buffered_read()
 */
export function* genericFileBufferedRead<Y>(
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
  const last = pageIndex(iocb.pos + to.count - 1) + 1;
  const pins = pinsPages(iocb, user);
  task.world.accesses?.read(ra.id);
  let lastPos = ra.prevPos;
  let read = 0;
  let error: Status = 0;
  for (;;) {
    if (task.world.preemptible) yield PREEMPT;
    if (task.fatalSignal) {
      error = err(EINTR);
      break;
    }
    const index = pageIndex(iocb.pos);
    const frame = findGetPage(mapping, index);
    const ready = yield* readyPage(task, iocb, mapping, index, last, frame);
    if (ready < 0) {
      error = ready === STOP_READING ? 0 : (ready as Status);
      break;
    }
    if (ready === 0) continue;
    const page = ready as Pfn;
    const { size } = inode;
    const bytes = Math.min(PAGE_SIZE - offsetInPage(iocb.pos), size - iocb.pos, to.count);
    if (bytes <= 0) {
      putPage(mem, page);
      break;
    }
    const sameAsLast = lastPos >= 0 && pageIndex(lastPos) === index && offsetInPage(lastPos) === offsetInPage(iocb.pos);
    if (!sameAsLast) markPageAccessed(mem, page);
    const offset = offsetInPage(iocb.pos);
    if (pins) pinPages(task, mapping);
    const first = user.faults ? 0 : copyIsInterrupted(task, to, bytes);
    const copied = user.faults
      ? yield* copyPageToIter(task, page, offset, bytes, to, user)
      : first > 0
        ? yield* copyPageInTwo(task, page, offset, bytes, to, first)
        : copyPageToIterAtomic(task, page, offset, bytes, to);
    putPage(mem, page);
    if (pins) unpinPages(task, mapping);
    read += copied;
    iocb.pos += copied;
    // The page that was read and the place in it where the read ended: not the position.
    lastPos = index * PAGE_SIZE + offsetInPage(iocb.pos);
    if (to.count === 0) break;
    if (copied < bytes) {
      error = err(EFAULT);
      break;
    }
  }
  task.world.accesses?.write(ra.id);
  ra.prevPos = lastPos;
  return (read > 0 ? read : error) as Ssize;
}

/** Not an errno: end the read with what there is. */
const STOP_READING = -4096;

/** Returns: the uptodate page with a reference; 0 to look again; an error or STOP_READING. */
function* readyPage(
  task: UserTask,
  iocb: Kiocb,
  mapping: FileMapping,
  index: number,
  last: number,
  found: Pfn,
): MaySleep<number> {
  const { mem } = mapping;
  const { ra } = iocb.file;
  let frame = found;
  if (frame === 0) {
    if ((iocb.flags & IOCB_NOIO) !== 0) return err(EAGAIN);
    yield* pageCacheSyncReadahead(task, mapping, ra, index, last - index);
    if (task.world.preemptible) yield PREEMPT;
    frame = findGetPage(mapping, index);
    if (frame === 0) {
      frame = yield* addNewPage(task, mapping, index);
      if (frame === 0) return mapping.find(index) !== 0 ? 0 : err(ENOMEM);
      return yield* readOrDrop(task, mapping, frame);
    }
  }
  mem.world.accesses?.read(mem.pageId(frame));
  if ((mem.flags[frame] & PG_READAHEAD) !== 0) {
    if ((iocb.flags & IOCB_NOIO) !== 0) {
      putPage(mem, frame);
      return STOP_READING;
    }
    yield* pageCacheAsyncReadahead(task, mapping, ra, frame, last - index);
    if (isOvertaken(task, mapping)) yield PREEMPT;
  }
  if ((mem.flags[frame] & PG_UPTODATE) !== 0) return frame;
  if ((iocb.flags & (IOCB_NOWAIT | IOCB_NOIO)) !== 0) {
    putPage(mem, frame);
    return err(EAGAIN);
  }
  yield* waitOnPageLocked(mem, frame);
  if ((mem.flags[frame] & PG_UPTODATE) !== 0) return frame;
  yield* lockPage(task, mem, frame);
  if (pageMapping(mem, frame) !== mapping || (mem.flags[frame] & PG_UPTODATE) !== 0) {
    unlockPage(mem, frame);
    putPage(mem, frame);
    return 0;
  }
  return yield* readOrDrop(task, mapping, frame);
}

function* readOrDrop(task: UserTask, mapping: FileMapping, frame: Pfn): MaySleep<number> {
  const status = yield* filemapReadFolio(task, mapping, frame);
  if (status === 0) return frame;
  putPage(mapping.mem, frame);
  return status;
}
