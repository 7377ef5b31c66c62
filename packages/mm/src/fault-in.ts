// The fault_in_* family as it is since 5.16: make user pages resident by hand, before or after a copy with
// faults disabled fell short. No reference is kept, so nothing promises that the pages are still there at the
// copy: every caller must be ready to see it fall short again.
//
// All return the bytes that could NOT be faulted in: 0 = all, `size` = nothing. They probe by rising address
// and stop at the first failure. What came before is in fault-in-old.ts.

import {
  downRead,
  type Faulting,
  type MayFault,
  offsetInPage,
  PAGE_SIZE,
  pageAlign,
  pageStart,
  type Sleep,
  type Uncopied,
  uncopied,
  upRead,
} from "@faultline/kernel";
import { NEEDS_SLEEP } from "./anon-fault.ts";
import { FAULT_FLAG_WRITE } from "./fault-flags.ts";
import { gupAreas } from "./fault-in-areas.ts";
import { finishFixupUserFault, tryFixupUserFault } from "./fixup-user-fault.ts";
import { tryProbeUser } from "./get-user.ts";
import { FOLL_TOUCH, FOLL_WRITE } from "./gup-flags.ts";
import { mmapReadLockNow } from "./mmap-lock.ts";
import { bytesBeforePoison, GRANULE_SIZE } from "./poison.ts";
import { PMD_SIZE, PTE_PRESENT, PTE_RW, ptePfn } from "./pte.ts";
import { accessOk, FAULTS_ENABLED, type UserAccess } from "./uaccess.ts";
import { Direction } from "./user-copy.ts";
import type { UserTask } from "./user-task.ts";

/**
 * Are all pages of the range there, so that fault_in_readable (or _writeable) would return 0 at once?
 *
 * The shortcut for hot paths; nothing has happened when the answer is no.
 *
 * Context: atomic.
 */
export function isFaultedIn(task: UserTask, address: number, size: number, write: boolean): boolean {
  const { pgd, mem } = task.mm;
  if (task.world.accesses !== null || mem.poison !== null || !accessOk(address, size)) return false;
  const need = write ? PTE_PRESENT | PTE_RW : PTE_PRESENT;
  let left = size;
  for (let leafKey = Math.floor(address / PMD_SIZE); left > 0; leafKey++) {
    const leaf = pgd.leafOf(leafKey);
    const offset = address + size - left - leafKey * PMD_SIZE;
    const end = Math.min(offset + left, PMD_SIZE);
    const last = (end - 1) >>> 12;
    for (let slot = offset >>> 12; slot <= last; slot++) if ((leaf[slot] & need) !== need) return false;
    left -= end - offset;
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
export function faultInReadable(task: UserTask, address: number, size: number): MayFault<Uncopied>;
export function faultInReadable<Y>(
  task: UserTask,
  address: number,
  size: number,
  user: UserAccess<Y>,
): Generator<Sleep | Y, Uncopied, void>;
export function* faultInReadable(
  task: UserTask,
  address: number,
  size: number,
  user: UserAccess<Faulting> = FAULTS_ENABLED,
): MayFault<Uncopied> {
  task.world.trace?.emit(task, "fault_in_readable", address, size);
  const left = yield* probePages(task, address, size, Direction.FromUser, user);
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
  const left = yield* probePages(task, address, size, Direction.ToUser, FAULTS_ENABLED);
  task.world.trace?.emit(task, "fault_in_writeable_ret", left);
  return left;
}

function* probePages<Y>(
  task: UserTask,
  address: number,
  size: number,
  direction: Direction,
  user: UserAccess<Y>,
): Generator<Sleep | Y, Uncopied, void> {
  if (size === 0) return uncopied(0);
  if (address === 0 && task.mm.revision.faultInSkipsZero) return uncopied(size);
  if (task.mm.revision.faultInChecksRange && !accessOk(address, size)) return uncopied(size);
  if (user.faults) task.world.lockdep?.mightFault(task);
  const toPageEnd = PAGE_SIZE - offsetInPage(address);
  for (let done = 0; done < size; done = done === 0 ? toPageEnd : done + PAGE_SIZE) {
    while (!tryProbeUser(task, address + done, direction)) {
      if (!(user.tryResolve(task) ?? (yield* user.resolve(task)))) return uncopied(size - done);
    }
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
  const { pgd, mem } = task.mm;
  if (mem.poison === null) return left;
  const reached = address + size - left;
  for (let at = address; at < reached; at = at - (at % GRANULE_SIZE) + GRANULE_SIZE) {
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
  const { mm } = task;
  if (size === 0) return uncopied(0);
  if (address === 0 && mm.revision.faultInSkipsZero) return uncopied(size);
  const toPageEnd = PAGE_SIZE - offsetInPage(address);
  let done = 0;
  if (!mmapReadLockNow(task, mm)) yield* downRead(task, mm.mmapLock);
  // A range that leaves the address space ends there at the latest: no area lies beyond.
  while (done < size) {
    let status = tryFixupUserFault(task, address + done, FAULT_FLAG_WRITE);
    if (status === NEEDS_SLEEP) status = yield* finishFixupUserFault(task, address + done, FAULT_FLAG_WRITE);
    if (status !== 0) break;
    done = done === 0 ? toPageEnd : done + PAGE_SIZE;
  }
  upRead(task, mm.mmapLock);
  return uncopied(done >= size || (anyIsAll && done > 0) ? 0 : size - done);
}

/**
 * 5.16 and 5.17: GUP area by area. Gaps and raw memory are passed over and count as done. When not even the
 * first page could be had and the range begins inside it, the difference underflows and all counts as done.
 */
function* walkAreas(task: UserTask, address: number, size: number): MayFault<Uncopied> {
  const end = pageAlign(address + size);
  const reached = yield* gupAreas(task, pageStart(address), end, FOLL_TOUCH | FOLL_WRITE);
  if (reached === end) return uncopied(0);
  const done = reached - address;
  return uncopied(done < 0 || done >= size ? 0 : size - done);
}
