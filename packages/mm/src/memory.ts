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

import { bugOn, type MaySleep, PAGE_SIZE, type Pfn, upRead } from "@faultline/kernel";
import { allocPage } from "./alloc.ts";
import {
  FAULT_FLAG_MKWRITE,
  FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_WRITE,
  faultFlagAllowRetryFirst,
  VM_FAULT_COMPLETED,
  VM_FAULT_DONE_COW,
  VM_FAULT_ERROR,
  VM_FAULT_LOCKED,
  VM_FAULT_MAJOR,
  VM_FAULT_NOPAGE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  VM_FAULT_WRITE,
} from "./fault-flags.ts";
import type { MmStruct } from "./mm-struct.ts";
import { lockPage, unlockPage } from "./page-lock.ts";
import { PG_ANON, PG_UPTODATE, pageAddress, pageMapping, putPage } from "./physmem.ts";
import { makePte, PTE_ACCESSED, PTE_DIRTY, PTE_PRESENT, PTE_RW, PTE_SPECIAL, ptePfn } from "./pte.ts";
import { pageAddRmap, pageRemoveRmap } from "./rmap.ts";
import type { UserTask } from "./user-task.ts";
import { linearPageIndex, VM_SHARED, VM_WRITE, type Vma, type VmFault, vmaIsAnonymous } from "./vma.ts";

/** Pages that a read fault tries to map around itself (fault_around_bytes / PAGE_SIZE). */
const FAULT_AROUND_PAGES = 16;
/** Entries in one page table: fault-around stays within it. */
const PTRS_PER_PTE = 512;

/** What the functions that do not sleep return when the fault cannot be resolved without sleeping. */
export const NEEDS_SLEEP: number = -1;

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
  task.world.trace?.emit(task, "handle_mm_fault", address, flags);
  task.world.trace?.emit(task, "handle_mm_fault_ret", result);
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
  const write = (flags & FAULT_FLAG_WRITE) !== 0;
  if (entry === 0) return vmaIsAnonymous(vma) ? doAnonymousPage(task, vma, vpn, write, spare) : NEEDS_SLEEP;
  if (write && (entry & PTE_RW) === 0) {
    const shared = (vma.flags & VM_SHARED) !== 0;
    return shared ? NEEDS_SLEEP : doWpPage(task, vma, vpn, entry, spare);
  }
  setEntry(task, mm, vpn, entry | PTE_ACCESSED | (write ? PTE_DIRTY : 0));
  return 0;
}

/** First touch of anonymous memory. Context: atomic. Linux: do_anonymous_page() */
function doAnonymousPage(task: UserTask, vma: Vma, vpn: number, write: boolean, spare: Pfn): number {
  const { mem } = vma.mm;
  if (!write) {
    setEntry(task, vma.mm, vpn, makePte(mem.zeroPfn, PTE_PRESENT | PTE_ACCESSED | PTE_SPECIAL));
    return 0;
  }
  const frame = spare !== 0 ? spare : mem.tryAllocPage(true);
  if (frame === 0) return NEEDS_SLEEP;
  if (spare !== 0) mem.u8.fill(0, pageAddress(frame), pageAddress(frame) + PAGE_SIZE);
  mapAnonymous(task, vma, vpn, frame);
  return 0;
}

/** A store to a private page that is mapped read-only. Context: atomic. Linux: do_wp_page() */
function doWpPage(task: UserTask, vma: Vma, vpn: number, entry: number, spare: Pfn): number {
  const { mm } = vma;
  const { mem } = mm;
  const old = ptePfn(entry);
  const result = mm.revision.reportsWrite ? VM_FAULT_WRITE : 0;
  if ((mem.flags[old] & PG_ANON) !== 0 && mem.refcount[old] === 1) {
    setEntry(task, mm, vpn, entry | PTE_RW | PTE_ACCESSED | PTE_DIRTY);
    return result;
  }
  const zero = (entry & PTE_SPECIAL) !== 0;
  const frame = spare !== 0 ? spare : mem.tryAllocPage(zero);
  if (frame === 0) return NEEDS_SLEEP;
  const to = pageAddress(frame);
  if (!zero) mem.u8.copyWithin(to, pageAddress(old), pageAddress(old) + PAGE_SIZE);
  else if (spare !== 0) mem.u8.fill(0, to, to + PAGE_SIZE);
  if (!zero) {
    pageRemoveRmap(mem, old);
    putPage(mem, old);
  }
  mapAnonymous(task, vma, vpn, frame);
  return result;
}

