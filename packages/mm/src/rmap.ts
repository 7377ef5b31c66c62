// From a page back to the page tables that map it (mm/rmap.c), and taking entries out of page tables
// (mm/memory.c: zap_pte_range, unmap_mapping_range).
//
// Only file pages are looked up this way: the areas that map a file are known from its mapping.

import { bugOn, PAGE_SIZE, type Pfn } from "@faultline/kernel";
import type { AddressSpace } from "./address-space.ts";
import { markPageAccessed } from "./lru.ts";
import { PG_ANON } from "./page-flags.ts";
import { type PhysMem, pageMapping, putPage } from "./physmem.ts";
import { PTE_ACCESSED, PTE_DIRTY, PTE_RW, PTE_SPECIAL, ptePfn, ptePresent } from "./pte.ts";
import type { UserTask } from "./user-task.ts";
import { VM_EXEC, VM_LOCKED, VM_RAND_READ, VM_SEQ_READ, type Vma } from "./vma.ts";

/** One more page table entry maps the page. Context: atomic. Linux: folio_add_file_rmap_pte() and kin */
export function pageAddRmap(mem: PhysMem, frame: Pfn): void {
  mem.mapcount[frame]++;
}

/** One entry fewer. Context: atomic. Linux: folio_remove_rmap_pte() */
export function pageRemoveRmap(mem: PhysMem, frame: Pfn): void {
  bugOn(mem.mapcount[frame] <= 0, "page is unmapped more often than it was mapped");
  mem.mapcount[frame]--;
}

/**
 * Take every entry of [start, end) out of the area's page table; dirty file pages are marked dirty.
 *
 * Context: atomic. Linux: unmap_page_range()
 */
export function zapPageRange(task: UserTask, vma: Vma, start: number, end: number): void {
  vma.mm.pgd.forEach(start / PAGE_SIZE, end / PAGE_SIZE, (vpn, entry, leaf, slot) => {
    leaf[slot] = 0;
    zapEntry(task, vma, vpn, entry);
  });
}

/** What the entry told of its page goes to the page; the entry's reference is dropped. Linux: zap_pte_range(), for one entry */
function zapEntry(task: UserTask, vma: Vma, vpn: number, entry: number): void {
  task.world.accesses?.write(vma.mm.entryId(vpn));
  if (!ptePresent(entry) || (entry & PTE_SPECIAL) !== 0) return;
  const { mem } = vma.mm;
  const frame = ptePfn(entry);
  const mapping = pageMapping(mem, frame);
  if (mapping !== null) {
    if ((entry & PTE_DIRTY) !== 0) mapping.ops.dirtyFolio(task, mapping, frame);
    // Who reads in a row, or at random, will not come back.
    if ((entry & PTE_ACCESSED) !== 0 && (vma.flags & (VM_SEQ_READ | VM_RAND_READ)) === 0) markPageAccessed(mem, frame);
  }
  drop(mem, frame);
}

function drop(mem: PhysMem, frame: Pfn): void {
  pageRemoveRmap(mem, frame);
  putPage(mem, frame);
}

/**
 * Take the pages [index, index + count) of a file out of every page table that shows them.
 *
 * `evenCows`: also private copies that replaced a page of the range, as truncate does.
 *
 * Context: atomic. Linux: unmap_mapping_pages()
 */
export function unmapMappingPages(
  task: UserTask,
  mapping: AddressSpace,
  index: number,
  count: number,
  evenCows: boolean,
): void {
  forEachMapped(mapping, index, count, (vma, vpn, entry, leaf, slot) => {
    if (!evenCows && isPrivateCopy(mapping.mem, entry)) return;
    leaf[slot] = 0;
    zapEntry(task, vma, vpn, entry);
  });
}

function isPrivateCopy(mem: PhysMem, entry: number): boolean {
  return ptePresent(entry) && (entry & PTE_SPECIAL) === 0 && (mem.flags[ptePfn(entry)] & PG_ANON) !== 0;
}

/**
 * Take one file page out of every page table, for reclaim and truncation. Dirty entries make it dirty.
 *
 * Context: atomic; the page is locked. Linux: try_to_unmap()
 */
