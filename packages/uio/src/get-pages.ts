// The pages behind an iterator (lib/iov_iter.c): what direct I/O reads into and writes from.
//
// User memory is walked by get_user_pages, which sleeps and may fault; a PageGrabber says which, to the
// compiler, too. Of iovec and bvec only the first segment that is not empty is looked at, so callers loop.
// Each page comes with a reference, which the caller drops: putUserPages.

import {
  type Bytes,
  bugOn,
  checkInteger,
  EFAULT,
  err,
  type Faulting,
  MAX_RW_COUNT,
  offsetInPage,
  PAGE_SIZE,
  type Pfn,
  pageIndex,
  pageStart,
  pagesFor,
  type Sleep,
  type Ssize,
  bytes as toBytes,
} from "@faultline/kernel";
import {
  FOLL_NOFAULT,
  FOLL_PIN,
  FOLL_WRITE,
  getPage,
  getUserPagesFast,
  getUserPagesFastOnly,
  getUserPagesNofault,
  type PhysMem,
  pageAddress,
  pageOf,
  type UserTask,
} from "@faultline/mm";
import { atEndOfBatch, enterNextBatch, folioSize, iovIterAdvance } from "./advance.ts";
import type { FolioQueue } from "./folio-queue.ts";
import { type IovIter, ITER_DEST, type PipeCursor, userBackedIter } from "./iov-iter.ts";
import { firstSegment } from "./iterate.ts";
import { pipeBuf } from "./pipe-buffers.ts";
import { pipeSpace, pipeStart, pushPipe } from "./pipe-iter.ts";

/** How user pages are collected; `Y` is what that may yield besides sleeping. Kernel-backed kinds ignore it. */
export type PageGrabber<Y> = (
  task: UserTask,
  start: number,
  count: number,
  gupFlags: number,
  pages: Pfn[],
) => Generator<Sleep | Y, number, void>;

/** Pages that are not there are faulted in, unless the iterator is `nofault`. */
export const GRAB_FAULTING: PageGrabber<Faulting> = getUserPagesFast;
/** Pages that are not there are -EFAULT; for `nofault` iterators only. */
export const GRAB_NOFAULT: PageGrabber<never> = getUserPagesNofault;
/** Pages that the fast walk does not find are not looked for: the `noio` iterators of July 2021. */
export const GRAB_FAST_ONLY: PageGrabber<never> = function* (task, start, count, gupFlags, pages) {
  return getUserPagesFastOnly(task, start, count, gupFlags, pages);
};

export interface IterPages {
  /** Bytes of the iterator that the pages hold, 0 when none remain, or an error. */
  readonly bytes: Ssize;
  readonly pages: Pfn[];
  /** Where those bytes begin in the first page. */
  readonly start: number;
}

/**
 * Take references to the pages of the next `maxsize` bytes, `maxpages` at most. The iterator does not move.
 *
 * Context: as `grab` says; sleeps. Returns: bytes, or -EFAULT or what get_user_pages returns.
 * Linux:   iov_iter_get_pages(), until 5.19
 */
export function* iovIterGetPages<Y>(
  task: UserTask,
  i: IovIter,
  maxsize: number,
  maxpages: number,
  grab: PageGrabber<Y>,
): Generator<Sleep | Y, IterPages, void> {
  const size = Math.min(checkInteger(maxsize, "maxsize", 0), i.count, MAX_RW_COUNT);
  if (checkInteger(maxpages, "maxpages", 0) === 0 || size === 0) return NO_PAGES;
  const { mem } = task.mm;
  if (userBackedIter(i)) return yield* userPages(task, i, size, maxpages, 0, grab);
  if (i.kind === "bvec") return withReferences(mem, firstSegmentPages(i, size, maxpages));
  if (i.kind === "folioq") return withReferences(mem, folioqPages(i, size, maxpages));
  if (i.kind === "xarray") return withReferences(mem, xarrayPages(i, size, maxpages));
  if (i.kind === "pipe") return withReferences(mem, yield* pipePages(task, i, size, maxpages));
  return failed(err(EFAULT));
}