/** Map a page that nobody else knows, writable. Takes over the caller's reference. */
function mapAnonymous(task: UserTask, vma: Vma, vpn: number, frame: Pfn): void {
  const { mem } = vma.mm;
  mem.flags[frame] |= PG_ANON | PG_UPTODATE;
  pageAddRmap(mem, frame);
  const writable = (vma.flags & VM_WRITE) !== 0 ? PTE_RW | PTE_DIRTY : 0;
  setEntry(task, vma.mm, vpn, makePte(frame, PTE_PRESENT | PTE_ACCESSED | writable));
}

function setEntry(task: UserTask, mm: MmStruct, vpn: number, entry: number): void {
  task.world.accesses?.write(mm.entryId(vpn));
  mm.pgd.set(vpn, entry);
}

/** Everything that may sleep: files, and memory that has to be reclaimed first. Linux: handle_pte_fault() */
function* handlePteFault(task: UserTask, vma: Vma, address: number, flags: number): MaySleep<number> {
  const vpn = Math.floor(address / PAGE_SIZE);
  const entry = vma.mm.pgd.get(vpn);
  const write = (flags & FAULT_FLAG_WRITE) !== 0;
  if (!vmaIsAnonymous(vma)) {
    if (entry === 0) return yield* doFault(task, vma, address, flags);
    if (write && (entry & PTE_RW) === 0 && (vma.flags & VM_SHARED) !== 0) {
      return yield* wpPageShared(task, vma, address, flags, entry);
    }
  }
  const frame = yield* allocPage(task, vma.mm.mem, false);
  if (frame === 0) return VM_FAULT_OOM;
  // Reclaim slept under mmap_lock: the area stands, but the entry may be another one by now.
  const result = handleWithoutSleeping(task, vma, address, flags, frame);
  if (vma.mm.pgd.get(vpn) === 0 || ptePfn(vma.mm.pgd.get(vpn)) !== frame) putPage(vma.mm.mem, frame);
  return result === NEEDS_SLEEP ? 0 : result;
}

/** First touch of a file page. Linux: do_fault() */
function* doFault(task: UserTask, vma: Vma, address: number, flags: number): MaySleep<number> {
  const vmf: VmFault = { vma, address, pgoff: linearPageIndex(vma, address), flags, page: 0 as Pfn };
  if (vma.ops?.fault === undefined) return VM_FAULT_SIGBUS;
  if ((flags & FAULT_FLAG_WRITE) === 0) return yield* doReadFault(task, vmf);
  if ((vma.flags & VM_SHARED) === 0) return yield* doCowFault(task, vmf);
  return yield* doSharedFault(task, vmf);
}

/** Linux: do_read_fault() */
function* doReadFault(task: UserTask, vmf: VmFault): MaySleep<number> {
  const around = doFaultAround(task, vmf);
  if (around !== 0) return around;
  const result = yield* callFault(task, vmf);
  if ((result & (VM_FAULT_ERROR | VM_FAULT_NOPAGE | VM_FAULT_RETRY)) !== 0) return result;
  return result | finishFault(task, vmf, 0);
}

