// get_user_pages: the page tables walked by the kernel, page by page, faulting in what is missing
// (mm/gup.c). No CPU exception happens here, so pagefault_disable() does not stop it: FOLL_NOFAULT does.
//
// Lock order:
//   mmap_lock (read)    the caller's, or taken here; a fault may drop it, and `locked` then says so

import {
  bugOn,
  downRead,
  downReadTrylock,
  EAGAIN,
  EBUSY,
  EFAULT,
  EHWPOISON,
  EINTR,
  EINVAL,
  ENOMEM,
  type Errno,
  err,
  isErr,
  KernelBug,
  type MayFault,
  type MaySleep,
  PAGE_SIZE,
  type Pfn,
  pageStart,
  type Status,
  USER_FAULT,
  upRead,
  WaitChannel,
} from "@faultline/kernel";
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_KILLABLE,
  FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_WRITE,
  VM_FAULT_COMPLETED,
  VM_FAULT_ERROR,
  VM_FAULT_HWPOISON,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
} from "./fault-flags.ts";
import { markPageAccessed } from "./lru.ts";
import { handleMmFault, NEEDS_SLEEP, tryHandleMmFault } from "./memory.ts";
import { type MmStruct, TASK_SIZE } from "./mm-struct.ts";
import { getPage, PG_ANON, pageMapping, putPage } from "./physmem.ts";
import { PTE_ACCESSED, PTE_DIRTY, PTE_PRESENT, PTE_RW, PTE_SPECIAL, ptePfn } from "./pte.ts";
import { expandStack } from "./stack.ts";
import type { UserTask } from "./user-task.ts";
import { isCowMapping, VM_IO, VM_MAYREAD, VM_PFNMAP, VM_READ, VM_WRITE, type Vma } from "./vma.ts";

// include/linux/mm_types.h
/** Write access is needed: copies on write are made now. */
export const FOLL_WRITE: number = 1 << 0;
/** Take a reference to each page. */
export const FOLL_GET: number = 1 << 1;
/** Ignore VM_READ and VM_WRITE, as a debugger does. */
export const FOLL_FORCE: number = 1 << 3;
/** Start I/O, but do not wait for it. */
export const FOLL_NOWAIT: number = 1 << 5;
/** Return -EFAULT instead of faulting. */
export const FOLL_NOFAULT: number = 1 << 6;
/** A poisoned page is -EHWPOISON, not -EFAULT. */
export const FOLL_HWPOISON: number = 1 << 7;
/** Mark pages accessed, and dirty with FOLL_WRITE. */
export const FOLL_TOUCH: number = 1 << 16;
/** This is the second try: the fault must not drop mmap_lock again. */
export const FOLL_TRIED: number = 1 << 17;
/** Pin each page: a reference that says that its bytes will be read or written. */
export const FOLL_PIN: number = 1 << 19;
/** Only what GUP-fast finds; never sleep. */
export const FOLL_FAST_ONLY: number = 1 << 20;
/** The fault may drop mmap_lock. */
export const FOLL_UNLOCKABLE: number = 1 << 21;
/** MADV_POPULATE: tell "no area" (-ENOMEM) from "not allowed" (-EINVAL). */
export const FOLL_MADV_POPULATE: number = 1 << 22;
/** Only ever meant something together with FOLL_MLOCK; accepted and ignored. */
export const FOLL_POPULATE: number = 1 << 23;

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
    if (page === 0) {
      const faulted: number = yield* faultinPage(task, vma, address, gupFlags, locked);
      if (faulted === 0) continue;
      // The lock is gone or nobody may wait: the caller takes it from here.
      if (faulted === -EBUSY || faulted === -EAGAIN) return done;
      return done > 0 ? done : faulted;
    }
    if (pages !== null) {
      getPage(task.mm.mem, page);
      pages.push(page);
    }
    done++;
  }
  return done;
}

/** The area at an address; old kernels let a stack grow for it. Linux: find_extend_vma() */
function findExtendVma(mm: MmStruct, address: number): Vma | null {
  if (address >= TASK_SIZE) return null;
  return mm.vmas.lookup(address) ?? (mm.revision.gupGrowsStack ? expandStack(mm, address) : null);
}

