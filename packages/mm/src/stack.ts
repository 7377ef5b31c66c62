// Areas that grow down when they are touched below their start (mm/mmap.c: expand_stack).

import { PAGE_SIZE, pageStart } from "@faultline/kernel";
import { exceedsMemlock, growVmaDown, mayExpandVm } from "./area.ts";
import { type MmStruct, STACK_GUARD_GAP, TASK_SIZE } from "./mm-struct.ts";
import { VM_EXEC, VM_GROWSDOWN, VM_PFNMAP, VM_READ, VM_WRITE, type Vma } from "./vma.ts";

/**
 * Let the stack above `address` grow down to it.
 *
 * Context: atomic; mmap_lock held, for writing since 6.5.
 * Returns: the area, or null when there is none above or it may not grow that far.
 * Linux:   expand_stack(), expand_downwards(), acct_stack_growth()
 */
export function expandStack(mm: MmStruct, address: number): Vma | null {
  const vma = mm.vmas.find(address);
  if (vma === null || (vma.flags & VM_GROWSDOWN) === 0 || (vma.flags & VM_PFNMAP) !== 0) return null;
  const start = pageStart(address);
  if (start < mm.limits.mmapMinAddr) return null;
  const prev = mm.vmas.prev(vma);
  // Another stack may come close, and so may what nobody can touch.
  const needsGap = prev !== null && (prev.flags & VM_GROWSDOWN) === 0 && (prev.flags & VM_ACCESS) !== 0;
  if (needsGap && start - prev.end < STACK_GUARD_GAP) return null;
  const growth = vma.start - start;
  if (growth / PAGE_SIZE > vma.pgoff || vma.end - start > mm.limits.stack) return null;
  if (!mayExpandVm(mm, vma.flags, growth) || exceedsMemlock(mm, vma.flags, growth)) return null;
  growVmaDown(mm, vma, start);
  // Fault handlers that hold the lock for reading too must not have looked yet.
  if (mm.revision.gupGrowsStack) mm.world.accesses?.write(mm.mmapLock.id);
  return vma;
}

const VM_ACCESS = VM_READ | VM_WRITE | VM_EXEC;

/** The area at an address, for the kernel's own walks; before 6.5 a stack grows for them too. Linux: find_extend_vma() */
export function findExtendVma(mm: MmStruct, address: number): Vma | null {
  if (!(address >= 0 && address < TASK_SIZE)) return null;
  return mm.vmas.lookup(address) ?? (mm.revision.gupGrowsStack ? expandStack(mm, address) : null);
}
