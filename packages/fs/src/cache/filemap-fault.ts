// Faults on file mappings (mm/filemap.c): filemap_fault finds the page, reading it if need be;
// filemap_map_pages maps what lies around and is ready.
//
// A fault that has to wait drops mmap_lock first, if its flags allow that, and then reports RETRY: the area
// has to be looked up again.

import { type MaySleep, PAGE_SIZE, type Pfn, PREEMPT, upRead } from "@faultline/kernel";
import {
  FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_TRIED,
  faultFlagAllowRetryFirst,
  lockPage,
  mapCachedPages,
  PG_READAHEAD,
  PG_UPTODATE,
  pageMapping,
  putPage,
  trylockPage,
  type UserTask,
  unlockPage,
  VM_FAULT_LOCKED,
  VM_FAULT_MAJOR,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  VM_RAND_READ,
  VM_SEQ_READ,
  type VmFault,
} from "@faultline/mm";
import type { File } from "../vfs/file.ts";
import type { FileMapping } from "../vfs/inode.ts";
import { filemapReadFolio } from "./filemap-read.ts";
import { findGetPage, grabPage } from "./page-cache.ts";
import { pageCacheAsyncReadahead, pageCacheSyncReadahead, readWindow } from "./readahead.ts";

/** So many misses more than hits, and read-around stops. */
const MMAP_LOTSAMISS = 100;

/** What one fault has done to mmap_lock so far. */
interface FaultLock {
  dropped: boolean;
}

/**
 * Find the page of a file mapping.
 *
 * Context: sleeps; mmap_lock held for reading, and dropped if the result says RETRY (without RETRY_NOWAIT).
 * Returns: LOCKED with vmf.page set; RETRY; SIGBUS beyond the end of the file or for a read error; OOM.
 *          MAJOR with any of them if the page was not cached.
 * Linux:   filemap_fault()
 */
export function* filemapFault(task: UserTask, vmf: VmFault): MaySleep<number> {
  const mapping = vmf.vma.mapping as FileMapping;
  task.world.trace?.emit(task, "filemap_fault", mapping.ino, vmf.pgoff);
  const result = yield* findPage(task, vmf, mapping);
  task.world.trace?.emit(task, "filemap_fault_ret", result);
  return result;
}

function* findPage(task: UserTask, vmf: VmFault, mapping: FileMapping): MaySleep<number> {
  const { mem, host } = mapping;
  const { ra } = vmf.vma.file as File;
  const index = vmf.pgoff;
  const lock: FaultLock = { dropped: false };
  let major = 0;
  if (index >= Math.ceil(host.size / PAGE_SIZE)) return VM_FAULT_SIGBUS;
  let frame = findGetPage(mapping, index);
  if (frame === 0) {
    major = VM_FAULT_MAJOR;
    yield* doSyncMmapReadahead(task, vmf, mapping, lock);
    // The disk may be faster, and others may take the page away again.
    if (task.world.interrupts) yield PREEMPT;
  } else if ((vmf.flags & FAULT_FLAG_TRIED) === 0 && (vmf.vma.flags & VM_RAND_READ) === 0) {
    if (ra.mmapMiss > 0) ra.mmapMiss--;
    if ((mem.flags[frame] & PG_READAHEAD) !== 0) {
      maybeUnlockMmapForIo(task, vmf, lock);
      yield* pageCacheAsyncReadahead(task, mapping, ra, frame, ra.raPages);
    }
  }
  for (;;) {
    if (frame === 0) {
      frame = yield* findOrCreateUnlocked(task, mapping, index);
      if (frame === 0) return lock.dropped ? major | VM_FAULT_RETRY : VM_FAULT_OOM;
    }
    if (!trylockPage(task, mem, frame)) {
      if ((vmf.flags & FAULT_FLAG_RETRY_NOWAIT) !== 0) {
        putPage(mem, frame);
        return major | VM_FAULT_RETRY;
      }
      maybeUnlockMmapForIo(task, vmf, lock);
      yield* lockPage(task, mem, frame);
    }
    if (pageMapping(mem, frame) !== mapping) {
      unlockPage(mem, frame);
      putPage(mem, frame);
      frame = 0 as Pfn;
      continue;
    }
    if ((mem.flags[frame] & PG_UPTODATE) !== 0) break;
    maybeUnlockMmapForIo(task, vmf, lock);
    const status = yield* filemapReadFolio(task, mapping, frame);
    putPage(mem, frame);
    if (lock.dropped) return major | VM_FAULT_RETRY;
    if (status !== 0) return VM_FAULT_SIGBUS;
    frame = 0 as Pfn;
  }
  // Meanwhile nobody else can map the page, or drop it.
  if (task.world.interrupts) yield PREEMPT;
  if (lock.dropped) {
    unlockPage(mem, frame);
    putPage(mem, frame);
    // Here others can drop it, before the file's lock is let go.
    if (task.world.interrupts) yield PREEMPT;
    return major | VM_FAULT_RETRY;
  }
  // Truncation lowers i_size before it takes pages: under the page lock the answer is final.
  if (index >= Math.ceil(host.size / PAGE_SIZE)) {
    unlockPage(mem, frame);
    putPage(mem, frame);
    return VM_FAULT_SIGBUS;
  }
  vmf.page = frame;
  return major | VM_FAULT_LOCKED;
}

