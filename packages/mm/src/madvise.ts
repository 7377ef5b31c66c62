// Advice about memory (mm/madvise.c).

import {
  downRead,
  downWrite,
  EACCES,
  EAGAIN,
  EINVAL,
  ENOMEM,
  EOPNOTSUPP,
  EPERM,
  err,
  type MayFault,
  type MaySleep,
  PAGE_SIZE,
  type Pfn,
  pageAlign,
  type Status,
  upRead,
  upWrite,
} from "@faultline/kernel";
import { modifyVma } from "./area.ts";
import { deactivate } from "./lru.ts";
import * as mman from "./mman.ts";
import { mmapReadLockNow, mmapWriteLockNow } from "./mmap-lock.ts";
import { PG_LRU, PG_REFERENCED } from "./page-flags.ts";
import { getPage, putPage } from "./physmem.ts";
import { madvisePopulate } from "./populate.ts";
import { PTE_ACCESSED, PTE_SPECIAL, ptePfn } from "./pte.ts";
import { zapPageRange } from "./rmap.ts";
import type { UserTask } from "./user-task.ts";
import {
  VM_DONTCOPY,
  VM_DONTDUMP,
  VM_DONTEXPAND,
  VM_IO,
  VM_LOCKED,
  VM_PFNMAP,
  VM_RAND_READ,
  VM_SEQ_READ,
  VM_SHARED,
  VM_WIPEONFORK,
  VM_WRITE,
  type Vma,
  vmaIsAnonymous,
} from "./vma.ts";
import { shrinkPage } from "./vmscan.ts";

/**
 * Give advice about [address, address + length).
 *
 * Context: may fault; mmap_lock not held.
 * Returns: 0; -EINVAL for a misaligned or wrapping range, or advice that is unknown or does not fit the area;
 *          -ENOMEM if there are gaps (the rest is done all the same); -EAGAIN for one area too many; -EACCES,
 *          -EOPNOTSUPP, -EPERM; and what POPULATE returns.
 * Linux:   madvise()
 * Differs: no huge pages, KSM, guard areas or swap: advice about them is checked and does nothing.
 */
export function* doMadvise(task: UserTask, address: number, length: number, advice: number): MayFault<Status> {
  if (!isKnown(task, advice)) return err(EINVAL);
  if (!Number.isInteger(address) || !Number.isInteger(length) || address % PAGE_SIZE !== 0) return err(EINVAL);
  // What is negative here is a huge number there, and wraps.
  if (address < 0 || length < 0) return err(EINVAL);
  const end = address + pageAlign(length);
  if (end === address) return 0;
  switch (advice) {
    case mman.MADV_HWPOISON:
    case mman.MADV_SOFT_OFFLINE:
      return err(EPERM);
    case mman.MADV_POPULATE_READ:
    case mman.MADV_POPULATE_WRITE:
      return yield* madvisePopulate(task, address, end, advice === mman.MADV_POPULATE_WRITE);
    case mman.MADV_WILLNEED:
    case mman.MADV_REMOVE:
    case mman.MADV_PAGEOUT:
      return yield* sleepingAdvice(task, address, end, advice);
    case mman.MADV_DONTNEED:
    case mman.MADV_DONTNEED_LOCKED:
    case mman.MADV_FREE:
    case mman.MADV_COLD:
    case mman.MADV_COLLAPSE: {
      if (!mmapReadLockNow(task, task.mm)) yield* downRead(task, task.mm.mmapLock);
      const status = forEachArea(task, address, end, (vma, from, to) => pageAdvice(task, vma, from, to, advice));
      upRead(task, task.mm.mmapLock);
      return status;
    }
    default: {
      if (!mmapWriteLockNow(task, task.mm)) yield* downWrite(task, task.mm.mmapLock);
      const status = forEachArea(task, address, end, (vma, from, to) => areaAdvice(vma, from, to, advice));
      upWrite(task, task.mm.mmapLock);
      return status;
    }
  }
}

