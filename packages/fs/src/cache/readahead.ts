// Reading ahead: how many pages to bring in when one is missing (mm/readahead.c).
//
// A window of pages is read; the page at the start of its last part is marked, and whoever meets the mark
// starts the next, larger window. `sync` is for a page that is missing, `async` for a page with the mark.

import { type MaySleep, PAGE_SIZE, type Pfn, PREEMPT } from "@faultline/kernel";
import { PG_READAHEAD, PG_WRITEBACK, putPage, type UserTask, unlockPage } from "@faultline/mm";
import type { FileRaState } from "../vfs/file.ts";
import type { FileMapping } from "../vfs/inode.ts";
import { addNewPage, NO_PAGE } from "./page-cache.ts";

/** A batch of new, locked pages next to each other. Linux: struct readahead_control */
export interface ReadaheadControl {
  readonly mapping: FileMapping;
  readonly index: number;
  /** Each with a reference, which the file's readahead drops or hands to its request. */
  readonly frames: Pfn[];
}

/** Rules that changed: see each field. */
export interface ReadaheadRevision {
  /** Pages of the largest window (read_ahead_kb / 4). */
  readonly raPages: number;
  /** Largest request of the device in pages (max_sectors_kb / 4): a large read may ask for as much at once. */
  readonly ioPages: number;
  /** Since 6.10 a missing page never continues the old window, and a stream is recognised by what is cached. */
  readonly splitSyncAsync: boolean;
  /** After a read larger than the largest window, the next window is small again: until 6.11 and the updates of 6.1. */
  readonly windowsShrink: boolean;
  /** A window that reaches the end of the file gets a mark too, although nothing can follow: not on 7.2. */
  readonly marksLastWindow: boolean;
  /** Read-ahead sees how far the read that needs it has come, not only where the one before ended: 5.12 to 6.x. */
  readonly seesProgress: boolean;
  /** The window that a mark starts ends at a multiple of so many pages, if it can: of four on 7.2, and not yet on 6.12. */
  readonly markedEndsAt: number;
  /** Who looks for the next missing page, and finds none within a window, takes the last one that it looked at: not on 6.12. */
  readonly nextMissMayBeCached: boolean;
  /** The same backwards: not on 7.2. */
  readonly prevMissMayBeCached: boolean;
}

/**
 * A page is missing: read it and what probably comes next.
 *
 * Context: sleeps. Linux: page_cache_sync_ra(), page_cache_sync_readahead()
 */
export function* pageCacheSyncReadahead(
  task: UserTask,
  mapping: FileMapping,
  ra: FileRaState,
  index: number,
  requested: number,
): MaySleep<void> {
  task.world.accesses?.write(ra.id);
  if (ra.random) yield* forcePageCacheReadahead(task, mapping, ra, index, requested);
  else if (mapping.host.sb.readahead.splitSyncAsync) yield* syncSince610(task, mapping, ra, index, requested);
  else yield* ondemandReadahead(task, mapping, ra, false, index, requested);
}

/**
 * A page with the mark was met: clear the mark and read the next window.
 *
 * Context: sleeps. Linux: page_cache_async_ra(), page_cache_async_readahead()
 */
export function* pageCacheAsyncReadahead(
  task: UserTask,
  mapping: FileMapping,
  ra: FileRaState,
  frame: Pfn,
  requested: number,
): MaySleep<void> {
  const { flags, index } = mapping.mem;
  task.world.accesses?.write(mapping.mem.pageId(frame));
  task.world.accesses?.write(ra.id);
  if ((flags[frame] & PG_WRITEBACK) !== 0) return;
  flags[frame] &= ~PG_READAHEAD;
  if (mapping.host.sb.readahead.splitSyncAsync) yield* asyncSince610(task, mapping, ra, index[frame], requested);
  else yield* ondemandReadahead(task, mapping, ra, true, index[frame], requested);
}

