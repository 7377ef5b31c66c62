// The walk that fault_in_user_pages and the first fault_in_safe_writeable had in common: area by area.

import { downRead, type MayFault, PAGE_SIZE, upRead } from "@faultline/kernel";
import { getUserPagesLocked, type Locked } from "./gup.ts";
import { mmapReadLockNow } from "./mmap-lock.ts";
import type { UserTask } from "./user-task.ts";
import { VM_IO, VM_PFNMAP } from "./vma.ts";

/**
 * Fault in the areas of [start, end) by get_user_pages, passing over gaps and raw memory.
 *
 * Context: may fault; mmap_lock not held. Returns: the address where it stopped.
 */
export function* gupAreas(task: UserTask, start: number, end: number, gupFlags: number): MayFault<number> {
  const { mm } = task;
  const locked: Locked = { held: false };
  let at = start;
  while (at < end) {
    if (!locked.held) {
      if (!mmapReadLockNow(task, mm)) yield* downRead(task, mm.mmapLock);
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