const KNOWN = new Set<number>(
  Object.entries(mman).flatMap(([name, value]) => (name.startsWith("MADV_") ? [value] : [])),
);

function isKnown(task: UserTask, advice: number): boolean {
  const { revision } = task.mm;
  if (advice === mman.MADV_POPULATE_READ || advice === mman.MADV_POPULATE_WRITE) return revision.madvPopulate;
  if (advice === mman.MADV_DONTNEED_LOCKED) return revision.madvDontneedLocked;
  return KNOWN.has(advice);
}

type AreaAdvice = (vma: Vma, from: number, to: number) => Status;

/** Apply advice area by area; gaps are remembered, other errors end it. Linux: madvise_walk_vmas() */
function forEachArea(task: UserTask, start: number, end: number, apply: AreaAdvice): Status {
  let gaps = false;
  for (let at = start; at < end; ) {
    const vma = task.mm.vmas.find(at);
    if (vma === null || vma.start >= end) return err(ENOMEM);
    if (vma.start > at) gaps = true;
    const from = Math.max(at, vma.start);
    const to = Math.min(end, vma.end);
    const status = apply(vma, from, to);
    if (status !== 0) return status;
    at = to;
  }
  return gaps ? err(ENOMEM) : 0;
}

/** Advice about the pages of an area, under mmap_lock held for reading. */
function pageAdvice(task: UserTask, vma: Vma, from: number, to: number, advice: number): Status {
  const fixed = advice === mman.MADV_DONTNEED_LOCKED ? VM_PFNMAP : VM_LOCKED | VM_PFNMAP;
  if (advice === mman.MADV_COLLAPSE || (vma.flags & fixed) !== 0) return err(EINVAL);
  if (advice === mman.MADV_COLD) return cold(task, vma, from, to);
  // Lazily: at the latest when memory is short, which here it never is for anonymous pages.
  if (advice === mman.MADV_FREE) return vmaIsAnonymous(vma) ? 0 : err(EINVAL);
  // Anonymous memory reads as zero again, files are read again.
  zapPageRange(task, vma, from, to);
  return 0;
}

/** File pages that only we map are the first to go from now on. Linux: madvise_cold() */
function cold(task: UserTask, vma: Vma, from: number, to: number): Status {
  const { mem, pgd } = vma.mm;
  pgd.forEach(from / PAGE_SIZE, to / PAGE_SIZE, (_vpn, entry, leaf, slot) => {
    const frame = ptePfn(entry);
    if ((entry & PTE_SPECIAL) !== 0 || (mem.flags[frame] & PG_LRU) === 0 || mem.mapcount[frame] !== 1) return;
    task.world.accesses?.read(mem.lruId);
    leaf[slot] = entry & ~PTE_ACCESSED;
    mem.flags[frame] &= ~PG_REFERENCED;
    deactivate(mem, frame);
  });
  return 0;
}

/** Advice that changes what an area is. Linux: madvise_vma_behavior() */
function areaAdvice(vma: Vma, from: number, to: number, advice: number): Status {
  const flags = adviceFlags(vma, advice);
  if (flags < 0) return flags as Status;
  if (flags === vma.flags) return 0;
  return typeof modifyVma(vma.mm, vma, from, to, flags) === "number" ? err(EAGAIN) : 0;
}

