// Faults that anonymous memory resolves by itself (mm/memory.c: do_anonymous_page, do_wp_page): first touches
// and copies on write. Nothing here sleeps; what needs memory that is not free says so.

import { PAGE_SIZE, type Pfn } from "@faultline/kernel";
import { failedByChoice } from "./alloc.ts";
import { prepareAnonVma } from "./area.ts";
import { FAULT_FLAG_UNSHARE, VM_FAULT_OOM, VM_FAULT_WRITE } from "./fault-flags.ts";
import type { MmStruct } from "./mm-struct.ts";
import { PG_ANON, PG_ANON_EXCLUSIVE, PG_UPTODATE } from "./page-flags.ts";
import { type PhysMem, pageAddress, putPage } from "./physmem.ts";
import { makePte, PTE_ACCESSED, PTE_DIRTY, PTE_PRESENT, PTE_RW, PTE_SPECIAL, ptePfn } from "./pte.ts";
import { pageAddRmap, pageRemoveRmap } from "./rmap.ts";
import type { UserTask } from "./user-task.ts";
import { VM_WRITE, type Vma } from "./vma.ts";

/** What the functions that do not sleep return when the fault cannot be resolved without sleeping. */
export const NEEDS_SLEEP: number = -1;

/** First touch of anonymous memory. `spare`: a page to use if one is needed, or 0 to allocate. Linux: do_anonymous_page() */
export function doAnonymousPage(task: UserTask, vma: Vma, vpn: number, write: boolean, spare: Pfn): number {
  const { mem } = vma.mm;
  if (!write) {
    setEntry(task, vma.mm, vpn, makePte(mem.zeroPfn, PTE_PRESENT | PTE_ACCESSED | PTE_SPECIAL));
    return 0;
  }
  const frame = spare !== 0 ? spare : mem.tryAllocPage(true);
  if (frame === 0) return noPage(mem);
  if (spare !== 0) mem.u8.fill(0, pageAddress(frame), pageAddress(frame) + PAGE_SIZE);
  mapAnonymous(task, vma, vpn, frame, PTE_DIRTY);
  return 0;
}

/**
 * A store to a private page that is mapped read-only: take the page over if nobody else has it, else copy it.
 * With FAULT_FLAG_UNSHARE the page becomes our own, and stays read-only.
 *
 * Linux: do_wp_page()
 */
export function doWpPage(task: UserTask, vma: Vma, vpn: number, entry: number, flags: number, spare: Pfn): number {
  const { mm } = vma;
  const { mem } = mm;
  const old = ptePfn(entry);
  const unshare = (flags & FAULT_FLAG_UNSHARE) !== 0;
  const result = mm.revision.reportsWrite ? VM_FAULT_WRITE : 0;
  const special = (entry & PTE_SPECIAL) !== 0;
  if (!special) task.world.accesses?.write(mem.pageId(old));
  if (!special && isOurs(mm, old)) {
    mem.flags[old] |= PG_ANON_EXCLUSIVE;
    if (unshare) return 0;
    setEntry(task, mm, vpn, entry | PTE_ACCESSED | PTE_DIRTY | writeBit(vma));
    return result;
  }
  const frame = spare !== 0 ? spare : mem.tryAllocPage(old === mem.zeroPfn);
  if (frame === 0) return noPage(mem);
  const to = pageAddress(frame);
  task.world.accesses?.read(mem.bytesId(old));
  if (old !== mem.zeroPfn) mem.u8.copyWithin(to, pageAddress(old), pageAddress(old) + PAGE_SIZE);
  else if (spare !== 0) mem.u8.fill(0, to, to + PAGE_SIZE);
  if (!special) {
    pageRemoveRmap(mem, old);
    putPage(mem, old);
  }
  mapAnonymous(task, vma, vpn, frame, unshare ? 0 : PTE_DIRTY);
  return unshare ? 0 : result;
}

/** Is this an anonymous page that nobody else maps? Linux: PageAnonExclusive(), wp_can_reuse_anon_folio() */
function isOurs(mm: MmStruct, frame: Pfn): boolean {
  const flags = mm.mem.flags[frame];
  if ((flags & PG_ANON) === 0) return false;
  return mm.mem.refcount[frame] === 1 || (mm.revision.anonExclusive && (flags & PG_ANON_EXCLUSIVE) !== 0);
}

/** Map a page that nobody else knows; writable if it is dirty and the area allows it. Takes over the caller's reference. */
export function mapAnonymous(task: UserTask, vma: Vma, vpn: number, frame: Pfn, dirty: number): void {
  const { mem } = vma.mm;
  prepareAnonVma(vma);
  mem.flags[frame] |= PG_ANON | PG_ANON_EXCLUSIVE | PG_UPTODATE;
  pageAddRmap(mem, frame);
  setEntry(task, vma.mm, vpn, makePte(frame, PTE_PRESENT | PTE_ACCESSED | dirty | (dirty !== 0 ? writeBit(vma) : 0)));
}

/** A debugger may write to an area that may not be written: the page is copied, and stays read-only. Linux: maybe_mkwrite() */
function writeBit(vma: Vma): number {
  return (vma.flags & VM_WRITE) !== 0 ? PTE_RW : 0;
}

export function setEntry(task: UserTask, mm: MmStruct, vpn: number, entry: number): void {
  task.world.accesses?.write(mm.entryId(vpn));
  mm.pgd.set(vpn, entry);
}

/** No free page: reclaim may help, unless the environment chose that this allocation fails. */
function noPage(mem: PhysMem): number {
  return failedByChoice(mem) ? VM_FAULT_OOM : NEEDS_SLEEP;
}
