// Changing what an area permits (mm/mprotect.c).

import {
  downWrite,
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
import { isDataMapping, mayExpandVm, modifyVma } from "./area.ts";
import { PROT_EXEC, PROT_GROWSDOWN, PROT_GROWSUP, PROT_READ, PROT_SEM, PROT_WRITE } from "./mman.ts";
import { protFlags } from "./mmap.ts";
import { mmapWriteLockNow } from "./mmap-lock.ts";
import { PG_ANON, PG_ANON_EXCLUSIVE } from "./page-flags.ts";
import { PTE_DIRTY, PTE_PRESENT, PTE_PROTNONE, PTE_RW, PTE_SPECIAL, ptePfn } from "./pte.ts";
import type { UserTask } from "./user-task.ts";
import {
  VM_ACCOUNT,
  VM_EXEC,
  VM_GROWSDOWN,
  VM_NORESERVE,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
  type Vma,
  vmaWantsWritenotify,
} from "./vma.ts";

const ACCESS = VM_READ | VM_WRITE | VM_EXEC;
/** Areas with any of these need no charge, or have it. */
const SETTLED = VM_ACCOUNT | VM_WRITE | VM_SHARED | VM_NORESERVE;

/**
 * Change the protection of [address, address + length).
 *
 * Context: sleeps; mmap_lock not held.
 * Returns: 0; -EINVAL; -ENOMEM at the first gap (what lies before it is changed); -EACCES for a file that
 *          may not be written.
 * Linux:   mprotect()
 */
export function* doMprotect(task: UserTask, address: number, length: number, prot: number): MaySleep<Status> {
  const { mm } = task;
  if (![address, length, prot].every(Number.isInteger)) return err(EINVAL);
  const grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
  if (grows === (PROT_GROWSDOWN | PROT_GROWSUP) || address % PAGE_SIZE !== 0) return err(EINVAL);
  if (length === 0) return 0;
  // What is negative here is a huge number there, and wraps.
  if (length < 0 || address < 0) return err(ENOMEM);
  const access = prot & ~(PROT_GROWSDOWN | PROT_GROWSUP);
  if ((access & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM)) !== 0) return err(EINVAL);
  if (!mmapWriteLockNow(task, mm)) yield* downWrite(task, mm.mmapLock);
  const status = protect(task, address, address + pageAlign(length), protFlags(access), grows === PROT_GROWSDOWN);
  upWrite(task, mm.mmapLock);
  return status;
}

function protect(task: UserTask, start: number, end: number, access: number, fromStart: boolean): 0 | Errno {
  const { mm } = task;
  let at = start;
  if (fromStart) {
    // The whole stack that the range reaches into.
    const stack = mm.vmas.find(start);
    if (stack === null || stack.start >= end) return err(ENOMEM);
    if ((stack.flags & VM_GROWSDOWN) === 0) return err(EINVAL);
    at = stack.start;
  }
  while (at < end) {
    const vma = mm.vmas.lookup(at);
    if (vma === null) return err(ENOMEM);
    const flags = (vma.flags & ~ACCESS) | access;
    // VM_MAYREAD, _MAYWRITE and _MAYEXEC lie four bits above what they permit.
    if ((access & ~(flags >> 4)) !== 0) return err(EACCES);
    const stop = Math.min(end, vma.end);
    const changed = mprotectFixup(task, vma, at, stop, flags);
    if (changed !== 0) return changed;
    at = stop;
  }
  return 0;
}

/** Linux: mprotect_fixup() */
function mprotectFixup(task: UserTask, vma: Vma, start: number, end: number, wanted: number): 0 | Errno {
  const { mm } = vma;
  if (wanted === vma.flags) return 0;
  // What becomes writable is charged, and stays so when it is made read-only again.
  const charged = (wanted & VM_WRITE) !== 0 && (vma.flags & SETTLED) === 0;
  const flags = charged ? wanted | VM_ACCOUNT : wanted;
  const grows = isDataMapping(flags) && !isDataMapping(vma.flags);
  if (grows && !mayExpandVm(mm, flags, end - start) && mayExpandVm(mm, vma.flags, end - start)) return err(ENOMEM);
  const area = modifyVma(mm, vma, start, end, flags);
  if (typeof area === "number") return area;
  changeProtection(task, area, start, end);
  return 0;
}

/** Give every entry of the range the rights that the area's flags allow. Linux: change_protection() */
function changeProtection(task: UserTask, vma: Vma, start: number, end: number): void {
  const { mm } = vma;
  const accessible = (vma.flags & ACCESS) !== 0;
  mm.pgd.forEach(start / PAGE_SIZE, end / PAGE_SIZE, (vpn, entry, leaf, slot) => {
    let changed = entry & ~(PTE_PRESENT | PTE_PROTNONE | PTE_RW);
    changed |= accessible ? PTE_PRESENT : PTE_PROTNONE;
    if (canChangeWriteable(vma, entry)) changed |= PTE_RW;
    task.world.accesses?.write(mm.entryId(vpn));
    leaf[slot] = changed;
  });
}

/**
 * May a store go ahead without a fault? To a shared page only if it is dirty already, so that its file knows;
 * to a private one only if nobody else has it, and before 6.0 only after a fault has looked.
 *
 * Linux: can_change_pte_writable()
 */
function canChangeWriteable(vma: Vma, entry: number): boolean {
  if ((vma.flags & VM_WRITE) === 0) return false;
  if ((vma.flags & VM_SHARED) !== 0) {
    return (entry & (PTE_DIRTY | PTE_SPECIAL)) === PTE_DIRTY || !vmaWantsWritenotify(vma);
  }
  if ((entry & PTE_SPECIAL) !== 0 || !vma.mm.revision.mprotectMakesWriteable) return false;
  const owned = PG_ANON | PG_ANON_EXCLUSIVE;
  return (vma.mm.mem.flags[ptePfn(entry)] & owned) === owned;
}
