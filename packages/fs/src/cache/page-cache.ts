// Finding, adding and removing pages of a file (mm/filemap.c, mm/truncate.c).
//
// Lock order:
//   i_rwsem
//     invalidate_lock
//       page lock

import {
  bugOn,
  EBUSY,
  err,
  type MaySleep,
  offsetInPage,
  PAGE_SIZE,
  type Pfn,
  pageIndex,
  type Status,
} from "@faultline/kernel";
import {
  allocPage,
  getPage,
  lockPage,
  lruCacheAdd,
  lruCacheDel,
  markPageAccessed,
  PG_DIRTY,
  PG_LOCKED,
  PG_WRITEBACK,
  type PhysMem,
  pageAddress,
  pageMapping,
  putPage,
  trylockPage,
  tryToUnmap,
  type UserTask,
  unlockPage,
  unmapMappingPages,
  waitOnPageWriteback,
} from "@faultline/mm";
import type { FileMapping } from "../vfs/inode.ts";

/** No page: what look-ups return. */
export const NO_PAGE = 0 as Pfn;

/** The page at an index with a reference, or NO_PAGE. Context: atomic. Linux: filemap_get_folio() */
export function findGetPage(mapping: FileMapping, index: number): Pfn {
  const frame = mapping.find(index);
  mapping.mem.world.accesses?.read(mapping.slotId(index));
  if (frame !== 0) getPage(mapping.mem, frame);
  return frame;
}

/**
 * Put a new locked page into the cache.
 *
 * Context: sleeps if memory is short. Returns: the page with a reference, or NO_PAGE if there is no memory
 * or somebody else was faster.
 * Linux: filemap_alloc_folio(), filemap_add_folio()
 */
export function* addNewPage(task: UserTask, mapping: FileMapping, index: number): MaySleep<Pfn> {
  const { mem } = mapping;
  let frame = mem.tryAllocPage(false);
  if (frame === 0) frame = yield* allocPage(task, mem, false);
  if (frame === 0) return NO_PAGE;
  if (mapping.find(index) !== 0) {
    putPage(mem, frame);
    return NO_PAGE;
  }
  trylockPage(task, mem, frame);
  mapping.add(index, frame);
  lruCacheAdd(mem, frame);
  mem.world.accesses?.write(mapping.slotId(index));
  task.world.trace?.emit(task, "mm_filemap_add_to_page_cache", mapping.ino, index, frame);
  return frame;
}

/**
 * The page at an index, locked and with a reference; made if it is missing.
 *
 * Context: sleeps. Returns: the page, or NO_PAGE if there is no memory.
 * Linux: __filemap_get_folio() with FGP_LOCK | FGP_CREAT
 */
export function* grabPage(task: UserTask, mapping: FileMapping, index: number): MaySleep<Pfn> {
  const { mem } = mapping;
  for (;;) {
    const frame = findGetPage(mapping, index);
    if (frame === 0) {
      const made = yield* addNewPage(task, mapping, index);
      if (made !== 0) return made;
      if (mapping.find(index) === 0) return NO_PAGE;
      continue;
    }
    yield* lockPage(task, mem, frame);
    if (pageMapping(mem, frame) === mapping) {
      markPageAccessed(mem, frame);
      return frame;
    }
    unlockPage(mem, frame);
    putPage(mem, frame);
  }
}

/** Take a locked page out of the cache. Context: atomic. Linux: filemap_remove_folio() */
function deletePage(task: UserTask, mapping: FileMapping, frame: Pfn): void {
  const { mem } = mapping;
  const index = mem.index[frame];
  bugOn((mem.flags[frame] & PG_LOCKED) === 0, "a page leaves the cache without its lock");
  if ((mem.flags[frame] & PG_DIRTY) !== 0) {
    mem.flags[frame] &= ~PG_DIRTY;
    mem.world.accesses?.read(mapping.dirtyId);
    mapping.nrDirty--;
    mapping.host.sb.dirty.change(-1);
  }
  mem.world.accesses?.write(mapping.slotId(index));
  task.world.trace?.emit(task, "mm_filemap_delete_from_page_cache", mapping.ino, index, frame);
  lruCacheDel(mem, frame);
  mapping.remove(frame);
}

/**
 * Remove every page from position `start` on; the rest of a page that stays is zeroed.
 *
 * The caller has lowered i_size, so that nobody brings pages back.
 *
 * Context: sleeps; no page lock held. Linux: truncate_pagecache(), truncate_inode_pages_range()
 */
export function* truncatePagecache(task: UserTask, mapping: FileMapping, start: number): MaySleep<void> {
  const first = Math.ceil(start / PAGE_SIZE);
  unmapMappingPages(task, mapping, first, ALL_PAGES - first, true);
  yield* truncateInodePages(task, mapping, start, Number.MAX_SAFE_INTEGER);
  unmapMappingPages(task, mapping, first, ALL_PAGES - first, true);
}

/**
 * Remove the pages of [start, end); parts of pages at either side are zeroed.
 *
 * Context: sleeps; no page lock held. Linux: truncate_inode_pages_range()
 */