function noVma(gupFlags: number): Errno {
  return err((gupFlags & FOLL_MADV_POPULATE) !== 0 ? ENOMEM : EFAULT);
}

/** Does the area allow this kind of access? Context: atomic. Linux: check_vma_flags() */
export function checkVmaFlags(vma: Vma, gupFlags: number): Status {
  const refused = err((gupFlags & FOLL_MADV_POPULATE) !== 0 ? EINVAL : EFAULT);
  if ((vma.flags & (VM_IO | VM_PFNMAP)) !== 0) return refused;
  const force = (gupFlags & FOLL_FORCE) !== 0;
  if ((gupFlags & FOLL_WRITE) !== 0) {
    if ((vma.flags & VM_WRITE) === 0 && !(force && isCowMapping(vma.flags))) return refused;
  } else if ((vma.flags & VM_READ) === 0 && !(force && (vma.flags & VM_MAYREAD) !== 0)) {
    return refused;
  }
  return 0;
}

/** The page mapped at an address, if the entry permits the access; else 0. Context: atomic. Linux: follow_page_pte() */
function followPage(task: UserTask, vma: Vma, address: number, gupFlags: number): Pfn {
  const { mm } = vma;
  const vpn = Math.floor(address / PAGE_SIZE);
  const entry = mm.pgd.get(vpn);
  task.world.accesses?.read(mm.entryId(vpn));
  if ((entry & PTE_PRESENT) === 0) return 0 as Pfn;
  const write = (gupFlags & FOLL_WRITE) !== 0;
  const page = ptePfn(entry);
  if (write && (entry & PTE_RW) === 0) {
    // A debugger's store to a read-only private page: good once the page is our own copy.
    const forced = (gupFlags & FOLL_FORCE) !== 0 && (vma.flags & VM_WRITE) === 0;
    if (!forced || (mm.mem.flags[page] & PG_ANON) === 0 || mm.mem.refcount[page] !== 1) return 0 as Pfn;
  }
  if ((gupFlags & FOLL_TOUCH) !== 0 && (entry & PTE_SPECIAL) === 0) {
    const mapping = pageMapping(mm.mem, page);
    if (write && (entry & PTE_DIRTY) === 0) mapping?.ops.dirtyFolio(task, mapping, page);
    markPageAccessed(mm.mem, page);
  }
  return page;
}

/** Fault one page in. Returns: 0 to look again, or an error; -EBUSY and -EAGAIN mean that mmap_lock was dropped. */
function* faultinPage(
  task: UserTask,
  vma: Vma,
  address: number,
  gupFlags: number,
  locked: Locked | null,
): MayFault<Status> {
  if ((gupFlags & FOLL_NOFAULT) !== 0) return err(EFAULT);
  if (task.world.preemptible) yield USER_FAULT;
  let flags = 0;
  if ((gupFlags & FOLL_WRITE) !== 0) flags |= FAULT_FLAG_WRITE;
  if (locked !== null) flags |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE;
  if ((gupFlags & FOLL_NOWAIT) !== 0) flags |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_RETRY_NOWAIT;
  if ((gupFlags & FOLL_TRIED) !== 0) flags |= FAULT_FLAG_TRIED;
  let result = tryHandleMmFault(task, vma, address, flags);
  if (result === NEEDS_SLEEP) result = yield* handleMmFault(task, vma, address, flags);
  if ((result & VM_FAULT_COMPLETED) !== 0) {
    if (locked !== null) locked.held = false;
    return err(EAGAIN);
  }
  if ((result & VM_FAULT_ERROR) !== 0) return vmFaultToErrno(result, gupFlags);
  if ((result & VM_FAULT_RETRY) !== 0) {
    if (locked !== null && (flags & FAULT_FLAG_RETRY_NOWAIT) === 0) locked.held = false;
    return err(EBUSY);
  }
  return 0;
}

