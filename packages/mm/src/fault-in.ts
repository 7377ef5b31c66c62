// The fault_in_* family: make user pages resident by hand, before or after a copy with faults disabled fell
// short. No reference is kept, so nothing promises that the pages are still there at the copy: every caller
// must be ready to see it fall short again.
//
// Today's functions return the bytes that could NOT be faulted in: 0 = all, `size` = nothing. They probe by
// rising address and stop at the first failure. The older contracts stand beside them, faults included.

import {
  downRead,
  downReadTrylock,
  EFAULT,
  EINTR,
  err,
  type Faulting,
  isErr,
  type MayFault,
  offsetInPage,
  PAGE_SIZE,
  pageAlign,
  pageStart,
  type Sleep,
  type Status,
  type Uncopied,
  USER_FAULT,
  uncopied,
  upRead,
} from "@faultline/kernel";
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_KILLABLE,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_WRITE,
  VM_FAULT_COMPLETED,
  VM_FAULT_ERROR,
  VM_FAULT_RETRY,
} from "./fault-flags.ts";
import { FOLL_POPULATE, FOLL_TOUCH, FOLL_WRITE, getUserPagesLocked, type Locked, vmFaultToErrno } from "./gup.ts";
import { handleMmFault, NEEDS_SLEEP, tryHandleMmFault } from "./memory.ts";
import { TASK_SIZE } from "./mm-struct.ts";
import { bytesBeforePoison, GRANULE_SIZE } from "./poison.ts";
import { PMD_SIZE, PTE_PRESENT, PTE_RW, ptePfn } from "./pte.ts";
import { expandStack } from "./stack.ts";
import { accessOk, FAULTS_ENABLED, getUser, putUser, type UserAccess } from "./uaccess.ts";
import type { UserTask } from "./user-task.ts";
import { VM_IO, VM_PFNMAP, VM_READ, VM_WRITE, type Vma } from "./vma.ts";

/**
 * Are all pages of the range there, so that fault_in_readable (or _writeable) would return 0 at once?
 *
 * The shortcut for hot paths; nothing has happened when the answer is no.
 *
 * Context: atomic.
 */
export function isFaultedIn(task: UserTask, address: number, size: number, write: boolean): boolean {
  const { pgd, mem } = task.mm;
  if (task.world.accesses !== null || mem.poison !== null) return false;
  const need = write ? PTE_PRESENT | PTE_RW : PTE_PRESENT;
  const end = address + size;
  for (let at = address; at < end; at = pageStart(at) + PAGE_SIZE) {
    const leafKey = Math.floor(at / PMD_SIZE);
    if ((pgd.leafOf(leafKey)[(at - leafKey * PMD_SIZE) >>> 12] & need) !== need) return false;
  }
  return true;
}

/**
 * Fault in a range for reading: load one byte of each page, the first byte of the range first.
 *
 * Context: may fault, unless `user` says that faults are disabled: then it only probes.
 * Returns: bytes NOT faulted in.
 * Linux:   fault_in_readable() since 5.16
 */
export function* faultInReadable<Y = Faulting>(
  task: UserTask,
  address: number,
  size: number,
  user: UserAccess<Y> = FAULTS_ENABLED as UserAccess<Y>,
): Generator<Sleep | Y, Uncopied, void> {
  task.world.trace?.emit(task, "fault_in_readable", address, size);
  const left = yield* probePages(task, address, size, (at) => getUser(task, at, user));
  task.world.trace?.emit(task, "fault_in_readable_ret", left);
  return left;
}

/**
 * Fault in a range for writing by storing a zero byte in each page: what was there is lost.
 *
 * Context: may fault. Returns: bytes NOT faulted in.
 * Linux:   fault_in_writeable() since 5.16
 */
export function* faultInWriteable(task: UserTask, address: number, size: number): MayFault<Uncopied> {
  task.world.trace?.emit(task, "fault_in_writeable", address, size);
  const left = yield* probePages(task, address, size, (at) => putUser(task, at, 0));
  task.world.trace?.emit(task, "fault_in_writeable_ret", left);
  return left;
}

function* probePages<Y>(
  task: UserTask,
  address: number,
  size: number,
  probe: (at: number) => Generator<Sleep | Y, number, void>,
): Generator<Sleep | Y, Uncopied, void> {
  if (size === 0) return uncopied(0);
  if (task.mm.revision.faultInChecksRange && !accessOk(address, size)) return uncopied(size);
  const end = address + size;
  for (let at = address; at < end; at = pageStart(at) + PAGE_SIZE) {
    if (isErr(yield* probe(at))) return uncopied(end - at);
  }
  return uncopied(0);
}

