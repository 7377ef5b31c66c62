// Moving and resizing areas (mm/mremap.c).

import {
  bugOn,
  downWrite,
  EAGAIN,
  EFAULT,
  EINVAL,
  ENOMEM,
  type Errno,
  err,
  ignoreResult,
  type MayFault,
  PAGE_SIZE,
  pageAlign,
  upWrite,
} from "@faultline/kernel";
import { exceedsMemlock, growVma, insertVma, mayExpandVm, modifyVma } from "./area.ts";
import { type MmStruct, TASK_SIZE } from "./mm-struct.ts";
import { MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE } from "./mman.ts";
import { mmapWriteLockNow } from "./mmap-lock.ts";
import { unmapRange } from "./munmap.ts";
import { mmPopulate } from "./populate.ts";
import { getUnmappedArea, placeFor } from "./unmapped-area.ts";
import type { UserTask } from "./user-task.ts";
import { backingOf, VM_DONTEXPAND, VM_LOCKED, VM_MAYSHARE, VM_PFNMAP, VM_SHARED, Vma, vmaIsAnonymous } from "./vma.ts";

export interface MremapArgs {
  readonly address: number;
  readonly oldLength: number;
  readonly newLength: number;
  /** MREMAP_*. */
  readonly flags: number;
  /** Where to, with MREMAP_FIXED; a hint with MREMAP_DONTUNMAP. */
  readonly newAddress?: number;
}

/**
 * Resize or move a mapping; its pages move along, none is copied.
 *
 * Context: may fault (locked memory that grows); mmap_lock not held.
 * Returns: the new address, or -EINVAL, -EFAULT, -ENOMEM, -EAGAIN.
 * Linux:   mremap()
 * Differs: since 6.17 Linux also moves ranges of several areas.
 */
export function* doMremap(task: UserTask, args: MremapArgs): MayFault<number> {
  const { mm } = task;
  if (!mmapWriteLockNow(task, mm)) yield* downWrite(task, mm.mmapLock);
  const result = mremap(task, args);
  const locked = result >= 0 && ((mm.vmas.lookup(result)?.flags ?? 0) & VM_LOCKED) !== 0;
  upWrite(task, mm.mmapLock);
  const grown = pageAlign(args.newLength) - pageAlign(args.oldLength);
  if (locked && grown > 0) {
    const status = yield* mmPopulate(task, result + pageAlign(args.oldLength), grown, true);
    ignoreResult(status, "memory that could not be populated is faulted in when it is touched");
  }
  return result;
}

function mremap(task: UserTask, args: MremapArgs): number {
  const { mm } = task;
  const { address, flags } = args;
  const target = args.newAddress ?? 0;
  for (const value of [address, args.oldLength, args.newLength, flags, target]) {
    if (!Number.isInteger(value)) return err(EINVAL);
  }
  if ((flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0) return err(EINVAL);
  if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0 && (flags & MREMAP_MAYMOVE) === 0) return err(EINVAL);
  if ((flags & MREMAP_DONTUNMAP) !== 0 && args.oldLength !== args.newLength) return err(EINVAL);
  if (address % PAGE_SIZE !== 0 || args.newLength === 0) return err(EINVAL);
  // What is negative here is a huge number there: more than any area or gap has.
  const oldLength = args.oldLength < 0 ? Number.POSITIVE_INFINITY : pageAlign(args.oldLength);
  const newLength = args.newLength < 0 ? Number.POSITIVE_INFINITY : pageAlign(args.newLength);
  if (!(address >= 0 && address < TASK_SIZE) || mm.vmas.lookup(address) === null) return err(EFAULT);
  if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0) {
    return mremapTo(task, address, oldLength, newLength, target, flags);
  }
  if (newLength <= oldLength) {
    const trimmed = newLength < oldLength ? shrink(task, address, oldLength, newLength) : 0;
    return trimmed === 0 ? address : trimmed;
  }
  const vma = vmaToResize(task, address, oldLength, newLength, flags);
  if (typeof vma === "number") return vma;
  if (address + oldLength === vma.end && isFree(vma, address + newLength)) {
    growVma(mm, vma, address + newLength);
    return address;
  }
  if ((flags & MREMAP_MAYMOVE) === 0) return err(ENOMEM);
  const place = newLength <= TASK_SIZE ? getUnmappedArea(mm, newLength) : err(ENOMEM);
  return place < 0 ? place : moveVma(task, vma, address, oldLength, newLength, place, flags);
}

/** Unmap what lies behind the new end; it need not be one area. */
function shrink(task: UserTask, address: number, oldLength: number, newLength: number): 0 | Errno {
  if (address + oldLength > TASK_SIZE) return err(EINVAL);
  return unmapRange(task, address + newLength, address + oldLength);
}

