// Faulting in whole ranges at once: MAP_POPULATE (mm/gup.c: __mm_populate) and madvise's POPULATE_READ and
// POPULATE_WRITE (mm/madvise.c: madvise_populate).

import { downRead, EINVAL, ENOMEM, err, type MayFault, PAGE_SIZE, type Status, upRead } from "@faultline/kernel";
import { checkVmaFlags } from "./follow-page.ts";
import { __getUserPages, getUserPagesLocked, type Locked } from "./gup.ts";
import { FOLL_FORCE, FOLL_HWPOISON, FOLL_MADV_POPULATE, FOLL_TOUCH, FOLL_UNLOCKABLE, FOLL_WRITE } from "./gup-flags.ts";
import { mmapReadLockNow } from "./mmap-lock.ts";
import type { UserTask } from "./user-task.ts";
import { VM_EXEC, VM_IO, VM_PFNMAP, VM_READ, VM_SHARED, VM_WRITE, type Vma } from "./vma.ts";

/**
 * Fault in [start, start + length): private writable areas for writing, so that copies are made now, others
 * for reading. Gaps and raw memory are passed over.
 *
 * Context: may fault; mmap_lock not held.
 * Returns: 0, or the first error unless `ignoreErrors`; then the area that failed is left as it is.
 * Linux:   __mm_populate()
 */
export function* mmPopulate(task: UserTask, start: number, length: number, ignoreErrors: boolean): MayFault<Status> {
  const { mm } = task;
  const end = start + length;
  const locked: Locked = { held: false };
  let status: Status = 0;
  for (let at = start; at < end; ) {
    yield* lockForReading(task, locked);
    const vma = mm.vmas.find(at);
    if (vma === null || vma.start >= end) break;
    const areaEnd = Math.min(end, vma.end);
    at = Math.max(at, vma.start);
    if ((vma.flags & (VM_IO | VM_PFNMAP)) === 0) {
      const got = yield* __getUserPages(task, at, (areaEnd - at) / PAGE_SIZE, populateFlags(vma), null, locked);
      if (got >= 0) {
        at += got * PAGE_SIZE;
        continue;
      }
      if (!ignoreErrors) {
        status = got as Status;
        break;
      }
    }
    at = areaEnd;
  }
  if (locked.held) upRead(task, mm.mmapLock);
  return status;
}

/** Linux: populate_vma_page_range() */
function populateFlags(vma: Vma): number {
  let flags = FOLL_TOUCH;
  if ((vma.flags & (VM_WRITE | VM_SHARED)) === VM_WRITE) flags |= FOLL_WRITE;
  // An execute-only or write-only area is populated all the same; one without any access is not.
  if ((vma.flags & (VM_READ | VM_WRITE | VM_EXEC)) !== 0) flags |= FOLL_FORCE;
  return flags;
}

function* lockForReading(task: UserTask, locked: Locked): MayFault<void> {
  if (locked.held) return;
  if (!mmapReadLockNow(task, task.mm)) yield* downRead(task, task.mm.mmapLock);
  locked.held = true;
}

/**
 * MADV_POPULATE_READ and _WRITE: make page table entries for the whole range, as if it were touched.
 *
 * Context: may fault; mmap_lock not held.
 * Returns: 0; -ENOMEM for a gap, -EINVAL for an area that forbids the access, -EFAULT for a fault that fails.
 * Linux:   madvise_populate()
 */
export function* madvisePopulate(task: UserTask, start: number, end: number, write: boolean): MayFault<Status> {
  const byArea = task.mm.revision.populateByArea;
  const locked: Locked = { held: false };
  let gaps = false;
  let status: Status = 0;
  for (let at = start; at < end; ) {
    yield* lockForReading(task, locked);
    if (byArea) {
      const vma = task.mm.vmas.find(at);
      if (vma === null || vma.start > at) {
        gaps = true;
        at = vma === null ? end : vma.start;
        continue;
      }
    }
    task.world.trace?.emit(task, "faultin_page_range", at);
    const got = byArea
      ? yield* faultinVmaPageRange(task, at, end, write, locked)
      : yield* faultinPageRange(task, at, end, write, locked);
    task.world.trace?.emit(task, "faultin_page_range_ret", got);
    if (got < 0) {
      status = got as Status;
      break;
    }
    at += got * PAGE_SIZE;
  }
  if (locked.held) upRead(task, task.mm.mmapLock);
  return status === 0 && gaps ? err(ENOMEM) : status;
}

/** Since 6.9: across areas, and insisting when a fault drops the lock. Linux: faultin_page_range() */
function faultinPageRange(
  task: UserTask,
  start: number,
  end: number,
  write: boolean,
  locked: Locked,
): MayFault<number> {
  const flags = FOLL_TOUCH | FOLL_HWPOISON | FOLL_UNLOCKABLE | FOLL_MADV_POPULATE | (write ? FOLL_WRITE : 0);
  return getUserPagesLocked(task, start, (end - start) / PAGE_SIZE, flags, null, locked);
}

/** Before: one area a call; a dropped lock ends the call. Linux: faultin_vma_page_range() */
function* faultinVmaPageRange(
  task: UserTask,
  start: number,
  end: number,
  write: boolean,
  locked: Locked,
): MayFault<number> {
  const vma = task.mm.vmas.lookup(start) as Vma;
  const flags = FOLL_TOUCH | FOLL_HWPOISON | (write ? FOLL_WRITE : 0);
  if (checkVmaFlags(vma, flags) !== 0) return err(EINVAL);
  return yield* __getUserPages(task, start, (Math.min(end, vma.end) - start) / PAGE_SIZE, flags, null, locked);
}
