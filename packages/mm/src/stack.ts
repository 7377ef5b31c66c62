// Areas that grow down when they are touched below their start (mm/mmap.c: expand_stack).

import { PAGE_SIZE, pageStart } from "@faultline/kernel";
import { type MmStruct, STACK_GUARD_GAP } from "./mm-struct.ts";
import { VM_GROWSDOWN, VM_PFNMAP, type Vma } from "./vma.ts";

/**
 * Let the stack above `address` grow down to it.
 *
 * Context: atomic; mmap_lock held for reading.
 * Returns: the area, or null when there is none above or it may not grow that far.
 * Linux:   expand_stack(), expand_downwards()
 * Differs: Linux takes mmap_lock for writing since 6.5.
 */
export function expandStack(mm: MmStruct, address: number): Vma | null {
  const vma = mm.vmas.find(address);
  if (vma === null || (vma.flags & VM_GROWSDOWN) === 0 || (vma.flags & VM_PFNMAP) !== 0) return null;
  const start = pageStart(address);
  if (start < mm.limits.mmapMinAddr) return null;
  const prev = mm.vmas.prev(vma);
  if (prev !== null && (prev.flags & VM_GROWSDOWN) === 0 && start - prev.end < STACK_GUARD_GAP) return null;
  const growth = vma.start - start;
  if (vma.end - start > mm.limits.stack || mm.totalVm + growth > mm.limits.addressSpace) return null;
  vma.pgoff -= growth / PAGE_SIZE;
  mm.totalVm += growth;
  mm.vmas.moveStart(vma, start);
  return vma;
}