/**
 * fault_in_writeable, and then a probe of every granule of what that could reach.
 *
 * Context: may fault. Returns: bytes NOT known to be writable, exact to the granule.
 * Linux:   fault_in_subpage_writeable() since 5.19, probe_subpage_writeable() as arm64 has it
 */
export function* faultInSubpageWriteable(task: UserTask, address: number, size: number): MayFault<Uncopied> {
  const left = yield* faultInWriteable(task, address, size);
  const reached = size - left;
  const { pgd, mem } = task.mm;
  for (let at = address; at < address + reached; at = at - (at % GRANULE_SIZE) + GRANULE_SIZE) {
    const frame = ptePfn(pgd.get(Math.floor(at / PAGE_SIZE)));
    if (bytesBeforePoison(mem, frame * PAGE_SIZE + offsetInPage(at), 1) === 0) return uncopied(address + size - at);
  }
  return left;
}

/**
 * Fault in a range for writing without touching its bytes: as if written to, but nothing is.
 *
 * Context: may fault. Returns: bytes NOT faulted in, by the rule of the revision.
 * Linux:   fault_in_safe_writeable() since 5.16
 */
export function* faultInSafeWriteable(task: UserTask, address: number, size: number): MayFault<Uncopied> {
  task.world.trace?.emit(task, "fault_in_safe_writeable", address, size);
  const rule = task.mm.revision.faultInSafeWriteable;
  const left =
    rule === "get-user-pages"
      ? yield* walkAreas(task, address, size)
      : yield* walkPages(task, address, size, rule === "fixup-any");
  task.world.trace?.emit(task, "fault_in_safe_writeable_ret", left);
  return left;
}

/** 5.18 on: fixup_user_fault on each page. `anyIsAll`: until 6.14, some progress was reported as complete. */
function* walkPages(task: UserTask, address: number, size: number, anyIsAll: boolean): MayFault<Uncopied> {
  const { mmapLock } = task.mm;
  const end = address + size;
  if (size === 0) return uncopied(0);
  let at = address;
  if (!downReadTrylock(task, mmapLock)) yield* downRead(task, mmapLock);
  while (at < end && (yield* fixupUserFault(task, at, FAULT_FLAG_WRITE)) === 0) at = pageStart(at) + PAGE_SIZE;
  upRead(task, mmapLock);
  if (at >= end || (anyIsAll && at > address)) return uncopied(0);
  return uncopied(end - at);
}

/**
 * 5.16 and 5.17: GUP area by area. Gaps and raw memory are passed over and count as done. When not even the
 * first page could be had and the range begins inside it, the difference underflows and all counts as done.
 */
function* walkAreas(task: UserTask, address: number, size: number): MayFault<Uncopied> {
  const reached = yield* gupAreas(task, pageStart(address), pageAlign(address + size), FOLL_TOUCH | FOLL_WRITE);
  const done = reached - address;
  return uncopied(done < 0 || done >= size ? 0 : size - done);
}

/** Walk the areas of [start, end), passing over gaps and raw memory. Returns: the address where it stopped. */
function* gupAreas(task: UserTask, start: number, end: number, gupFlags: number): MayFault<number> {
  const { mm } = task;
  const locked: Locked = { held: false };
  let at = start;
  while (at < end) {
    if (!locked.held) {
      if (!downReadTrylock(task, mm.mmapLock)) yield* downRead(task, mm.mmapLock);
      locked.held = true;
    }
    const vma = mm.vmas.find(at);
    if (vma === null || vma.start >= end) break;
    const areaEnd = Math.min(end, vma.end);
    if ((vma.flags & (VM_IO | VM_PFNMAP)) !== 0) {
      at = areaEnd;
      continue;
    }
    at = Math.max(at, vma.start);
    const got = yield* getUserPagesLocked(task, at, (areaEnd - at) / PAGE_SIZE, gupFlags, null, locked);
    if (got <= 0) break;
    at += got * PAGE_SIZE;
  }
  if (locked.held) upRead(task, mm.mmapLock);
  return at;
}