/** Move to a given place, or leave an empty area behind. Linux: mremap_to() */
function mremapTo(
  task: UserTask,
  address: number,
  oldLength: number,
  newLength: number,
  target: number,
  flags: number,
): number {
  const { mm } = task;
  if (target < 0 || target % PAGE_SIZE !== 0 || newLength > TASK_SIZE - target) return err(EINVAL);
  if (address + oldLength > target && target + newLength > address) return err(EINVAL);
  if (mm.vmas.size + 2 >= mm.limits.maxMapCount - 3) return err(ENOMEM);
  if ((flags & MREMAP_FIXED) !== 0) {
    if (target < mm.limits.mmapMinAddr) return err(EINVAL);
    const unmapped = unmapRange(task, target, target + newLength);
    if (unmapped !== 0) return unmapped;
  }
  let length = oldLength;
  if (oldLength > newLength) {
    const trimmed = shrink(task, address, oldLength, newLength);
    if (trimmed !== 0) return trimmed;
    length = newLength;
  }
  const vma = vmaToResize(task, address, length, newLength, flags);
  if (typeof vma === "number") return vma;
  const keeps = (flags & MREMAP_DONTUNMAP) !== 0;
  if (keeps && !mayExpandVm(mm, vma.flags, length)) return err(ENOMEM);
  const place = (flags & MREMAP_FIXED) !== 0 ? target : placeFor(mm, target, newLength, 0);
  return place < 0 ? place : moveVma(task, vma, address, length, newLength, place, flags);
}

/** The area that is to have `newLength` bytes from `address`, if it may. Linux: vma_to_resize() */
function vmaToResize(
  task: UserTask,
  address: number,
  oldLength: number,
  newLength: number,
  flags: number,
): Vma | Errno {
  const { mm } = task;
  const vma = mm.vmas.lookup(address);
  if (vma === null) return err(EFAULT);
  // Old length 0 asks for a second mapping of the same memory, which only shared memory can have.
  if (oldLength === 0 && (vma.flags & (VM_SHARED | VM_MAYSHARE)) === 0) return err(EINVAL);
  if ((flags & MREMAP_DONTUNMAP) !== 0 && (vma.flags & (VM_DONTEXPAND | VM_PFNMAP)) !== 0) return err(EINVAL);
  if (oldLength > vma.end - address) return err(EFAULT);
  if (newLength === oldLength) return vma;
  if ((vma.flags & (VM_DONTEXPAND | VM_PFNMAP)) !== 0) return err(EFAULT);
  if (exceedsMemlock(mm, vma.flags, newLength - oldLength)) return err(EAGAIN);
  return mayExpandVm(mm, vma.flags, newLength - oldLength) ? vma : err(ENOMEM);
}

/** Is there nothing between the area's end and `end`? Linux: vma_expandable() */
function isFree(vma: Vma, end: number): boolean {
  return end <= (vma.mm.vmas.next(vma)?.start ?? TASK_SIZE);
}

/** Linux: move_vma() */
function moveVma(
  task: UserTask,
  vma: Vma,
  address: number,
  oldLength: number,
  newLength: number,
  target: number,
  flags: number,
): number {
  const { mm } = task;
  if (mm.vmas.size >= mm.limits.maxMapCount - 3) return err(ENOMEM);
  // Nobody knows yet where untouched memory began: it merges best where it belongs.
  const untouched = vmaIsAnonymous(vma) && vma.anonVma === 0;
  const pgoff = untouched ? target / PAGE_SIZE : vma.pgoff + (address - vma.start) / PAGE_SIZE;
  const { flags: vmFlags, anonVma } = vma;
  const copy = new Vma(mm, target, target + newLength, vmFlags, pgoff, backingOf(vma));
  copy.anonVma = anonVma;
  insertVma(mm, copy);
  movePageTables(task, address, target, Math.min(oldLength, newLength));
  if ((flags & MREMAP_DONTUNMAP) === 0) {
    ignoreResult(unmapRange(task, address, address + oldLength), "there is room for the areas that it makes");
  } else if ((vmFlags & VM_LOCKED) !== 0) {
    unlockRange(mm, address, address + oldLength);
  }
  return target;
}

/** What MREMAP_DONTUNMAP leaves behind is not locked any more. */
function unlockRange(mm: MmStruct, start: number, end: number): void {
  const vma = mm.vmas.lookup(start) as Vma;
  const area = modifyVma(mm, vma, start, end, vma.flags & ~VM_LOCKED);
  bugOn(typeof area === "number", "mremap made sure that there is room for more areas");
}

/** Linux: move_page_tables() */
function movePageTables(task: UserTask, from: number, to: number, length: number): void {
  const { mm } = task;
  const shift = (to - from) / PAGE_SIZE;
  const log = task.world.accesses;
  mm.pgd.forEach(from / PAGE_SIZE, (from + length) / PAGE_SIZE, (vpn, entry, leaf, slot) => {
    leaf[slot] = 0;
    mm.pgd.set(vpn + shift, entry);
    log?.write(mm.entryId(vpn));
    log?.write(mm.entryId(vpn + shift));
  });
}