function adviceFlags(vma: Vma, advice: number): number {
  const { flags } = vma;
  switch (advice) {
    case mman.MADV_NORMAL:
      return flags & ~(VM_RAND_READ | VM_SEQ_READ);
    case mman.MADV_SEQUENTIAL:
      return (flags & ~VM_RAND_READ) | VM_SEQ_READ;
    case mman.MADV_RANDOM:
      return (flags & ~VM_SEQ_READ) | VM_RAND_READ;
    case mman.MADV_DONTFORK:
      return flags | VM_DONTCOPY;
    case mman.MADV_DOFORK:
      return (flags & VM_IO) !== 0 ? err(EINVAL) : flags & ~VM_DONTCOPY;
    case mman.MADV_WIPEONFORK:
      return !vmaIsAnonymous(vma) || (flags & VM_SHARED) !== 0 ? err(EINVAL) : flags | VM_WIPEONFORK;
    case mman.MADV_KEEPONFORK:
      return flags & ~VM_WIPEONFORK;
    case mman.MADV_DONTDUMP:
      return flags | VM_DONTDUMP;
    case mman.MADV_DODUMP:
      return (flags & (VM_IO | VM_PFNMAP | VM_DONTEXPAND)) !== 0 ? err(EINVAL) : flags & ~VM_DONTDUMP;
    default:
      return flags;
  }
}

/** Advice whose work the file does, or reclaim, without mmap_lock. */
function* sleepingAdvice(task: UserTask, start: number, end: number, advice: number): MaySleep<Status> {
  const { mm } = task;
  let gaps = false;
  for (let at = start; at < end; ) {
    if (!mmapReadLockNow(task, mm)) yield* downRead(task, mm.mmapLock);
    const vma = mm.vmas.find(at);
    if (vma === null || vma.start >= end) {
      upRead(task, mm.mmapLock);
      return err(ENOMEM);
    }
    if (vma.start > at) gaps = true;
    const from = Math.max(at, vma.start);
    const to = Math.min(end, vma.end);
    const victims = advice === mman.MADV_PAGEOUT ? pagesToShrink(vma, from, to) : [];
    upRead(task, mm.mmapLock);
    const index = vma.pgoff + (from - vma.start) / PAGE_SIZE;
    const count = (to - from) / PAGE_SIZE;
    if (advice === mman.MADV_WILLNEED) {
      // Anonymous memory would come back from swap.
      if (vma.ops?.willneed !== undefined) yield* vma.ops.willneed(task, vma, index, count);
    } else if (advice === mman.MADV_REMOVE) {
      const removed = yield* removePages(task, vma, index, count);
      if (removed !== 0) return removed;
    } else {
      if ((vma.flags & (VM_LOCKED | VM_PFNMAP)) !== 0) return err(EINVAL);
      yield* shrinkPages(task, victims);
    }
    at = to;
  }
  return gaps ? err(ENOMEM) : 0;
}

/** Linux: madvise_remove() */
function* removePages(task: UserTask, vma: Vma, index: number, count: number): MaySleep<Status> {
  if ((vma.flags & VM_LOCKED) !== 0 || vma.mapping === null) return err(EINVAL);
  if ((vma.flags & (VM_SHARED | VM_WRITE)) !== (VM_SHARED | VM_WRITE)) return err(EACCES);
  return vma.ops?.remove === undefined ? err(EOPNOTSUPP) : yield* vma.ops.remove(task, vma, index, count);
}

/** File pages that only this area maps, each with a reference. Context: atomic. Linux: madvise_pageout() */
function pagesToShrink(vma: Vma, from: number, to: number): Pfn[] {
  const { mem, pgd } = vma.mm;
  const pages: Pfn[] = [];
  pgd.forEach(from / PAGE_SIZE, to / PAGE_SIZE, (_vpn, entry) => {
    const frame = ptePfn(entry);
    if ((entry & PTE_SPECIAL) !== 0 || (mem.flags[frame] & PG_LRU) === 0 || mem.mapcount[frame] !== 1) return;
    getPage(mem, frame);
    pages.push(frame);
  });
  return pages;
}

function* shrinkPages(task: UserTask, pages: readonly Pfn[]): MaySleep<void> {
  const { mem } = task.mm;
  for (const page of pages) {
    // The cache keeps the page as long as it is in it: our reference would only be in the way.
    const cached = mem.mappingSlot[page] !== 0;
    putPage(mem, page);
    if (cached) yield* shrinkPage(task, mem, page);
  }
}