/**
 * Fault in a range by get_user_pages, as the patch under discussion in July 2021 did. Gaps and raw memory
 * between areas count as faulted in.
 *
 * Context: may fault. Returns: bytes faulted in, counted from `start`: done, NOT left.
 * Linux:   fault_in_user_pages(), "[PATCH v4 1/8] iov_iter: Introduce iov_iter_fault_in_writeable helper"
 */
export function* faultInUserPages(task: UserTask, start: number, size: number, write: boolean): MayFault<number> {
  task.world.trace?.emit(task, "fault_in_user_pages", start, size, write ? 1 : 0);
  const flags = FOLL_TOUCH | FOLL_POPULATE | (write ? FOLL_WRITE : 0);
  const end = pageAlign(start + size);
  const reached = end <= TASK_SIZE + PAGE_SIZE ? yield* gupAreas(task, pageStart(start), end, flags) : 0;
  const done = reached > start ? Math.min(reached - start, size) : 0;
  task.world.trace?.emit(task, "fault_in_user_pages_ret", done);
  return done;
}

/**
 * Fault in a range for reading, all or nothing: the byte at the start, one in each further page, and the last.
 *
 * Context: may fault. Returns: 0 or -EFAULT.
 * Linux:   fault_in_pages_readable() until 5.15
 */
export function faultInPagesReadable<Y = Faulting>(
  task: UserTask,
  address: number,
  size: number,
  user: UserAccess<Y> = FAULTS_ENABLED as UserAccess<Y>,
): Generator<Sleep | Y, Status, void> {
  return probeAll(address, size, (at) => getUser(task, at, user));
}

/**
 * The same for writing, by storing zero bytes: what was there is lost.
 *
 * Context: may fault. Returns: 0 or -EFAULT. Linux: fault_in_pages_writeable() until 5.15
 */
export function faultInPagesWriteable(task: UserTask, address: number, size: number): MayFault<Status> {
  return probeAll(address, size, (at) => putUser(task, at, 0));
}

function* probeAll<Y>(
  address: number,
  size: number,
  probe: (at: number) => Generator<Sleep | Y, number, void>,
): Generator<Sleep | Y, Status, void> {
  if (size === 0) return 0;
  const last = address + size - 1;
  let at = address;
  do {
    if (isErr(yield* probe(at))) return err(EFAULT);
    at += PAGE_SIZE;
  } while (at <= last);
  // The last byte may lie in a page that no step of 4096 has met.
  if (pageStart(at) === pageStart(last) && isErr(yield* probe(last))) return err(EFAULT);
  return 0;
}

/**
 * Call the fault handler for one page, whether or not it is resident.
 *
 * Context: may fault; mmap_lock held for reading, and held again on return if it was dropped.
 * Returns: 0, -EFAULT, -ENOMEM or -EINTR.
 * Linux:   fixup_user_fault()
 */
export function* fixupUserFault(task: UserTask, address: number, faultFlags: number): MayFault<Status> {
  task.world.trace?.emit(task, "fixup_user_fault", address, faultFlags);
  const status = yield* fixup(task, address, faultFlags | FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE);
  task.world.trace?.emit(task, "fixup_user_fault_ret", status);
  return status;
}

function* fixup(task: UserTask, address: number, faultFlags: number): MayFault<Status> {
  const { mm } = task;
  let flags = faultFlags;
  if (task.world.preemptible) yield USER_FAULT;
  for (;;) {
    const vma = address < TASK_SIZE ? (mm.vmas.lookup(address) ?? growStack(task, address)) : null;
    const needs = (flags & FAULT_FLAG_WRITE) !== 0 ? VM_WRITE : VM_READ;
    if (vma === null || (vma.flags & needs) === 0) return err(EFAULT);
    if (task.fatalSignal) return err(EINTR);
    let result = tryHandleMmFault(task, vma, address, flags);
    if (result === NEEDS_SLEEP) result = yield* handleMmFault(task, vma, address, flags);
    if ((result & VM_FAULT_COMPLETED) !== 0) {
      yield* downRead(task, mm.mmapLock);
      return 0;
    }
    if ((result & VM_FAULT_ERROR) !== 0) return vmFaultToErrno(result, 0);
    if ((result & VM_FAULT_RETRY) === 0) return 0;
    yield* downRead(task, mm.mmapLock);
    flags |= FAULT_FLAG_TRIED;
  }
}

function growStack(task: UserTask, address: number): Vma | null {
  return task.mm.revision.gupGrowsStack ? expandStack(task.mm, address) : null;
}