/** Map the pages around the fault that are in the cache and ready. Context: atomic. Linux: do_fault_around() */
function doFaultAround(task: UserTask, vmf: VmFault): number {
  const { vma, address, pgoff } = vmf;
  if (vma.ops?.mapPages === undefined) return 0;
  const vpn = Math.floor(address / PAGE_SIZE);
  const slot = vpn % PTRS_PER_PTE;
  const before = pgoff - vma.pgoff;
  const after = (vma.end - vma.start) / PAGE_SIZE - before;
  const first = Math.max(slot - (slot % FAULT_AROUND_PAGES), slot - Math.min(slot, before));
  const last = Math.min(first + FAULT_AROUND_PAGES, PTRS_PER_PTE, slot + after) - 1;
  return vma.ops.mapPages(task, vmf, pgoff + first - slot, pgoff + last - slot);
}

/** A store to a private mapping that shows the file page still. Linux: do_cow_fault() */
function* doCowFault(task: UserTask, vmf: VmFault): MaySleep<number> {
  const { mm } = vmf.vma;
  const { mem } = mm;
  const copy = yield* allocPage(task, mem, false);
  if (copy === 0) return VM_FAULT_OOM;
  const result = yield* callFault(task, vmf);
  if ((result & (VM_FAULT_ERROR | VM_FAULT_NOPAGE | VM_FAULT_RETRY | VM_FAULT_DONE_COW)) !== 0) {
    putPage(mem, copy);
    return result;
  }
  const from = pageAddress(vmf.page);
  task.world.accesses?.read(mem.pageId(vmf.page));
  mem.u8.copyWithin(pageAddress(copy), from, from + PAGE_SIZE);
  unlockPage(mem, vmf.page);
  putPage(mem, vmf.page);
  const vpn = Math.floor(vmf.address / PAGE_SIZE);
  if (mm.pgd.get(vpn) !== 0) {
    putPage(mem, copy);
    return result | VM_FAULT_NOPAGE;
  }
  mapAnonymous(task, vmf.vma, vpn, copy);
  return result;
}

/** A store to a page of a shared mapping that is not mapped yet. Linux: do_shared_fault() */
function* doSharedFault(task: UserTask, vmf: VmFault): MaySleep<number> {
  const { mem } = vmf.vma.mm;
  let result = yield* callFault(task, vmf);
  if ((result & (VM_FAULT_ERROR | VM_FAULT_NOPAGE | VM_FAULT_RETRY)) !== 0) return result;
  if (vmf.vma.ops?.pageMkwrite !== undefined) {
    unlockPage(mem, vmf.page);
    const made = yield* doPageMkwrite(task, vmf);
    if (made === 0 || (made & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) !== 0) {
      putPage(mem, vmf.page);
      return made;
    }
  }
  const frame = vmf.page;
  result |= finishFault(task, vmf, PTE_RW | PTE_DIRTY, false);
  if ((result & (VM_FAULT_ERROR | VM_FAULT_NOPAGE | VM_FAULT_RETRY)) !== 0) return result;
  return result | (yield* faultDirtySharedPage(task, vmf, frame));
}

/** A store to a page of a shared mapping that is mapped read-only. Linux: wp_page_shared() */
function* wpPageShared(task: UserTask, vma: Vma, address: number, flags: number, entry: number): MaySleep<number> {
  const { mm } = vma;
  const { mem } = mm;
  const frame = ptePfn(entry);
  const vpn = Math.floor(address / PAGE_SIZE);
  const vmf: VmFault = { vma, address, pgoff: linearPageIndex(vma, address), flags, page: frame };
  const written = mm.revision.reportsWrite ? VM_FAULT_WRITE : 0;
  mem.refcount[frame]++;
  if (vma.ops?.pageMkwrite !== undefined) {
    const made = yield* doPageMkwrite(task, vmf);
    if (made === 0 || (made & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) !== 0) {
      putPage(mem, frame);
      return made;
    }
    if (mm.pgd.get(vpn) !== entry) {
      unlockPage(mem, frame);
      putPage(mem, frame);
      return VM_FAULT_NOPAGE;
    }
  } else {
    yield* lockPage(task, mem, frame);
  }
  setEntry(task, mm, vpn, entry | PTE_RW | PTE_ACCESSED | PTE_DIRTY);
  const result = written | (yield* faultDirtySharedPage(task, vmf, frame));
  putPage(mem, frame);
  return result;
}

