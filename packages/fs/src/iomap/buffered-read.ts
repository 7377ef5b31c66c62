// Reading pages from disk through iomap (fs/iomap/buffered-io.c): read-ahead and single pages.
//
// Holes and what lies behind the end of the file are zeroed at once; the rest goes to the disk in requests
// of neighbouring blocks, and the pages are unlocked when their request is over.

import { Completion, type MaySleep, PAGE_SIZE, type Pfn, type Status } from "@faultline/kernel";
import {
  describePage,
  leaveLockToRequest,
  PG_UPTODATE,
  pageAddress,
  putPage,
  type UserTask,
  unlockPage,
} from "@faultline/mm";
import type { ReadaheadControl } from "../cache/readahead.ts";
import { segmentsOf } from "../disk/bio.ts";
import type { FileMapping } from "../vfs/inode.ts";
import { IOMAP_F_NEW, IOMAP_INLINE, IOMAP_MAPPED, IOMAP_READ, IomapIter, type IomapOps, iomapIter } from "./iomap.ts";

/** Does the block at `pos` hold nothing on disk that a reader should see? Linux: iomap_block_needs_zeroing() */
export function blockNeedsZeroing(iter: IomapIter, pos: number): boolean {
  const { iomap } = iter;
  return iomap.type !== IOMAP_MAPPED || (iomap.flags & IOMAP_F_NEW) !== 0 || pos >= iter.inode.size;
}

/** Pages that go to the disk in one request. */
interface ReadRequest {
  readonly frames: Pfn[];
  index: number;
  /** Disk block that would continue the request. */
  nextBlock: number;
}

/** Pages of one request at most. Linux: BIO_MAX_VECS */
const MAX_FRAMES = 256;

/**
 * Start reading the pages of a read-ahead window. Takes the references and locks of the pages over.
 *
 * Context: sleeps (mapping). Linux: iomap_readahead()
 */
export function* iomapReadahead(task: UserTask, rac: ReadaheadControl, ops: IomapOps): MaySleep<void> {
  const { mapping, index, frames } = rac;
  const iter = new IomapIter(mapping.host, index * PAGE_SIZE, frames.length * PAGE_SIZE, IOMAP_READ);
  let request: ReadRequest = { frames: [], index, nextBlock: 0 };
  let done = 0;
  while ((yield* iomapIter(task, iter, ops)) > 0) {
    if (iter.iomap.type === IOMAP_INLINE) break;
    const pages = Math.ceil(iter.length / PAGE_SIZE);
    for (let i = 0; i < pages; i++) {
      const at = index + done + i;
      const block = iter.iomap.addr + at - Math.floor(iter.iomap.offset / PAGE_SIZE);
      const neighbour = request.index + request.frames.length === at && request.nextBlock === block;
      if (request.frames.length > 0 && (!neighbour || request.frames.length === MAX_FRAMES)) {
        submitRead(mapping, request, true);
        request = { frames: [], index: at, nextBlock: 0 };
      }
      if (request.frames.length === 0) request.index = at;
      if (readPageOf(mapping, iter, frames[done + i], at, request)) {
        request.nextBlock = block + 1;
      } else {
        unlockPage(mapping.mem, frames[done + i]);
        putPage(mapping.mem, frames[done + i]);
      }
    }
    done += pages;
    iter.processed = Math.min(pages * PAGE_SIZE, iter.length);
  }
  submitRead(mapping, request, true);
  frames.splice(0, done);
}

/**
 * Start reading one locked page; it is unlocked when that is over.
 *
 * Context: sleeps (mapping). Returns: 0, or an error and the page is unlocked.
 * Linux: iomap_read_folio()
 */
export function* iomapReadFolio(task: UserTask, mapping: FileMapping, frame: Pfn, ops: IomapOps): MaySleep<Status> {
  const { mem } = mapping;
  const index = mem.index[frame];
  const iter = new IomapIter(mapping.host, index * PAGE_SIZE, PAGE_SIZE, IOMAP_READ);
  const request: ReadRequest = { frames: [], index, nextBlock: 0 };
  let status: number;
  while ((status = yield* iomapIter(task, iter, ops)) > 0) {
    if (iter.iomap.type === IOMAP_INLINE) iter.processed = readInline(mapping, iter, frame);
    else {
      if (iter.pos === index * PAGE_SIZE) readPageOf(mapping, iter, frame, index, request);
      iter.processed = iter.length;
    }
  }
  if (status < 0) {
    unlockPage(mem, frame);
    return status as Status;
  }
  if (request.frames.length === 0) unlockPage(mem, frame);
  submitRead(mapping, request, false);
  return 0;
}

/**
 * Read one locked page and keep it locked. Context: sleeps. Returns: 0 or an error.
 *
 * Linux: iomap_read_folio_sync()
 */
export function* readPageSync(mapping: FileMapping, frame: Pfn): MaySleep<Status> {
  const done = new Completion(`read of ${describePage(mapping.mem, frame)}`);
  let result: Status = 0;
  const inode = mapping.host;
  inode.sb.submitRead(inode, mapping.mem.index[frame] * PAGE_SIZE, segmentsOf([frame], PAGE_SIZE), (status) => {
    result = status;
    done.complete();
  });
  while (!done.isReady()) yield done;
  return result;
}

/** Fill a page from the bytes that lie with the metadata. Returns: what iomap is told of it, by version. Linux: iomap_read_inline_data() */
function readInline(mapping: FileMapping, iter: IomapIter, frame: Pfn): number {
  const { mem, host } = mapping;
  const start = pageAddress(frame);
  mem.world.accesses?.write(mem.pageId(frame));
  mem.world.accesses?.write(mem.bytesId(frame));
  mem.u8.fill(0, start, start + PAGE_SIZE);
  mem.u8.set((iter.iomap.inlineData as Uint8Array).subarray(0, host.size), start);
  mem.flags[frame] |= PG_UPTODATE;
  const { inlineReadCounts } = host.sb.iomap;
  return inlineReadCounts === "page" ? PAGE_SIZE : inlineReadCounts === "bytes" ? iter.length : 0;
}

/** Zero a page now, or add it to the request. */
function readPageOf(mapping: FileMapping, iter: IomapIter, frame: Pfn, index: number, request: ReadRequest): boolean {
  const { mem } = mapping;
  const pos = index * PAGE_SIZE;
  if (blockNeedsZeroing(iter, pos)) {
    mem.world.accesses?.write(mem.pageId(frame));
    mem.world.accesses?.write(mem.bytesId(frame));
    mem.u8.fill(0, pageAddress(frame), pageAddress(frame) + PAGE_SIZE);
    mem.flags[frame] |= PG_UPTODATE;
    return false;
  }
  request.frames.push(frame);
  return true;
}

/** Send the request; each page is unlocked when it is over, and uptodate if it went well. */
function submitRead(mapping: FileMapping, request: ReadRequest, dropReferences: boolean): void {
  const { mem, host } = mapping;
  const { frames, index } = request;
  if (frames.length === 0) return;
  for (const frame of frames) leaveLockToRequest(mem, frame);
  host.sb.submitRead(host, index * PAGE_SIZE, segmentsOf(frames, frames.length * PAGE_SIZE), (status) => {
    for (const frame of frames) {
      if (status === 0) mem.flags[frame] |= PG_UPTODATE;
      mem.world.accesses?.write(mem.pageId(frame));
      unlockPage(mem, frame);
      if (dropReferences) putPage(mem, frame);
    }
  });
}
