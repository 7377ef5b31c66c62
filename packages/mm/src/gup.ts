// get_user_pages: the page tables walked by the kernel, page by page, faulting in what is missing
// (mm/gup.c). No CPU exception happens here, so pagefault_disable() does not stop it: FOLL_NOFAULT does.
//
// Lock order:
//   mmap_lock (read)    the caller's, or taken here; a fault may drop it, and `locked` then says so

import {
  bugOn,
  downRead,
  EFAULT,
  EINTR,
  err,
  type MayFault,
  PAGE_SIZE,
  type Pfn,
  USER_FAULT,
  upRead,
} from "@faultline/kernel";
import { NEEDS_SLEEP } from "./anon-fault.ts";
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_KILLABLE,
  FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  VM_FAULT_COMPLETED,
  VM_FAULT_ERROR,
  VM_FAULT_RETRY,
  vmFaultToErrno,
} from "./fault-flags.ts";
import { checkVmaFlags, followPage, grabPage, MUST_UNSHARE, noVma } from "./follow-page.ts";
import {
  FOLL_GET,
  FOLL_HWPOISON,
  FOLL_NOFAULT,
  FOLL_NOWAIT,
  FOLL_PIN,
  FOLL_TOUCH,
  FOLL_TRIED,
  FOLL_UNLOCKABLE,
  FOLL_WRITE,
} from "./gup-flags.ts";
import { handleMmFault, tryHandleMmFault } from "./memory.ts";
import { mmapReadLockNow } from "./mmap-lock.ts";
import { findExtendVma } from "./stack.ts";
import type { UserTask } from "./user-task.ts";
import type { Vma } from "./vma.ts";

/** Is mmap_lock held? In and out: a fault may drop it. Linux: `int *locked` */
export interface Locked {
  held: boolean;
}

/**
 * Collect up to `count` pages from `start`.
 *
 * Context: may fault, unless FOLL_NOFAULT; mmap_lock held for reading. With `locked`, a fault may drop the
 *          lock; the walk then ends, and `locked.held` is false.
 * Returns: pages collected; or the first error if there are none; or 0 when the lock was dropped before
 *          the first page. An error after some pages shows on the next call.
 * Linux:   __get_user_pages()
 */
export function* __getUserPages(
  task: UserTask,
  start: number,
  count: number,
  gupFlags: number,
  pages: Pfn[] | null,
  locked: Locked | null,
): MayFault<number> {
  bugOn((pages !== null) !== ((gupFlags & (FOLL_GET | FOLL_PIN)) !== 0), "FOLL_GET or FOLL_PIN go with `pages`");
  bugOn((gupFlags & (FOLL_GET | FOLL_PIN)) === (FOLL_GET | FOLL_PIN), "FOLL_GET and FOLL_PIN exclude each other");
  const { mem } = task.mm;
  let done = 0;
  let vma: Vma | null = null;
  while (done < count) {
    const address = start + done * PAGE_SIZE;
    if (vma === null || address >= vma.end) {
      vma = findExtendVma(task.mm, address);
      const refused = vma === null ? noVma(gupFlags) : checkVmaFlags(vma, gupFlags);
      if (vma === null || refused !== 0) return done > 0 ? done : refused;
    }
    if (task.fatalSignal) return done > 0 ? done : err(EINTR);
    const page = followPage(task, vma, address, gupFlags);
    if (page > 0) {
      if (pages !== null) {
        grabPage(mem, page as Pfn, gupFlags);
        pages.push(page as Pfn);
      }
      done++;
      continue;
    }
    if ((gupFlags & FOLL_NOFAULT) !== 0) return done > 0 ? done : err(EFAULT);
    if (task.world.preemptible) yield USER_FAULT;
    const flags = faultFlags(gupFlags, locked) | (page === MUST_UNSHARE ? FAULT_FLAG_UNSHARE : 0);
    let result = tryHandleMmFault(task, vma, address, flags);
    if (result === NEEDS_SLEEP) result = yield* handleMmFault(task, vma, address, flags);
    if ((result & VM_FAULT_ERROR) !== 0) {
      return done > 0 ? done : vmFaultToErrno(result, (gupFlags & FOLL_HWPOISON) !== 0);
    }
    if ((result & (VM_FAULT_RETRY | VM_FAULT_COMPLETED)) !== 0) {
      // The lock is gone, or nobody may wait: the caller takes it from here.
      if (locked !== null && (flags & FAULT_FLAG_RETRY_NOWAIT) === 0) locked.held = false;
      return done;
    }
  }
  return done;
}