/**
 * The same, and the iterator moves by the bytes returned.
 *
 * Context: as `grab` says; sleeps. Returns: see iovIterGetPages; the iterator moves only by what is positive.
 * Linux:   iov_iter_get_pages2(), since 6.0
 */
export function* iovIterGetPages2<Y>(
  task: UserTask,
  i: IovIter,
  maxsize: number,
  maxpages: number,
  grab: PageGrabber<Y>,
): Generator<Sleep | Y, IterPages, void> {
  const got = yield* iovIterGetPages(task, i, maxsize, maxpages, grab);
  if (got.bytes > 0) iovIterAdvance(i, got.bytes);
  return got;
}

/**
 * iovIterGetPages2 with as many pages as it takes.
 *
 * Context: as `grab` says; sleeps. Returns: see there; `pages` is null unless there are bytes.
 * Linux:   iov_iter_get_pages_alloc2(), since 6.0
 */
export function* iovIterGetPagesAlloc2<Y>(
  task: UserTask,
  i: IovIter,
  maxsize: number,
  grab: PageGrabber<Y>,
): Generator<Sleep | Y, Omit<IterPages, "pages"> & { readonly pages: Pfn[] | null }, void> {
  const got = yield* iovIterGetPages2(task, i, maxsize, Number.MAX_SAFE_INTEGER, grab);
  return got.bytes > 0 ? got : { ...got, pages: null };
}

/**
 * Take the pages of the next bytes for I/O that goes on while nobody holds the iterator: those of user memory
 * are pinned, others come without a reference, as whoever made the iterator keeps them.
 *
 * Of several bvec segments, those are taken together that leave no gap at page edges.
 *
 * Context: as `grab` says; sleeps. Returns: see iovIterGetPages2.
 * Linux:   iov_iter_extract_pages(), since 6.3
 */
export function* iovIterExtractPages<Y>(
  task: UserTask,
  i: IovIter,
  maxsize: number,
  maxpages: number,
  grab: PageGrabber<Y>,
): Generator<Sleep | Y, IterPages, void> {
  const size = Math.min(checkInteger(maxsize, "maxsize", 0), i.count, MAX_RW_COUNT);
  if (checkInteger(maxpages, "maxpages", 0) === 0 || size === 0) return NO_PAGES;
  const got = userBackedIter(i)
    ? yield* userPages(task, i, size, maxpages, FOLL_PIN, grab)
    : extractKernelPages(i, size, maxpages);
  if (got.bytes > 0) iovIterAdvance(i, got.bytes);
  return got;
}

/** Must the pages be unpinned afterwards? Linux: iov_iter_extract_will_pin() */
export function iovIterExtractWillPin(i: IovIter): boolean {
  return userBackedIter(i);
}

function extractKernelPages(i: IovIter, size: number, maxpages: number): IterPages {
  if (i.kind === "kvec") return firstSegmentPages(i, size, maxpages);
  if (i.kind === "bvec") return bvecPages(i, size, maxpages);
  if (i.kind === "folioq") return folioqPages(i, size, maxpages);
  return i.kind === "xarray" ? xarrayPages(i, size, maxpages) : failed(err(EFAULT));
}

function* userPages<Y>(
  task: UserTask,
  i: IovIter,
  size: number,
  maxpages: number,
  extraFlags: number,
  grab: PageGrabber<Y>,
): Generator<Sleep | Y, IterPages, void> {
  bugOn(grab === GRAB_NOFAULT && !i.nofault, "pages taken without faulting, but the iterator is not nofault");
  let flags = extraFlags;
  if (i.dataSource === ITER_DEST) flags |= FOLL_WRITE;
  if (i.nofault) flags |= FOLL_NOFAULT;
  const { base, len } = firstSegment(i);
  const start = offsetInPage(base);
  const wanted = Math.min(size, len);
  const pages: Pfn[] = [];
  const got = yield* grab(task, pageStart(base), Math.min(pagesFor(wanted + start), maxpages), flags, pages);
  if (got <= 0) return { bytes: got as Ssize, pages, start };
  return { bytes: toBytes(Math.min(wanted, got * PAGE_SIZE - start)), pages, start };
}