export function* truncateInodePages(task: UserTask, mapping: FileMapping, start: number, end: number): MaySleep<void> {
  const first = Math.ceil(start / PAGE_SIZE);
  const last = end === Number.MAX_SAFE_INTEGER ? ALL_PAGES : pageIndex(end);
  yield* forEachLockedPage(task, mapping, first, last, function* (frame): MaySleep<void> {
    yield* waitOnPageWriteback(mapping.mem, frame);
    tryToUnmap(task, frame);
    deletePage(task, mapping, frame);
  });
  if (offsetInPage(start) !== 0) {
    const until = pageIndex(start) === pageIndex(end) ? offsetInPage(end) : PAGE_SIZE;
    yield* zeroPartOfPage(task, mapping, pageIndex(start), offsetInPage(start), until);
  }
  if (end !== Number.MAX_SAFE_INTEGER && offsetInPage(end) !== 0 && pageIndex(end) >= first) {
    yield* zeroPartOfPage(task, mapping, pageIndex(end), 0, offsetInPage(end));
  }
}

/** Indices stay below this. */
const ALL_PAGES = 2 ** 32;

function* zeroPartOfPage(
  task: UserTask,
  mapping: FileMapping,
  index: number,
  from: number,
  to: number,
): MaySleep<void> {
  const { mem } = mapping;
  const frame = findGetPage(mapping, index);
  if (frame === 0) return;
  yield* lockPage(task, mem, frame);
  if (pageMapping(mem, frame) === mapping) {
    yield* waitOnPageWriteback(mem, frame);
    mem.world.accesses?.write(mem.bytesId(frame));
    mem.u8.fill(0, pageAddress(frame) + from, pageAddress(frame) + to);
  }
  unlockPage(mem, frame);
  putPage(mem, frame);
}

/** Lock each page of [first, last) that is still in the file when its turn comes. */
function* forEachLockedPage(
  task: UserTask,
  mapping: FileMapping,
  first: number,
  last: number,
  visit: (frame: Pfn) => MaySleep<void>,
): MaySleep<void> {
  const { mem } = mapping;
  for (let index = mapping.pages.next(first, last); index < last; index = mapping.pages.next(index + 1, last)) {
    const frame = findGetPage(mapping, index);
    yield* lockPage(task, mem, frame);
    if (pageMapping(mem, frame) === mapping) yield* visit(frame);
    unlockPage(mem, frame);
    putPage(mem, frame);
  }
}

/** Is a cached page clean, unmapped and unused? Context: atomic. Linux: mapping_evict_folio() */
export function isDroppable(mem: PhysMem, frame: Pfn): boolean {
  const busy = (mem.flags[frame] & (PG_LOCKED | PG_DIRTY | PG_WRITEBACK)) !== 0;
  return !busy && mem.mapcount[frame] === 0 && mem.refcount[frame] === 1;
}

/**
 * Drop the clean, unmapped, unused pages of [first, last]; the others stay.
 *
 * Context: sleeps. Linux: invalidate_mapping_pages(), as posix_fadvise(DONTNEED) calls it
 */
export function invalidateMappingPages(task: UserTask, mapping: FileMapping, first: number, last: number): void {
  const { mem } = mapping;
  mapping.pages.forEach(first, last + 1, (_index, entry) => {
    const frame = entry as Pfn;
    mem.world.accesses?.write(mapping.slotId(mem.index[frame]));
    mem.world.accesses?.write(mem.pageId(frame));
    if (!isDroppable(mem, frame)) return;
    trylockPage(task, mem, frame);
    getPage(mem, frame);
    deletePage(task, mapping, frame);
    unlockPage(mem, frame);
    putPage(mem, frame);
  });
}

/**
 * Drop all pages of [first, last], mapped ones included; private copies of them stay.
 *
 * Context: sleeps; no page lock held.
 * Returns: 0, or -EBUSY if a page could not go because it is dirty again.
 * Linux: invalidate_inode_pages2_range()
 */
export function* invalidateInodePages2(
  task: UserTask,
  mapping: FileMapping,
  first: number,
  last: number,
): MaySleep<Status> {
  const { mem } = mapping;
  let status: Status = 0;
  // The whole range goes in one sweep when its first mapped page is met; stragglers go one by one.
  unmapMappingPages(task, mapping, first, last - first + 1, false);
  yield* forEachLockedPage(task, mapping, first, last + 1, function* (frame): MaySleep<void> {
    yield* waitOnPageWriteback(mem, frame);
    tryToUnmap(task, frame);
    mem.world.accesses?.write(mapping.slotId(mem.index[frame]));
    // References of others are no obstacle: they keep the bytes of before.
    if ((mem.flags[frame] & PG_DIRTY) !== 0) status = err(EBUSY);
    else deletePage(task, mapping, frame);
  });
  return status;
}

/** Forget every page of a file that nobody can reach any more, dirty or not. Context: atomic. */
export function dropAllPages(task: UserTask, mapping: FileMapping): void {
  const { mem } = mapping;
  mapping.pages.forEach(0, ALL_PAGES, (_index, entry) => {
    const frame = entry as Pfn;
    getPage(mem, frame);
    mem.flags[frame] |= PG_LOCKED;
    deletePage(task, mapping, frame);
    unlockPage(mem, frame);
    putPage(mem, frame);
  });
}