export function tryToUnmap(task: UserTask, frame: Pfn): void {
  const { mem } = task.mm;
  const mapping = pageMapping(mem, frame);
  forEachEntryOf(task, frame, (vma, vpn, entry, leaf, slot) => {
    leaf[slot] = 0;
    task.world.accesses?.write(vma.mm.entryId(vpn));
    if ((entry & PTE_DIRTY) !== 0) mapping?.ops.dirtyFolio(task, mapping, frame);
    drop(mem, frame);
  });
}

/**
 * Make a file page read-only everywhere, so that the next store faults and is noticed.
 *
 * Context: atomic; the page is locked. Returns: the number of entries that were writable or dirty.
 * Linux: folio_mkclean()
 */
export function pageMkclean(task: UserTask, frame: Pfn): number {
  let cleaned = 0;
  forEachEntryOf(task, frame, (vma, vpn, entry, leaf, slot) => {
    if ((entry & (PTE_RW | PTE_DIRTY)) === 0) return;
    cleaned++;
    task.world.accesses?.write(vma.mm.entryId(vpn));
    leaf[slot] = entry & ~(PTE_RW | PTE_DIRTY);
  });
  return cleaned;
}

/** What page tables say of a page's use. */
export interface PageReferences {
  /** Entries through which it was used since last asked; that is forgotten now. */
  readonly entries: number;
  /** Some of them map code. */
  readonly exec: boolean;
  /** An area holds it locked in memory. */
  readonly locked: boolean;
}

/** Was the page used through a page table since last asked? Context: atomic. Linux: folio_referenced() */
export function pageReferenced(task: UserTask, frame: Pfn): PageReferences {
  let entries = 0;
  let flags = 0;
  forEachEntryOf(task, frame, (vma, _vpn, entry, leaf, slot) => {
    flags |= vma.flags & VM_LOCKED;
    if ((entry & PTE_ACCESSED) === 0) return;
    leaf[slot] = entry & ~PTE_ACCESSED;
    if ((vma.flags & (VM_SEQ_READ | VM_RAND_READ)) !== 0) return;
    entries++;
    flags |= vma.flags & VM_EXEC;
  });
  return { entries, exec: (flags & VM_EXEC) !== 0, locked: (flags & VM_LOCKED) !== 0 };
}

/** Does an area that maps the page hold it locked in memory? Context: atomic. Linux: folio_test_mlocked() */
export function pageMlocked(task: UserTask, frame: Pfn): boolean {
  let locked = false;
  forEachEntryOf(task, frame, (vma) => {
    locked ||= (vma.flags & VM_LOCKED) !== 0;
  });
  return locked;
}

type Visit = (vma: Vma, vpn: number, entry: number, leaf: Int32Array, slot: number) => void;

/** Every entry that maps exactly this page of a file. */
function forEachEntryOf(task: UserTask, frame: Pfn, visit: Visit): void {
  const { mem } = task.mm;
  const mapping = pageMapping(mem, frame);
  if (mapping === null || mem.mapcount[frame] === 0) return;
  forEachMapped(mapping, mem.index[frame], 1, (vma, vpn, entry, leaf, slot) => {
    if (ptePresent(entry) && (entry & PTE_SPECIAL) === 0 && ptePfn(entry) === frame) {
      visit(vma, vpn, entry, leaf, slot);
    }
  });
}

/** Every entry that is not empty, at an address that shows one of the pages [index, index + count). */
function forEachMapped(mapping: AddressSpace, index: number, count: number, visit: Visit): void {
  for (const vma of mapping.iMmap) {
    const pages = (vma.end - vma.start) / PAGE_SIZE;
    const from = Math.max(index, vma.pgoff) - vma.pgoff;
    const to = Math.min(index + count, vma.pgoff + pages) - vma.pgoff;
    if (from >= to) continue;
    const first = vma.start / PAGE_SIZE;
    vma.mm.pgd.forEach(first + from, first + to, (vpn, entry, leaf, slot) => visit(vma, vpn, entry, leaf, slot));
  }
}