/** Context: atomic. Linux: vm_fault_to_errno() */
export function vmFaultToErrno(result: number, gupFlags: number): Status {
  if ((result & VM_FAULT_OOM) !== 0) return err(ENOMEM);
  if ((result & VM_FAULT_HWPOISON) !== 0) return err((gupFlags & FOLL_HWPOISON) !== 0 ? EHWPOISON : EFAULT);
  return (result & VM_FAULT_ERROR) !== 0 ? err(EFAULT) : 0;
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
    if (!downReadTrylock(task, mmapLock)) yield* downRead(task, mmapLock);
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
 * Collect pages, taking mmap_lock here. Context: may fault; mmap_lock not held.
 *
 * Returns: pages collected, or an error if there are none. Linux: get_user_pages_unlocked()
 */
export function getUserPagesUnlocked(
  task: UserTask,
  start: number,
  count: number,
  gupFlags: number,
  pages: Pfn[],
): MayFault<number> {
  return getUserPagesLocked(task, start, count, gupFlags | FOLL_GET | FOLL_UNLOCKABLE, pages, { held: false });
}

/**
 * Collect what the page tables have, without locks and without faulting.
 *
 * Refuses special entries (the zero page), entries not yet accessed, and for writing those not writable.
 *
 * Context: atomic. Returns: pages collected, possibly 0; never an error. Linux: get_user_pages_fast_only()
 */
export function getUserPagesFastOnly(
  task: UserTask,
  start: number,
  count: number,
  gupFlags: number,
  pages: Pfn[],
): number {
  const { mm } = task;
  const need = PTE_PRESENT | PTE_ACCESSED | ((gupFlags & FOLL_WRITE) !== 0 ? PTE_RW : 0);
  const first = Math.floor(start / PAGE_SIZE);
  for (let done = 0; done < count; done++) {
    const entry = mm.pgd.get(first + done);
    task.world.accesses?.read(mm.entryId(first + done));
    if ((entry & (need | PTE_SPECIAL)) !== need) return done;
    getPage(mm.mem, ptePfn(entry));
    pages.push(ptePfn(entry));
  }
  return count;
}

/**
 * Collect pages: what the fast walk finds, then the slow walk for the rest.
 *
 * Context: may fault, unless FOLL_NOFAULT or FOLL_FAST_ONLY; mmap_lock not held.
 * Returns: pages collected, or an error if there are none. Linux: get_user_pages_fast()
 */
export function* getUserPagesFast(
  task: UserTask,
  start: number,
  count: number,
  gupFlags: number,
  pages: Pfn[],
): MayFault<number> {
  const first = pageStart(start);
  if (first < 0 || first + count * PAGE_SIZE > TASK_SIZE) return err(EFAULT);
  const fast = getUserPagesFastOnly(task, first, count, gupFlags, pages);
  if (fast === count || (gupFlags & FOLL_FAST_ONLY) !== 0) return fast;
  const slow = yield* getUserPagesUnlocked(task, first + fast * PAGE_SIZE, count - fast, gupFlags, pages);
  if (isErr(slow)) return fast > 0 ? fast : slow;
  return fast + slow;
}

/**
 * The same without faulting, which needs no more than sleeping.
 *
 * Context: sleeps (mmap_lock). Returns: pages collected, or -EFAULT if there are none.
 * Linux:   get_user_pages_fast() with FOLL_NOFAULT
 */
export function* getUserPagesNofault(
  task: UserTask,
  start: number,
  count: number,
  gupFlags: number,
  pages: Pfn[],
): MaySleep<number> {
  const walk = getUserPagesFast(task, start, count, gupFlags | FOLL_NOFAULT, pages);
  for (let step = walk.next(); ; step = walk.next()) {
    if (step.done === true) return step.value;
    if (!(step.value instanceof WaitChannel)) throw new KernelBug("a walk with FOLL_NOFAULT faulted");
    yield step.value;
  }
}

/** Drop the references or pins of a walk; `dirty` says that their bytes were written. Linux: unpin_user_pages_dirty_lock() */
export function putUserPages(task: UserTask, pages: readonly Pfn[], dirty: boolean): void {
  const { mem } = task.mm;
  for (const page of pages) {
    const mapping = pageMapping(mem, page);
    if (dirty && mapping !== null) mapping.ops.dirtyFolio(task, mapping, page);
    putPage(mem, page);
  }
}