/** How a walk with these flags faults. Linux: faultin_page() */
function faultFlags(gupFlags: number, locked: Locked | null): number {
  let flags = 0;
  if ((gupFlags & FOLL_WRITE) !== 0) flags |= FAULT_FLAG_WRITE;
  if (locked !== null) flags |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE;
  if ((gupFlags & FOLL_NOWAIT) !== 0) flags |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_RETRY_NOWAIT;
  if ((gupFlags & FOLL_TRIED) !== 0) flags |= FAULT_FLAG_TRIED;
  return flags;
}

/**
 * Collect pages with the caller's mmap_lock, which is kept throughout. With FOLL_PIN they are pinned.
 *
 * Context: may fault, unless FOLL_NOFAULT; mmap_lock held for reading.
 * Returns: pages collected, or an error if there are none. Linux: get_user_pages(), pin_user_pages()
 */
export function getUserPages(
  task: UserTask,
  start: number,
  count: number,
  gupFlags: number,
  pages: Pfn[],
): MayFault<number> {
  return __getUserPages(task, start, count, getUnlessPin(gupFlags) | FOLL_TOUCH, pages, null);
}

/**
 * Collect pages and go on when a fault dropped the lock: the page that faulted is tried alone, once more.
 *
 * Context: may fault. `locked.held` in: mmap_lock is held for reading; out: it still is. Taken and dropped
 *          here when it was not held.
 * Returns: pages collected, or an error if there are none. Never 0, except with FOLL_NOWAIT.
 * Linux:   __get_user_pages_locked()
 */
export function* getUserPagesLocked(
  task: UserTask,
  start: number,
  count: number,
  gupFlags: number,
  pages: Pfn[] | null,
  locked: Locked,
): MayFault<number> {
  const { mmapLock } = task.mm;
  const own = !locked.held;
  if (own) {
    if (!mmapReadLockNow(task, task.mm)) yield* downRead(task, mmapLock);
    locked.held = true;
  }
  let done = 0;
  let dropped = false;
  for (;;) {
    const got = yield* __getUserPages(task, start + done * PAGE_SIZE, count - done, gupFlags, pages, locked);
    if (got > 0) done += got;
    if (locked.held && done === 0) done = got;
    if (locked.held || done >= count) break;
    // The lock was dropped for the next page: insist on that one alone.
    dropped = true;
    const again = yield* insistOnPage(task, start + done * PAGE_SIZE, gupFlags, pages, locked);
    if (again !== 1) {
      if (done === 0) done = again;
      break;
    }
    if (++done >= count) break;
  }
  // A caller who brought the lock learns that it was let go on the way, and does not get it back.
  if (locked.held && (own || dropped)) {
    upRead(task, mmapLock);
    locked.held = false;
  }
  return done;
}

/** Take mmap_lock and try one page, as often as the fault drops the lock again. Returns: 1, or an error. */
function* insistOnPage(
  task: UserTask,
  address: number,
  gupFlags: number,
  pages: Pfn[] | null,
  locked: Locked,
): MayFault<number> {
  for (;;) {
    if (task.fatalSignal) return err(EINTR);
    yield* downRead(task, task.mm.mmapLock);
    locked.held = true;
    const got = yield* __getUserPages(task, address, 1, gupFlags | FOLL_TRIED, pages, locked);
    if (locked.held) return got;
  }
}

/**
 * Collect pages, taking mmap_lock here. With FOLL_PIN they are pinned.
 *
 * Context: may fault, unless FOLL_NOFAULT; mmap_lock not held.
 * Returns: pages collected, or an error if there are none.
 * Linux:   get_user_pages_unlocked(), pin_user_pages_unlocked()
 */
export function getUserPagesUnlocked(
  task: UserTask,
  start: number,
  count: number,
  gupFlags: number,
  pages: Pfn[],
): MayFault<number> {
  const flags = getUnlessPin(gupFlags) | FOLL_TOUCH | FOLL_UNLOCKABLE;
  return getUserPagesLocked(task, start, count, flags, pages, { held: false });
}

function getUnlessPin(gupFlags: number): number {
  return (gupFlags & FOLL_PIN) !== 0 ? gupFlags : gupFlags | FOLL_GET;
}
