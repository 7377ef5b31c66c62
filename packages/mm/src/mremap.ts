// Moving and resizing areas (mm/mremap.c).

import {
  downWrite,
  downWriteTrylock,
  EFAULT,
  EINVAL,
  ENOMEM,
  err,
  type MaySleep,
  PAGE_SIZE,
  pageAlign,
  upWrite,
} from "@faultline/kernel";
import { TASK_SIZE } from "./mm-struct.ts";
import { getUnmappedArea, insertVma, isRange, mergeAround, unmapRange } from "./mmap.ts";
import type { UserTask } from "./user-task.ts";
import { VM_PFNMAP, Vma, type VmaBacking } from "./vma.ts";

export const MREMAP_MAYMOVE = 1;
export const MREMAP_FIXED = 2;

export interface MremapArgs {
  readonly address: number;
  readonly oldLength: number;
  readonly newLength: number;
  /** MREMAP_*. */
  readonly flags: number;
  /** Where to, with MREMAP_FIXED. */
  readonly newAddress?: number;
}

/**
 * Resize or move a mapping; its pages move along, none is copied.
 *
 * Context: sleeps; mmap_lock not held.
 * Returns: the new address, or -EINVAL, -EFAULT (gap), -ENOMEM.
 * Linux:   mremap()
 */
export function* doMremap(task: UserTask, args: MremapArgs): MaySleep<number> {
  const { mm } = task;
  if (!downWriteTrylock(task, mm.mmapLock)) yield* downWrite(task, mm.mmapLock);
  const result = remap(task, args);
  upWrite(task, mm.mmapLock);
  return result;
}

function remap(task: UserTask, args: MremapArgs): number {
  const { mm } = task;
  const { address, flags } = args;
  const fixed = (flags & MREMAP_FIXED) !== 0;
  if ((flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED)) !== 0) return err(EINVAL);
  if (fixed && (flags & MREMAP_MAYMOVE) === 0) return err(EINVAL);
  if (!isRange(address, args.oldLength) || !(args.newLength > 0) || args.newLength > TASK_SIZE) return err(EINVAL);
  const oldLength = pageAlign(args.oldLength);
  const newLength = pageAlign(args.newLength);
  const target = args.newAddress ?? 0;
  if (fixed) {
    if (!isRange(target, newLength)) return err(EINVAL);
    if (target + newLength > address && address + oldLength > target) return err(EINVAL);
  }
  const vma = mm.vmas.lookup(address);
  if (vma === null || address + oldLength > vma.end) return err(EFAULT);
  // Old length 0 would duplicate a shared mapping; raw memory cannot grow.
  if (oldLength === 0 || ((vma.flags & VM_PFNMAP) !== 0 && newLength > oldLength)) return err(EINVAL);
  if (!fixed && newLength <= oldLength) {
    const trimmed = newLength < oldLength ? unmapRange(task, address + newLength, address + oldLength) : 0;
    return trimmed === 0 ? address : trimmed;
  }
  const growth = Math.max(0, newLength - oldLength);
  if (mm.totalVm + growth > mm.limits.addressSpace) return err(ENOMEM);
  if (!fixed && address + oldLength === vma.end && expandInPlace(vma, address + newLength)) return address;
  if ((flags & MREMAP_MAYMOVE) === 0) return err(ENOMEM);
  return moveVma(task, vma, address, oldLength, newLength, fixed ? target : -1);
}

/** Grow an area at its end if the space behind it is free. */
function expandInPlace(vma: Vma, end: number): boolean {
  const { mm } = vma;
  const next = mm.vmas.next(vma);
  if (end > TASK_SIZE || (next !== null && next.start < end)) return false;
  mm.totalVm += end - vma.end;
  vma.end = end;
  mergeAround(mm, vma);
  return true;
}

/** Linux: move_vma() */
function moveVma(
  task: UserTask,
  vma: Vma,
  address: number,
  oldLength: number,
  newLength: number,
  fixed: number,
): number {
  const { mm } = task;
  if (mm.vmas.size + 3 > mm.limits.maxMapCount) return err(ENOMEM);
  if (fixed >= 0) {
    const unmapped = unmapRange(task, fixed, fixed + newLength);
    if (unmapped !== 0) return unmapped;
  }
  const target = fixed >= 0 ? fixed : getUnmappedArea(mm, newLength);
  if (target < 0) return target;
  const pgoff = vma.pgoff + (address - vma.start) / PAGE_SIZE;
  const backing: VmaBacking = { mapping: vma.mapping, ops: vma.ops, file: vma.file };
  insertVma(mm, new Vma(mm, target, target + newLength, vma.flags, pgoff, backing));
  movePageTables(task, address, target, Math.min(oldLength, newLength));
  const unmapped = unmapRange(task, address, address + oldLength);
  return unmapped === 0 ? target : unmapped;
}

/** Linux: move_page_tables() */
function movePageTables(task: UserTask, from: number, to: number, length: number): void {
  const { mm } = task;
  const shift = (to - from) / PAGE_SIZE;
  mm.pgd.forEach(from / PAGE_SIZE, (from + length) / PAGE_SIZE, (vpn, entry) => {
    mm.pgd.set(vpn, 0);
    mm.pgd.set(vpn + shift, entry);
    task.world.accesses?.write(mm.entryId(vpn));
    task.world.accesses?.write(mm.entryId(vpn + shift));
  });
}
