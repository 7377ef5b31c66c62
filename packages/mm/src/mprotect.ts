// Changing what an area permits (mm/mprotect.c).

import {
  downWrite,
  downWriteTrylock,
  EACCES,
  EINVAL,
  ENOMEM,
  type Errno,
  err,
  type MaySleep,
  PAGE_SIZE,
  pageAlign,
  type Status,
  upWrite,
} from "@faultline/kernel";
import { isRange, mergeAround, PROT_EXEC, PROT_READ, PROT_WRITE, protFlags, splitVma } from "./mmap.ts";
import { PG_ANON } from "./physmem.ts";
import { PTE_DIRTY, PTE_PRESENT, PTE_PROTNONE, PTE_RW, PTE_SPECIAL, ptePfn, ptePresent } from "./pte.ts";
import type { UserTask } from "./user-task.ts";
import { VM_EXEC, VM_READ, VM_SHARED, VM_WRITE, type Vma } from "./vma.ts";

/**
 * Change the protection of [address, address + length).
 *
 * Context: sleeps; mmap_lock not held.
 * Returns: 0; -EINVAL, -ENOMEM at the first gap (what lies before it is changed), -EACCES for a file that
 *          may not be written.
 * Linux:   mprotect()
 */
export function* doMprotect(task: UserTask, address: number, length: number, prot: number): MaySleep<Status> {
  const { mm } = task;
  if (address % PAGE_SIZE !== 0) return err(EINVAL);
  if (length === 0) return 0;
  if (!isRange(address, length)) return err(ENOMEM);
  if ((prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)) !== 0) return err(EINVAL);
  if (!downWriteTrylock(task, mm.mmapLock)) yield* downWrite(task, mm.mmapLock);
  const status = protectRange(task, address, address + pageAlign(length), protFlags(prot));
  upWrite(task, mm.mmapLock);
  return status;
}

function protectRange(task: UserTask, start: number, end: number, access: number): 0 | Errno {
  const { mm } = task;
  let at = start;
  while (at < end) {
    const found = mm.vmas.lookup(at);
    if (found === null) return err(ENOMEM);
    const flags = (found.flags & ~(VM_READ | VM_WRITE | VM_EXEC)) | access;
    // VM_MAYREAD, _MAYWRITE and _MAYEXEC lie four bits above what they permit.
    if ((access & ~(flags >> 4)) !== 0) return err(EACCES);
    const stop = Math.min(end, found.end);
    if (flags === found.flags) {
      at = stop;
      continue;
    }
    const splits = Number(found.start < at) + Number(found.end > stop);
    if (mm.vmas.size + splits > mm.limits.maxMapCount) return err(ENOMEM);
    const vma = found.start < at ? splitVma(mm, found, at) : found;
    if (vma.end > stop) splitVma(mm, vma, stop);
    vma.flags = flags;
    changeProtection(task, vma);
    mergeAround(mm, vma);
    at = stop;
  }
  return 0;
}

/** Give every entry of the area the rights that its new flags allow. Linux: change_protection() */
function changeProtection(task: UserTask, vma: Vma): void {
  const { mm } = vma;
  const accessible = (vma.flags & (VM_READ | VM_WRITE | VM_EXEC)) !== 0;
  mm.pgd.forEach(vma.start / PAGE_SIZE, vma.end / PAGE_SIZE, (vpn, entry) => {
    if (!ptePresent(entry)) return;
    let changed = entry & ~(PTE_PRESENT | PTE_PROTNONE | PTE_RW);
    changed |= accessible ? PTE_PRESENT : PTE_PROTNONE;
    if (accessible && canChangeWriteable(vma, entry)) changed |= PTE_RW;
    task.world.accesses?.write(mm.entryId(vpn));
    mm.pgd.set(vpn, changed);
  });
}

/**
 * May a store go ahead without a fault? A shared page only if it is dirty already, so that its file knows; a
 * private one only if nobody else has it. Linux: can_change_pte_writable()
 */
function canChangeWriteable(vma: Vma, entry: number): boolean {
  if ((vma.flags & VM_WRITE) === 0 || (entry & PTE_SPECIAL) !== 0) return false;
  if ((entry & PTE_DIRTY) === 0) return false;
  if ((vma.flags & VM_SHARED) !== 0) return true;
  const { mem } = vma.mm;
  const frame = ptePfn(entry);
  return (mem.flags[frame] & PG_ANON) !== 0 && mem.refcount[frame] === 1;
}
