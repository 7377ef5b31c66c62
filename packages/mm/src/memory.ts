// Resolving page faults (mm/memory.c): handle_mm_fault and what it decides, case by case.
//
//   entry      area             access   what happens
//   none       anonymous        read     the zero page, read-only
//   none       anonymous        write    a new zeroed page
//   none       file             read     fault-around, else ->fault; read-only
//   none       file, private    write    ->fault, copied to a new anonymous page
//   none       file, shared     write    ->fault, ->page_mkwrite, dirty
//   read-only  private          write    reuse if nobody else has the page, else copy
//   read-only  file, shared     write    ->page_mkwrite, dirty
//   fits       any              any      spurious: accessed and dirty bits only
//
// Lock order:
//   mmap_lock (read)
//     page lock
//   ->fault and ->page_mkwrite take the filesystem's locks under mmap_lock, never under a page lock

import { type MaySleep, PAGE_SIZE, type Pfn } from "@faultline/kernel";
import { allocPage } from "./alloc.ts";
import { doAnonymousPage, doWpPage, NEEDS_SLEEP, setEntry } from "./anon-fault.ts";
import {
  FAULT_FLAG_TRIED,
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  VM_FAULT_ERROR,
  VM_FAULT_MAJOR,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_WRITE,
} from "./fault-flags.ts";
import { doFault, wpPageShared } from "./file-fault.ts";
import { putPage } from "./physmem.ts";
import { PTE_ACCESSED, PTE_DIRTY, PTE_RW, PTE_SPECIAL, ptePfn } from "./pte.ts";
import type { UserTask } from "./user-task.ts";
import { VM_SHARED, type Vma, vmaIsAnonymous } from "./vma.ts";

/** Microseconds that a fault takes, so that what was asked of the disk before it may have come. */
const FAULT_TIME = 1;

/**
 * Resolve a fault at `address`, which lies in `vma` and whose access the area permits.
 *
 * Context: sleeps; mmap_lock held for reading, and dropped if the result says RETRY or COMPLETED.
 * Returns: VM_FAULT_* bits.
 * Linux:   mm/memory.c handle_mm_fault()
 * Differs: one page size; no per-area locks, userfaultfd, NUMA or swap.
 */
export function* handleMmFault(task: UserTask, vma: Vma, address: number, flags: number): MaySleep<number> {
  task.world.trace?.emit(task, "handle_mm_fault", address, flags);
  task.world.elapse(FAULT_TIME);
  let result = handleWithoutSleeping(task, vma, address, flags, 0 as Pfn);
  if (result === NEEDS_SLEEP) result = yield* handlePteFault(task, vma, address, flags);
  mmAccountFault(task, flags, result);
  task.world.trace?.emit(task, "handle_mm_fault_ret", result);
  return result;
}

/**
 * Resolve a fault if that needs no sleep: anonymous memory, a copy on write, a spurious fault.
 *
 * The shortcut for callers that walk many pages; counts and traces the fault like handleMmFault.
 *
 * Context: atomic; mmap_lock held for reading, and kept.
 * Returns: VM_FAULT_* bits, or NEEDS_SLEEP when handleMmFault has to do it; nothing has happened then.
 */
export function tryHandleMmFault(task: UserTask, vma: Vma, address: number, flags: number): number {
  const result = handleWithoutSleeping(task, vma, address, flags, 0 as Pfn);
  if (result === NEEDS_SLEEP) return NEEDS_SLEEP;
  mmAccountFault(task, flags, result);
  const { trace } = task.world;
  if (trace !== null) {
    trace.emit(task, "handle_mm_fault", address, flags);
    trace.emit(task, "handle_mm_fault_ret", result);
  }
  return result;
}

/** Count the fault once it is over, as minor or major. Linux: mm_account_fault() */
function mmAccountFault(task: UserTask, flags: number, result: number): void {
  if ((result & (VM_FAULT_ERROR | VM_FAULT_RETRY)) !== 0) return;
  if ((result & VM_FAULT_MAJOR) !== 0 || (flags & FAULT_FLAG_TRIED) !== 0) task.majFlt++;
  else task.minFlt++;
}

/** The cases that only touch memory. `spare`: a page to use if one is needed, or 0 to allocate. */
function handleWithoutSleeping(task: UserTask, vma: Vma, address: number, flags: number, spare: Pfn): number {
  const { mm } = vma;
  const vpn = Math.floor(address / PAGE_SIZE);
  const entry = mm.pgd.get(vpn);
  task.world.accesses?.read(mm.entryId(vpn));
  const write = (flags & FAULT_FLAG_WRITE) !== 0;
  if (entry === 0) return vmaIsAnonymous(vma) ? doAnonymousPage(task, vma, vpn, write, spare) : NEEDS_SLEEP;
  if ((flags & (FAULT_FLAG_WRITE | FAULT_FLAG_UNSHARE)) !== 0 && (entry & PTE_RW) === 0) {
    if ((vma.flags & VM_SHARED) === 0) return doWpPage(task, vma, vpn, entry, flags, spare);
    if ((entry & PTE_SPECIAL) === 0) return NEEDS_SLEEP;
    // Raw memory has no file that wants to know. Linux: wp_pfn_shared()
    setEntry(task, mm, vpn, entry | PTE_RW | PTE_ACCESSED | PTE_DIRTY);
    return mm.revision.reportsWrite ? VM_FAULT_WRITE : 0;
  }
  setEntry(task, mm, vpn, entry | PTE_ACCESSED | (write ? PTE_DIRTY : 0));
  return 0;
}

/** Everything that may sleep: files, and memory that has to be reclaimed first. Linux: handle_pte_fault() */
function* handlePteFault(task: UserTask, vma: Vma, address: number, flags: number): MaySleep<number> {
  const { pgd, mem } = vma.mm;
  const vpn = Math.floor(address / PAGE_SIZE);
  const entry = pgd.get(vpn);
  if (!vmaIsAnonymous(vma)) {
    if (entry === 0) return yield* doFault(task, vma, address, flags);
    if ((vma.flags & VM_SHARED) !== 0) return yield* wpPageShared(task, vma, address, flags, entry);
  }
  const frame = yield* allocPage(task, mem, false);
  if (frame === 0) return VM_FAULT_OOM;
  // Reclaim slept under mmap_lock: the area stands, but the entry may be another one by now.
  const result = handleWithoutSleeping(task, vma, address, flags, frame);
  if (ptePfn(pgd.get(vpn)) !== frame) putPage(mem, frame);
  // Nothing to be done without sleeping any more: let the access be made again.
  return result === NEEDS_SLEEP ? 0 : result;
}