/** Until 6.9. Linux: ondemand_readahead() */
function* ondemandReadahead(
  task: UserTask,
  mapping: FileMapping,
  ra: FileRaState,
  marked: boolean,
  index: number,
  requested: number,
): MaySleep<void> {
  const max = maxPages(mapping, ra, requested);
  const previous = Math.floor(ra.prevPos / PAGE_SIZE);
  if (index !== 0 && (index === ra.start + ra.size - ra.asyncSize || index === ra.start + ra.size)) {
    // Sequential, as foreseen: the next window.
    ra.start += ra.size;
    ra.size = nextWindow(mapping, ra.size, max);
    ra.asyncSize = ra.size;
  } else if (index !== 0 && marked) {
    if (!continueBehindCached(mapping, ra, index, requested, max)) return;
  } else if (index === 0 || requested > max || (index - previous >= 0 && index - previous <= 1)) {
    ra.start = index;
    ra.size = initialSize(requested, max);
    ra.asyncSize = ra.size > requested ? ra.size - requested : ra.size;
  } else if (!contextReadahead(mapping, ra, index, requested, max)) {
    yield* readWindow(task, mapping, index, requested, 0);
    return;
  }
  if (index === ra.start && ra.size === ra.asyncSize) {
    // This read would meet its own mark: take the next window along now.
    const more = nextSize(ra.size, max);
    if (ra.size + more <= max) {
      ra.asyncSize = more;
      ra.size += more;
    } else {
      ra.size = max;
      ra.asyncSize = Math.floor(max / 2);
    }
  }
  yield* readWindow(task, mapping, ra.start, ra.size, ra.asyncSize);
}

/** Linux: page_cache_sync_ra() since 6.10 */
function* syncSince610(
  task: UserTask,
  mapping: FileMapping,
  ra: FileRaState,
  index: number,
  requested: number,
): MaySleep<void> {
  const max = maxPages(mapping, ra, requested);
  const previous = Math.floor(ra.prevPos / PAGE_SIZE);
  if (index === 0 || requested > max || (index - previous >= 0 && index - previous <= 1)) {
    ra.start = index;
    ra.size = initialSize(requested, max);
    ra.asyncSize = ra.size > requested ? ra.size - requested : ra.size >> 1;
  } else if (!contextReadahead(mapping, ra, index, requested, max)) {
    yield* readWindow(task, mapping, index, requested, 0);
    return;
  }
  yield* readWindow(task, mapping, ra.start, ra.size, ra.asyncSize);
}

/** Linux: page_cache_async_ra() since 6.10 */
function* asyncSince610(
  task: UserTask,
  mapping: FileMapping,
  ra: FileRaState,
  index: number,
  requested: number,
): MaySleep<void> {
  const max = maxPages(mapping, ra, requested);
  if (index === ra.start + ra.size - ra.asyncSize) {
    ra.start += ra.size;
    ra.size = nextWindow(mapping, ra.size, max);
  } else if (!continueBehindCached(mapping, ra, index, requested, max)) {
    return;
  }
  const over = (ra.start + ra.size) % mapping.host.sb.readahead.markedEndsAt;
  if (over < ra.size) ra.size -= over;
  ra.asyncSize = ra.size;
  yield* readWindow(task, mapping, ra.start, ra.size, ra.asyncSize);
}

/** A mark without a window that it belongs to: go on behind what is cached. Returns: false to leave it. */
function continueBehindCached(
  mapping: FileMapping,
  ra: FileRaState,
  index: number,
  requested: number,
  max: number,
): boolean {
  // Linux: page_cache_next_miss()
  const last = index + max + (mapping.host.sb.readahead.nextMissMayBeCached ? 0 : 1);
  let start = index + 1;
  while (start < last && mapping.find(start) !== 0) start++;
  if (start - index > max) return false;
  ra.start = start;
  ra.size = nextSize(start - index + requested, max);
  ra.asyncSize = ra.size;
  return true;
}

/** Pages cached right before a miss look like a stream. Linux: try_context_readahead() */
function contextReadahead(
  mapping: FileMapping,
  ra: FileRaState,
  index: number,
  requested: number,
  max: number,
): boolean {
  // Linux: page_cache_prev_miss()
  const most = max - (mapping.host.sb.readahead.prevMissMayBeCached ? 1 : 0);
  let cached = 0;
  while (cached < most && cached < index && mapping.find(index - 1 - cached) !== 0) cached++;
  if (cached <= requested) return false;
  // Cached from the very start of the file: a whole-file read, probably.
  if (cached >= index) cached *= 2;
  ra.start = index;
  ra.size = Math.min(cached + requested, max);
  ra.asyncSize = 1;
  return true;
}