function firstSegmentPages(i: IovIter, size: number, maxpages: number): IterPages {
  const { base, len } = firstSegment(i);
  const start = offsetInPage(base);
  const wanted = Math.min(size, len, maxpages * PAGE_SIZE - start);
  const pages: Pfn[] = [];
  for (let at = pageStart(base); at < base + wanted; at += PAGE_SIZE) pages.push(pageOf(at));
  return { bytes: toBytes(wanted), pages, start };
}

function bvecPages(i: IovIter, size: number, maxpages: number): IterPages {
  const pages: Pfn[] = [];
  let start = 0;
  let done = 0;
  for (let segment = i.segment, skip = i.iovOffset; done < size && pages.length < maxpages; ) {
    const { base, len } = i.segments[segment];
    const offset = offsetInPage(base + skip);
    const part = Math.min(size - done, len - skip, PAGE_SIZE - offset);
    if (part > 0) {
      if (pages.length > 0 && offset > 0) break;
      if (pages.length === 0) start = offset;
      pages.push(pageOf(base + skip));
      done += part;
      if (offset + part < PAGE_SIZE) break;
    }
    skip += part;
    if (skip < len) continue;
    segment++;
    skip = 0;
  }
  return { bytes: toBytes(done), pages, start };
}

function folioqPages(i: IovIter, size: number, maxpages: number): IterPages {
  const { folioq, segment, iovOffset, count } = i;
  const start = offsetInPage(iovOffset);
  const pages: Pfn[] = [];
  let done = 0;
  enterNextBatch(i);
  while (done < size && pages.length < maxpages && !atEndOfBatch(i)) {
    const part = Math.min(size - done, folioSize(i) - i.iovOffset, PAGE_SIZE - offsetInPage(i.iovOffset));
    const { page } = (i.folioq as FolioQueue).folios[i.segment];
    if (part > 0) pages.push(pageOf(pageAddress(page) + i.iovOffset));
    done += part;
    iovIterAdvance(i, part);
  }
  i.folioq = folioq;
  i.segment = segment;
  i.iovOffset = iovOffset;
  i.count = count;
  return { bytes: toBytes(done), pages, start };
}

/** As far as the page cache has the pages without a gap. */
function xarrayPages(i: IovIter, size: number, maxpages: number): IterPages {
  const { mapping, start: begin } = i.xarray as NonNullable<IovIter["xarray"]>;
  const position = begin + i.iovOffset;
  const start = offsetInPage(position);
  const pages: Pfn[] = [];
  for (let index = pageIndex(position); pages.length < Math.min(maxpages, pagesFor(start + size)); index++) {
    const page = mapping.find(index);
    if (page === 0) break;
    pages.push(page);
  }
  if (pages.length === 0) return NO_PAGES;
  return { bytes: toBytes(Math.min(size, pages.length * PAGE_SIZE - start)), pages, start };
}

/** Room in the pipe; -EFAULT when it is full. */
function* pipePages(task: UserTask, i: IovIter, size: number, maxpages: number): Generator<Sleep, IterPages, void> {
  const { buffers } = i.pipe as PipeCursor;
  const { head, offset: start } = pipeStart(i);
  const capacity = Math.min(pipeSpace(i), maxpages) * PAGE_SIZE - start;
  const room = yield* pushPipe(task, i, Math.min(size, capacity));
  if (room <= 0) return failed(err(EFAULT));
  const pages: Pfn[] = [];
  for (let n = 0; n < pagesFor(start + room); n++) pages.push(pipeBuf(buffers, head + n).page);
  return { bytes: toBytes(room), pages, start };
}

const NO_PAGES: IterPages = { bytes: 0 as Bytes, pages: [], start: 0 };

function failed(error: Ssize): IterPages {
  return { bytes: error, pages: [], start: 0 };
}

function withReferences(mem: PhysMem, got: IterPages): IterPages {
  for (const page of got.pages) getPage(mem, page);
  return got;
}