/** Call ->fault and make sure that the page it found is locked. Linux: __do_fault() */
function* callFault(task: UserTask, vmf: VmFault): MaySleep<number> {
  const { vma } = vmf;
  const fault = vma.ops?.fault;
  if (fault === undefined) return VM_FAULT_SIGBUS;
  const result = yield* fault.call(vma.ops, task, vmf);
  if ((result & (VM_FAULT_ERROR | VM_FAULT_NOPAGE | VM_FAULT_RETRY | VM_FAULT_DONE_COW)) !== 0) return result;
  if ((result & VM_FAULT_LOCKED) === 0) yield* lockPage(task, vma.mm.mem, vmf.page);
  return result;
}

/** Tell the file that its page is about to become writable. Linux: do_page_mkwrite() */
function* doPageMkwrite(task: UserTask, vmf: VmFault): MaySleep<number> {
  const { mem } = vmf.vma.mm;
  const { flags } = vmf;
  vmf.flags = FAULT_FLAG_WRITE | FAULT_FLAG_MKWRITE;
  const result = yield* vmf.vma.ops!.pageMkwrite!(task, vmf);
  vmf.flags = flags;
  if ((result & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) !== 0 || (result & VM_FAULT_LOCKED) !== 0) return result;
  yield* lockPage(task, mem, vmf.page);
  if (pageMapping(mem, vmf.page) !== null) return result | VM_FAULT_LOCKED;
  unlockPage(mem, vmf.page);
  return 0;
}

/**
 * Enter vmf.page into the page table, unless somebody else was faster; the entry takes over the reference.
 *
 * Context: atomic; the page is locked, and unlocked on return if `unlock` or on failure.
 * Returns: 0, or VM_FAULT_NOPAGE.
 * Linux: finish_fault()
 */
function finishFault(task: UserTask, vmf: VmFault, writeBits: number, unlock = true): number {
  const { mm } = vmf.vma;
  const { mem } = mm;
  const vpn = Math.floor(vmf.address / PAGE_SIZE);
  if (mm.pgd.get(vpn) !== 0) {
    unlockPage(mem, vmf.page);
    putPage(mem, vmf.page);
    return VM_FAULT_NOPAGE;
  }
  pageAddRmap(mem, vmf.page);
  setEntry(task, mm, vpn, makePte(vmf.page, PTE_PRESENT | PTE_ACCESSED | writeBits));
  if (unlock) unlockPage(mem, vmf.page);
  return 0;
}

/**
 * A shared page was just made writable: mark it dirty and look at the dirty throttle, without mmap_lock
 * if the flags allow that.
 *
 * Context: sleeps; the page is locked, and unlocked on return.
 * Returns: 0, or what says that mmap_lock was dropped.
 * Linux: fault_dirty_shared_page()
 */
function* faultDirtySharedPage(task: UserTask, vmf: VmFault, frame: Pfn): MaySleep<number> {
  const { mm } = vmf.vma;
  const mapping = pageMapping(mm.mem, frame);
  bugOn(mapping === null, "a locked page of a shared mapping lost its file");
  if (mapping === null) return 0;
  mapping.ops.dirtyFolio(task, mapping, frame);
  unlockPage(mm.mem, frame);
  const dropped = faultFlagAllowRetryFirst(vmf.flags) && (vmf.flags & FAULT_FLAG_RETRY_NOWAIT) === 0;
  if (dropped) upRead(task, mm.mmapLock);
  yield* mapping.ops.balanceDirty(task, mapping);
  if (!dropped) return 0;
  return mm.revision.dirtySharedFaultCompletes ? VM_FAULT_COMPLETED : VM_FAULT_RETRY;
}
