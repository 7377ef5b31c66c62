// Faults on memory that shows a file (mm/memory.c: do_fault, wp_page_shared): the file finds the page, and is
// told before the page becomes writable.

import { bugOn, type MaySleep, PAGE_SIZE, type Pfn, upRead } from "@faultline/kernel";
import { allocPage } from "./alloc.ts";
import { mapAnonymous, setEntry } from "./anon-fault.ts";
import {
  FAULT_FLAG_MKWRITE,
  FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_WRITE,
  faultFlagAllowRetryFirst,
  VM_FAULT_COMPLETED,
  VM_FAULT_DONE_COW,
  VM_FAULT_ERROR,
  VM_FAULT_LOCKED,
  VM_FAULT_NOPAGE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  VM_FAULT_WRITE,
} from "./fault-flags.ts";
import { sharedWriteBit } from "./map-pages.ts";
import { PG_DIRTY } from "./page-flags.ts";
import { lockPage, trylockPage, unlockPage } from "./page-lock.ts";
import { getPage, pageAddress, pageMapping, putPage } from "./physmem.ts";
import { makePte, PTE_ACCESSED, PTE_DIRTY, PTE_PRESENT, PTE_RW, ptePfn } from "./pte.ts";
import { pageAddRmap } from "./rmap.ts";
import type { UserTask } from "./user-task.ts";
import { linearPageIndex, VM_SHARED, type Vma, type VmFault, vmaWantsWritenotify } from "./vma.ts";

/** Pages that a read fault tries to map around itself (fault_around_bytes / PAGE_SIZE). */
const FAULT_AROUND_PAGES = 16;
/** Entries in one page table: fault-around stays within it. */
const PTRS_PER_PTE = 512;

/** The results of ->fault after which there is no page to map. */
const NO_PAGE = VM_FAULT_ERROR | VM_FAULT_NOPAGE | VM_FAULT_RETRY;

/** First touch of a file page. Context: sleeps, as handle_mm_fault does. Linux: do_fault() */
export function* doFault(task: UserTask, vma: Vma, address: number, flags: number): MaySleep<number> {
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
  if ((result & NO_PAGE) !== 0) return result;
  const entered = finishFault(task, vmf, sharedWriteBit(vmf));
  if (entered === 0) unlockPage(vmf.vma.mm.mem, vmf.page);
  return result | entered;
}

/**
 * Map the pages around the fault that are in the cache and ready.
 *
 * Context: atomic. Returns: VM_FAULT_NOPAGE if the page that faulted is mapped now, else 0.
 * Linux: do_fault_around()
 */
function doFaultAround(task: UserTask, vmf: VmFault): number {
  const { vma, address, pgoff } = vmf;
  if (vma.ops?.mapPages === undefined) return 0;
  const vpn = Math.floor(address / PAGE_SIZE);
  const slot = vpn % PTRS_PER_PTE;
  const before = pgoff - vma.pgoff;
  const after = (vma.end - vma.start) / PAGE_SIZE - before;
  const first = Math.max(slot - (slot % FAULT_AROUND_PAGES), slot - Math.min(slot, before));
  const last = Math.min(first + FAULT_AROUND_PAGES, PTRS_PER_PTE, slot + after) - 1;
  vma.ops.mapPages(task, vmf, pgoff + first - slot, pgoff + last - slot);
  return vma.mm.pgd.get(vpn) !== 0 ? VM_FAULT_NOPAGE : 0;
}

/** A store to a private mapping that shows the file page still. Linux: do_cow_fault() */
function* doCowFault(task: UserTask, vmf: VmFault): MaySleep<number> {
  const { mm } = vmf.vma;
  const { mem } = mm;
  const copy = yield* allocPage(task, mem, false);
  if (copy === 0) return VM_FAULT_OOM;
  const result = yield* callFault(task, vmf);
  if ((result & (NO_PAGE | VM_FAULT_DONE_COW)) !== 0) {
    putPage(mem, copy);
    return result;
  }
  const from = pageAddress(vmf.page);
  task.world.accesses?.read(mem.bytesId(vmf.page));
  mem.u8.copyWithin(pageAddress(copy), from, from + PAGE_SIZE);
  unlockPage(mem, vmf.page);
  putPage(mem, vmf.page);
  const vpn = Math.floor(vmf.address / PAGE_SIZE);
  task.world.accesses?.read(mm.entryId(vpn));
  if (mm.pgd.get(vpn) !== 0) {
    putPage(mem, copy);
    return result | VM_FAULT_NOPAGE;
  }
  mapAnonymous(task, vmf.vma, vpn, copy, PTE_DIRTY);
  return result;
}

