// Unmapping memory (mm/mmap.c, mm/vma.c: do_vmi_munmap, exit_mmap).

import {
  bugOn,
  downWrite,
  EINVAL,
  ENOMEM,
  type Errno,
  err,
  ignoreResult,
  type MaySleep,
  PAGE_SIZE,
  pageAlign,
  type Status,
  upWrite,
} from "@faultline/kernel";
import { removeVma, splitVma } from "./area.ts";
import { type MmStruct, TASK_SIZE } from "./mm-struct.ts";
import { mmapWriteLockNow } from "./mmap-lock.ts";
import { zapPageRange } from "./rmap.ts";
import { forgetGaps } from "./unmapped-area.ts";
import type { UserTask } from "./user-task.ts";
import type { Vma } from "./vma.ts";

/**
 * Unmap [address, address + length). Gaps in it do not matter.
 *
 * Context: sleeps; mmap_lock not held. Returns: 0, -EINVAL or -ENOMEM.
 * Linux:   munmap()
 */
export function* doMunmap(task: UserTask, address: number, length: number): MaySleep<Status> {
  const { mm } = task;
  if (!mmapWriteLockNow(task, mm)) yield* downWrite(task, mm.mmapLock);
  const status =
    isUserRange(address, length) && length > 0 ? unmapRange(task, address, address + pageAlign(length)) : err(EINVAL);
  upWrite(task, mm.mmapLock);
  return status;
}

/** Does [address, address + length) begin at a page and lie in user space? */
function isUserRange(address: number, length: number): boolean {
  if (!Number.isSafeInteger(address) || !Number.isSafeInteger(length)) return false;
  return address >= 0 && length >= 0 && address % PAGE_SIZE === 0 && address + length <= TASK_SIZE;
}

/**
 * Unmap whole pages.
 *
 * Context: atomic; mmap_lock held for writing. Returns: 0, or -ENOMEM when that would be one area too many.
 * Linux:   do_vmi_munmap()
 */
export function unmapRange(task: UserTask, start: number, end: number, mm: MmStruct = task.mm): 0 | Errno {
  const first = mm.vmas.find(start);
  if (start >= end || first === null || first.start >= end) return 0;
  const cutsOutOfOne = first.start < start && first.end > end;
  if (cutsOutOfOne && mm.vmas.size >= mm.limits.maxMapCount) return err(ENOMEM);
  let vma: Vma | null = first.start < start ? splitVma(mm, first, start) : first;
  while (vma !== null && vma.start < end) {
    if (vma.end > end) splitVma(mm, vma, end);
    const next: Vma | null = mm.vmas.next(vma);
    zapPageRange(task, vma, vma.start, vma.end);
    removeVma(mm, vma);
    vma = next;
  }
  freePageTables(mm, start, end);
  forgetGaps(mm, end);
  return 0;
}

/** Forget the page tables that no area needs any more. Linux: free_pgtables() */
function freePageTables({ vmas, pgd }: MmStruct, start: number, end: number): void {
  const floor = vmas.below(start)?.end ?? 0;
  const ceiling = vmas.find(end)?.start ?? Number.POSITIVE_INFINITY;
  pgd.freeLeaves(Math.floor(floor / PAGE_SIZE), ceiling / PAGE_SIZE);
}

/** Unmap everything. Context: atomic; nobody uses the address space any more. Linux: exit_mmap() */
export function exitMmap(task: UserTask): void {
  ignoreResult(unmapRange(task, 0, TASK_SIZE), "no area is cut in two");
}

/**
 * The task lets go of its address space; the last one unmaps it.
 *
 * Context: atomic; once a task, at its end. Linux: mmput()
 */
export function mmput(task: UserTask): void {
  const { mm } = task;
  bugOn(mm.users <= 0, "address space is let go of more often than it was shared");
  if (--mm.users === 0) exitMmap(task);
}