/** The page with a reference, made if it is missing; not locked. Returns: 0 if there is no memory. */
function* findOrCreateUnlocked(task: UserTask, mapping: FileMapping, index: number): MaySleep<Pfn> {
  const found = findGetPage(mapping, index);
  if (found !== 0) return found;
  const made = yield* grabPage(task, mapping, index);
  if (made !== 0) unlockPage(mapping.mem, made);
  return made;
}

/** Drop mmap_lock, once, if this fault may be retried. Linux: maybe_unlock_mmap_for_io() */
function maybeUnlockMmapForIo(task: UserTask, vmf: VmFault, lock: FaultLock): void {
  if (lock.dropped || !faultFlagAllowRetryFirst(vmf.flags) || (vmf.flags & FAULT_FLAG_RETRY_NOWAIT) !== 0) return;
  upRead(task, vmf.vma.mm.mmapLock);
  lock.dropped = true;
}

/** The page is not cached: read it and what lies around it. Linux: do_sync_mmap_readahead() */
function* doSyncMmapReadahead(task: UserTask, vmf: VmFault, mapping: FileMapping, lock: FaultLock): MaySleep<void> {
  const { ra } = vmf.vma.file as File;
  if ((vmf.vma.flags & VM_RAND_READ) !== 0 || ra.raPages === 0) return;
  if ((vmf.vma.flags & VM_SEQ_READ) !== 0) {
    maybeUnlockMmapForIo(task, vmf, lock);
    yield* pageCacheSyncReadahead(task, mapping, ra, vmf.pgoff, ra.raPages);
    return;
  }
  if (ra.mmapMiss < MMAP_LOTSAMISS * 10) ra.mmapMiss++;
  if (ra.mmapMiss > MMAP_LOTSAMISS) return;
  maybeUnlockMmapForIo(task, vmf, lock);
  task.world.accesses?.write(ra.id);
  ra.start = Math.max(0, vmf.pgoff - Math.floor(ra.raPages / 2));
  ra.size = ra.raPages;
  ra.asyncSize = Math.floor(ra.raPages / 4);
  yield* readWindow(task, mapping, ra.start, ra.size, ra.asyncSize);
}

/**
 * Map the pages [start, end] that are cached, uptodate, unlocked and without a read-ahead mark.
 *
 * Context: atomic. Linux: filemap_map_pages()
 */
export function filemapMapPages(task: UserTask, vmf: VmFault, start: number, end: number): void {
  const { host, ino } = vmf.vma.mapping as FileMapping;
  const { ra } = vmf.vma.file as File;
  task.world.trace?.emit(task, "filemap_map_pages", ino, start, end);
  const met = mapCachedPages(task, vmf, start, end, Math.ceil(host.size / PAGE_SIZE) - 1);
  ra.mmapMiss = Math.max(0, ra.mmapMiss - met);
}