/** Linux: ractl_max_pages() */
function maxPages(mapping: FileMapping, ra: FileRaState, requested: number): number {
  const { ioPages } = mapping.host.sb.readahead;
  return requested > ra.raPages && ioPages > ra.raPages ? Math.min(requested, ioPages) : ra.raPages;
}

/** Linux: get_init_ra_size() */
function initialSize(requested: number, max: number): number {
  const size = 2 ** Math.ceil(Math.log2(requested));
  if (size <= max / 32) return size * 4;
  return size <= max / 4 ? size * 2 : max;
}

/** The window after one of `size` pages. */
function nextWindow(mapping: FileMapping, size: number, max: number): number {
  const next = nextSize(size, max);
  return mapping.host.sb.readahead.windowsShrink ? next : Math.max(size, next);
}

/** Linux: get_next_ra_size() */
function nextSize(size: number, max: number): number {
  if (size < Math.floor(max / 16)) return 4 * size;
  return size <= Math.floor(max / 2) ? 2 * size : max;
}

/**
 * Bring in [index, index + count) as far as the file goes, and mark the page `asyncSize` before the end.
 *
 * Context: sleeps. Linux: do_page_cache_ra(), page_cache_ra_unbounded()
 */
export function* readWindow(
  task: UserTask,
  mapping: FileMapping,
  index: number,
  count: number,
  asyncSize: number,
): MaySleep<void> {
  const { mem, host } = mapping;
  const pages = Math.ceil(host.size / PAGE_SIZE);
  if (index >= pages) return;
  const wanted = Math.min(count, pages - index);
  const marked = index + count < pages || host.sb.readahead.marksLastWindow;
  let rac: ReadaheadControl = { mapping, index, frames: [] };
  for (let i = 0; i < wanted; i++) {
    if (mapping.find(index + i) === 0 && isInterrupted(task, mapping, index + i, rac)) yield PREEMPT;
    const frame = mapping.find(index + i) === 0 ? yield* addNewPage(task, mapping, index + i) : NO_PAGE;
    if (frame === 0) {
      // Present already, or no memory: what was collected goes now.
      yield* readBatch(task, rac);
      rac = { mapping, index: index + i + 1, frames: [] };
      if (mapping.find(index + i) === 0) return;
      continue;
    }
    if (i === wanted - asyncSize && marked) mem.flags[frame] |= PG_READAHEAD;
    rac.frames.push(frame);
  }
  yield* readBatch(task, rac);
}

/** Does somebody else come to run before this page is added? */
function isInterrupted({ world }: UserTask, { ino }: FileMapping, page: number, { frames }: ReadaheadControl): boolean {
  return world.chooseCircumstance("interruption", 2, `${ino} ${page} ${frames.length}`) === 1;
}

function* readBatch(task: UserTask, rac: ReadaheadControl): MaySleep<void> {
  if (rac.frames.length === 0) return;
  // Others may send what they have collected first.
  if (task.world.chooseCircumstance("request", 2) === 1) yield PREEMPT;
  yield* rac.mapping.ops.readahead(task, rac);
  // What the file did not take is not read.
  for (const frame of rac.frames) {
    unlockPage(rac.mapping.mem, frame);
    putPage(rac.mapping.mem, frame);
  }
}

/**
 * Read [index, index + count) in chunks, without regard to the window.
 *
 * Context: sleeps. Linux: force_page_cache_ra(), as fadvise(WILLNEED) calls it
 */
export function* forcePageCacheReadahead(
  task: UserTask,
  mapping: FileMapping,
  ra: FileRaState,
  index: number,
  count: number,
): MaySleep<void> {
  const limit = Math.max(mapping.host.sb.readahead.ioPages, ra.raPages);
  const wanted = Math.min(count, limit);
  const chunk = (2 * 1024 * 1024) / PAGE_SIZE;
  for (let done = 0; done < wanted; done += chunk) {
    yield* readWindow(task, mapping, index + done, Math.min(chunk, wanted - done), 0);
  }
}
