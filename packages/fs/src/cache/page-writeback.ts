// Dirty pages: counting them, making tasks that dirty too many wait, and writing them back
// (mm/page-writeback.c, fs/fs-writeback.c).
//
// A task may dirty `nrDirtiedPause` pages before it must look at the limits; gfs2 sizes its fault-in windows
// by what is left of that allowance.

import { type MaySleep, PAGE_SIZE, type Pfn, partOf, type Status, type World } from "@faultline/kernel";
import {
  endPageWriteback,
  getPage,
  lockPage,
  PG_DIRTY,
  PG_READAHEAD,
  PG_WRITEBACK,
  pageMapping,
  pageMkclean,
  putPage,
  type UserTask,
  unlockPage,
  waitOnPageWriteback,
} from "@faultline/mm";
import type { FileMapping, WritebackRange } from "../vfs/inode.ts";

/** The dirty pages of one node. Linux: struct dirty_throttle_control, for one device */
export class DirtyPages {
  /** So many, and writers have to wait; half as many, and write-back begins. */
  readonly limit: number;
  /** By processor, pages that tasks had dirtied since their last look at the limits when they ended. Linux: dirty_throttle_leaks */
  readonly #leaks: number[] = [0, 0];
  readonly #leaksId: number;
  readonly #world: World;
  /** What the access log calls the count: whose pages come and go reads it, who looks at it writes. */
  readonly #id: number;
  #count = 0;

  constructor(world: World, limit: number) {
    this.#world = world;
    this.#id = world.newId("dirty pages");
    this.#leaksId = partOf(this.#id, 1);
    this.limit = limit;
  }

  get count(): number {
    this.#world.accesses?.write(this.#id);
    return this.#count;
  }

  /** So many pages have become dirty, or have ceased to be. */
  change(pages: number): void {
    this.#world.accesses?.read(this.#id);
    this.#count += pages;
  }