/** A store to a page of a shared mapping that is not mapped yet. Linux: do_shared_fault() */
function* doSharedFault(task: UserTask, vmf: VmFault): MaySleep<number> {
  const { mem } = vmf.vma.mm;
  let result = yield* callFault(task, vmf);
  if ((result & NO_PAGE) !== 0) return result;
  if (vmaWantsWritenotify(vmf.vma)) {
    // The file may have to wait for other pages before it lets this one be dirtied.
    unlockPage(mem, vmf.page);
    const made = yield* doPageMkwrite(task, vmf);
    if (made === 0 || (made & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) !== 0) {
      putPage(mem, vmf.page);
      return made;
    }
  }
  result |= finishFault(task, vmf, PTE_RW | PTE_DIRTY);
  if ((result & NO_PAGE) !== 0) return result;
  return result | (yield* faultDirtySharedPage(task, vmf));
}

/** A store to a page of a shared mapping that is mapped read-only. Linux: wp_page_shared() */
export function* wpPageShared(
  task: UserTask,
  vma: Vma,
  address: number,
  flags: number,
  entry: number,
): MaySleep<number> {
  const { mm } = vma;
  const { mem } = mm;
  const page = ptePfn(entry);
  const vpn = Math.floor(address / PAGE_SIZE);
  const vmf: VmFault = { vma, address, pgoff: linearPageIndex(vma, address), flags, page };
  const writable = entry | PTE_RW | PTE_ACCESSED | PTE_DIRTY;
  getPage(mem, page);
  if (vmaWantsWritenotify(vma)) {
    const made = yield* doPageMkwrite(task, vmf);
    if (made === 0 || (made & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) !== 0) {
      putPage(mem, page);
      return made;
    }
    task.world.accesses?.read(mm.entryId(vpn));
    if (mm.pgd.get(vpn) !== entry) {
      // The entry changed while the file was asked: the access is made again, and finds out.
      unlockPage(mem, page);
      putPage(mem, page);
      return VM_FAULT_NOPAGE;
    }
    setEntry(task, mm, vpn, writable);
  } else {
    // Before the page lock is waited for: afterwards the entry may be another one.
    setEntry(task, mm, vpn, writable);
    if (!trylockPage(task, mem, page)) yield* lockPage(task, mem, page);
  }
  const dropped = yield* faultDirtySharedPage(task, vmf);
  putPage(mem, page);
  return dropped | (mm.revision.reportsWrite ? VM_FAULT_WRITE : 0);
}

/** Call ->fault and make sure that the page it found is locked. Linux: __do_fault() */
function* callFault(task: UserTask, vmf: VmFault): MaySleep<number> {
  const { vma } = vmf;
  const fault = vma.ops?.fault;
  if (fault === undefined) return VM_FAULT_SIGBUS;
  const result = yield* fault.call(vma.ops, task, vmf);
  if ((result & (NO_PAGE | VM_FAULT_DONE_COW)) !== 0) return result;
  bugOn(vmf.page === 0, "->fault found no page and does not say why");
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
 * Enter vmf.page into the page table; the entry takes over the reference. Where somebody else was faster,
 * let go of the page.
 *
 * Context: atomic; the page is locked, and stays so if it was entered. Returns: 0, or VM_FAULT_NOPAGE.
 * Linux:   finish_fault()
 */
function finishFault(task: UserTask, vmf: VmFault, writeBits: number): number {
  const { mm } = vmf.vma;
  const { mem } = mm;
  const vpn = Math.floor(vmf.address / PAGE_SIZE);
  task.world.accesses?.read(mm.entryId(vpn));
  if (mm.pgd.get(vpn) !== 0) {
    unlockPage(mem, vmf.page);
    putPage(mem, vmf.page);
    return VM_FAULT_NOPAGE;
  }
  pageAddRmap(mem, vmf.page);
  setEntry(task, mm, vpn, makePte(vmf.page, PTE_PRESENT | PTE_ACCESSED | writeBits));
  return 0;
}

/**
 * A shared page was just made writable: mark it dirty and look at the dirty throttle, without mmap_lock
 * if the flags allow that.
 *
 * Context: sleeps; the page is locked, and unlocked on return.
 * Returns: 0, or what says that mmap_lock was dropped.
 * Linux:   fault_dirty_shared_page()
 */
function* faultDirtySharedPage(task: UserTask, vmf: VmFault): MaySleep<number> {
  const { mm } = vmf.vma;
  const { mem } = mm;
  // Null when the page was truncated while its lock was waited for.
  const mapping = pageMapping(mem, vmf.page);
  const dirtied = (mem.flags[vmf.page] & PG_DIRTY) === 0;
  mapping?.ops.dirtyFolio(task, mapping, vmf.page);
  unlockPage(mem, vmf.page);
  if (mapping === null || !(dirtied || vmaWantsWritenotify(vmf.vma))) return 0;
  const dropped = faultFlagAllowRetryFirst(vmf.flags) && (vmf.flags & FAULT_FLAG_RETRY_NOWAIT) === 0;
  if (dropped) upRead(task, mm.mmapLock);
  yield* mapping.ops.balanceDirty(task, mapping);
  if (!dropped) return 0;
  return mm.revision.dirtySharedFaultCompletes ? VM_FAULT_COMPLETED : VM_FAULT_RETRY;
}