  /** Pages that a task may dirty until it has to look again. */
  get allowance(): number {
    return dirtyPollInterval(this.#count, this.limit);
  }

  /** By processor, for whoever looks from outside. */
  get leaks(): readonly number[] {
    return this.#leaks;
  }

  /** A task that ends leaves so many over on this processor. */
  leak(processor: number, pages: number): void {
    this.#world.accesses?.write(this.#leaksId);
    this.#leaks[processor] += pages;
  }

  /** Returns: what somebody on this processor, who has room for so many, is charged with of what others left over. */
  chargeLeaks(processor: number, room: number): number {
    this.#world.accesses?.read(this.#leaksId);
    const charged = Math.min(this.#leaks[processor], Math.max(room, 0));
    if (charged > 0) this.leak(processor, -charged);
    return charged;
  }
}

/**
 * The page holds bytes that the disk does not have.
 *
 * Context: atomic; the page is locked or mapped writable. Linux: filemap_dirty_folio(), folio_account_dirtied()
 */
export function markPageDirty(task: UserTask, mapping: FileMapping, frame: Pfn): void {
  const { flags } = mapping.mem;
  if ((flags[frame] & PG_DIRTY) !== 0) return;
  flags[frame] |= PG_DIRTY;
  mapping.mem.world.accesses?.read(mapping.dirtyId);
  mapping.nrDirty++;
  mapping.host.sb.dirty.change(1);
  task.nrDirtied++;
}

/**
 * The same, for whoever is not the file's own write path. A page that was read ahead and is then written has
 * served as a mark long enough: the mark goes.
 *
 * Context: atomic. Linux: folio_mark_dirty(), where PG_readahead and PG_reclaim are one bit
 */
export function folioMarkDirty(task: UserTask, mapping: FileMapping, frame: Pfn): void {
  const { mem } = mapping;
  if ((mem.flags[frame] & PG_READAHEAD) !== 0) mem.world.accesses?.write(mem.pageId(frame));
  mem.flags[frame] &= ~PG_READAHEAD;
  markPageDirty(task, mapping, frame);
}

/**
 * The task ends: whoever dirties pages next on its processor is charged with what it has dirtied.
 *
 * Context: atomic. Linux: do_exit(), its part for dirty_throttle_leaks
 */
export function leakDirtied(task: UserTask, dirty: DirtyPages): void {
  if (task.nrDirtied === 0) return;
  dirty.leak(task.world.chooseCircumstance("exit", PROCESSORS), task.nrDirtied);
  task.nrDirtied = 0;
}

/** Processors of the largest machine that was recorded. A task is on the first one, unless circumstances say otherwise. */
const PROCESSORS = 2;
/** What a look at the throttle finds, beside being on one of the processors: that processor has dirtied enough. */
export const PROCESSOR_FULL: number = PROCESSORS;

/**
 * Must the task look at the limits before it dirties more? What ended tasks have left over is charged to it first.
 *
 * Context: atomic. Linux: balance_dirty_pages_ratelimited(), up to balance_dirty_pages()
 */
export function mustBalanceDirty(task: UserTask, dirty: DirtyPages): boolean {
  const processor = task.world.chooseCircumstance("throttle", PROCESSORS + 1);
  // All tasks of the processor together have dirtied so much. Linux: bdp_ratelimits
  if (processor === PROCESSOR_FULL) return true;
  task.nrDirtied += dirty.chargeLeaks(processor, task.nrDirtiedPause - task.nrDirtied);
  return task.nrDirtied >= task.nrDirtiedPause;
}

/**
 * The task has used up its allowance: write back what is too much, and give it a new allowance.
 *
 * Context: sleeps. Linux: balance_dirty_pages()
 */
export function* balanceDirtyPages(task: UserTask, mapping: FileMapping): MaySleep<void> {
  const { dirty } = mapping.host.sb;
  task.world.trace?.emit(task, "balance_dirty_pages", task.nrDirtied);
  task.nrDirtied = 0;
  const sync = dirty.count > dirty.limit;
  const range = { start: 0, end: Number.MAX_SAFE_INTEGER, sync };
  if (dirty.count > dirty.limit / 2) yield* mapping.ops.writepages(task, mapping, range);
  if (sync) mappingSetError(mapping, yield* filemapFdatawait(mapping, 0, Number.MAX_SAFE_INTEGER));
  task.nrDirtiedPause = dirty.allowance;
}

/** The square root of the distance to the limit, as a power of two. Linux: dirty_poll_interval() */
function dirtyPollInterval(dirty: number, limit: number): number {
  return limit > dirty ? 2 ** Math.floor(Math.floor(Math.log2(limit - dirty)) / 2) : 1;
}

/**
 * The page is about to be written: make it clean, and read-only in every page table.
 *
 * Context: atomic; the page is locked. Returns: true when it was dirty.
 * Linux: folio_clear_dirty_for_io()
 */
export function clearPageDirtyForIo(task: UserTask, mapping: FileMapping, frame: Pfn): boolean {
  const { flags } = mapping.mem;
  if (pageMkclean(task, frame) > 0) folioMarkDirty(task, mapping, frame);
  if ((flags[frame] & PG_DIRTY) === 0) return false;
  flags[frame] &= ~PG_DIRTY;
  mapping.mem.world.accesses?.read(mapping.dirtyId);
  mapping.nrDirty--;
  mapping.host.sb.dirty.change(-1);
  return true;
}

/** Sends a run of neighbouring pages, locked before and under write-back now, to the disk. */
export type SubmitRun = (frames: readonly Pfn[], index: number, endIo: (status: Status) => void) => void;

/** Pages of one request at most. Linux: BIO_MAX_VECS */
const MAX_RUN = 256;

/**
 * Write the dirty pages of a range back, neighbours together. With `range.sync` also those that are under write-back
 * already.
 *
 * Context: sleeps; no page lock held. Returns when all is on its way. Linux: write_cache_pages()
 */
export function* writeCachePages(
  task: UserTask,
  mapping: FileMapping,
  range: WritebackRange,
  submit: SubmitRun,
): MaySleep<void> {
  const { mem } = mapping;
  const [first, last] = pagesOf(range.start, range.end);
  const run: Pfn[] = [];
  let runIndex = 0;
  const flush = (): void => {
    if (run.length > 0) submit([...run], runIndex, endRunWriteback(mapping, [...run]));
    run.length = 0;
  };
  for (
    let index = mapping.pages.next(first, last + 1);
    index <= last;
    index = mapping.pages.next(index + 1, last + 1)
  ) {
    mapping.mem.world.accesses?.write(mapping.dirtyId);
    if (mapping.nrDirty === 0) break;
    const frame = mapping.find(index);
    if ((mem.flags[frame] & PG_DIRTY) === 0) continue;
    getPage(mem, frame);
    yield* lockPage(task, mem, frame);
    if (pageMapping(mem, frame) === mapping && (mem.flags[frame] & PG_WRITEBACK) !== 0 && range.sync) {
      yield* waitOnPageWriteback(mem, frame);
    }
    const mine = pageMapping(mem, frame) === mapping && (mem.flags[frame] & PG_WRITEBACK) === 0;
    if (mine && clearPageDirtyForIo(task, mapping, frame)) {
      beginPageWriteback(mapping, frame);
      if (run.length === MAX_RUN || index !== runIndex + run.length) flush();
      if (run.length === 0) runIndex = index;
      run.push(frame);
    } else {
      putPage(mem, frame);
    }
    unlockPage(mem, frame);
  }
  flush();
}

/** The page's write to disk begins. Context: atomic; the page is locked. Linux: folio_start_writeback() */
export function beginPageWriteback(mapping: FileMapping, frame: Pfn): void {
  const { mem } = mapping;
  mem.world.accesses?.write(mem.pageId(frame));
  mem.flags[frame] |= PG_WRITEBACK;
  mapping.nrWriteback++;
}

/** What happens when a run is on disk: its pages, on which the run holds references, are no longer under write-back. */
export function endRunWriteback(mapping: FileMapping, frames: readonly Pfn[]): (status: Status) => void {
  return (status) => {
    mappingSetError(mapping, status);
    for (const frame of frames) {
      mapping.nrWriteback--;
      endPageWriteback(mapping.mem, frame);
      putPage(mapping.mem, frame);
    }
  };
}

/**
 * Sleep until no page of the range is under write-back.
 *
 * Returns: 0, or a write-back error that nobody was told of. Linux: filemap_fdatawait_range()
 * Differs: no reference is held meanwhile, which would keep others from dropping the page until this task runs again.
 */
export function* filemapFdatawait(mapping: FileMapping, start: number, end: number): MaySleep<Status> {
  const { mem } = mapping;
  const [first, last] = pagesOf(start, end);
  for (
    let index = mapping.pages.next(first, last + 1);
    index <= last;
    index = mapping.pages.next(index + 1, last + 1)
  ) {
    if (mapping.nrWriteback === 0) break;
    const frame = mapping.find(index);
    if ((mem.flags[frame] & PG_WRITEBACK) === 0) continue;
    yield* waitOnPageWriteback(mem, frame);
  }
  return checkWritebackError(mapping);
}

/** First and last page of a range of bytes. */
function pagesOf(start: number, end: number): [first: number, last: number] {
  return [Math.floor(start / PAGE_SIZE), Math.min(Math.floor(end / PAGE_SIZE), 2 ** 32 - 1)];
}

/** Remember that write-back failed, if it did. Context: atomic. Linux: mapping_set_error() */
export function mappingSetError(mapping: FileMapping, status: Status): void {
  if (status === 0) return;
  mapping.wbErr = status;
  mapping.errseq.set(status);
}

/** Tell of a write-back error once. Context: atomic. Linux: filemap_check_errors() */
function checkWritebackError(mapping: FileMapping): Status {
  const status = mapping.wbErr;
  mapping.wbErr = 0;
  return status;
}

/** Write a range back and wait for it. Context: sleeps. Returns: 0 or an error. Linux: filemap_write_and_wait_range() */
export function* filemapWriteAndWait(
  task: UserTask,
  mapping: FileMapping,
  start: number,
  end: number,
): MaySleep<Status> {
  yield* filemapFdatawrite(task, mapping, start, end);
  return yield* filemapFdatawait(mapping, start, end);
}

/** Send what is dirty in a range to the disk, without waiting for it. Context: sleeps. Linux: filemap_fdatawrite_range() */
export function* filemapFdatawrite(task: UserTask, mapping: FileMapping, start: number, end: number): MaySleep<void> {
  mapping.mem.world.accesses?.write(mapping.dirtyId);
  if (mapping.nrDirty > 0) {
    yield* mapping.ops.writepages(task, mapping, { start, end, sync: true });
  }
}
