// The page that a page table shows, for get_user_pages (mm/gup.c: follow_page_pte, check_vma_flags), and the
// references and pins that it takes.

import { EFAULT, EINVAL, ENOMEM, type Errno, err, PAGE_SIZE, type Pfn, type Status } from "@faultline/kernel";
import { FOLL_FORCE, FOLL_MADV_POPULATE, FOLL_PIN, FOLL_TOUCH, FOLL_WRITE } from "./gup-flags.ts";
import { markPageAccessed } from "./lru.ts";
import type { MmStruct } from "./mm-struct.ts";
import { PG_ANON, PG_ANON_EXCLUSIVE } from "./page-flags.ts";
import { getPage, type PhysMem, pageMapping, putPage } from "./physmem.ts";
import { PTE_DIRTY, PTE_RW, PTE_SPECIAL, ptePfn, ptePresent } from "./pte.ts";
import type { UserTask } from "./user-task.ts";
import { isCowMapping, VM_IO, VM_MAYREAD, VM_PFNMAP, VM_READ, VM_WRITE, type Vma } from "./vma.ts";

/** What get_user_pages says of an address without an area. */
export function noVma(gupFlags: number): Errno {
  return err((gupFlags & FOLL_MADV_POPULATE) !== 0 ? ENOMEM : EFAULT);
}

/** Does the area allow this kind of access? Context: atomic. Linux: check_vma_flags() */
export function checkVmaFlags(vma: Vma, gupFlags: number): Status {
  const refused = err((gupFlags & FOLL_MADV_POPULATE) !== 0 ? EINVAL : EFAULT);
  if ((vma.flags & (VM_IO | VM_PFNMAP)) !== 0) return refused;
  const force = (gupFlags & FOLL_FORCE) !== 0;
  if ((gupFlags & FOLL_WRITE) !== 0) {
    if ((vma.flags & VM_WRITE) === 0 && !(force && isCowMapping(vma.flags))) return refused;
  } else if ((vma.flags & VM_READ) === 0 && !(force && (vma.flags & VM_MAYREAD) !== 0)) {
    return refused;
  }
  return 0;
}

/** What followPage returns when the page is there, but has to become our own before it is pinned. Linux: -EMLINK */
export const MUST_UNSHARE: number = -1;

/**
 * The page mapped at an address, if the entry permits the access.
 *
 * Context: atomic; mmap_lock held. Returns: the frame; 0 if a fault has to come first; MUST_UNSHARE.
 * Linux:   follow_page_pte()
 */
export function followPage(task: UserTask, vma: Vma, address: number, gupFlags: number): number {
  const { mm } = vma;
  const { mem } = mm;
  const vpn = Math.floor(address / PAGE_SIZE);
  const entry = mm.pgd.get(vpn);
  task.world.accesses?.read(mm.entryId(vpn));
  // Present without access is good enough: who may not look at PROT_NONE was refused before.
  if (!ptePresent(entry)) return 0;
  const write = (gupFlags & FOLL_WRITE) !== 0;
  const page = ptePfn(entry);
  if (write && (entry & PTE_RW) === 0 && !canFollowWrite(vma, entry, gupFlags)) return 0;
  if (!write && mustUnshare(mm, entry, gupFlags)) return MUST_UNSHARE;
  if ((gupFlags & FOLL_TOUCH) !== 0 && (entry & PTE_SPECIAL) === 0) {
    const mapping = pageMapping(mem, page);
    if (write && (entry & PTE_DIRTY) === 0) mapping?.ops.dirtyFolio(task, mapping, page);
    markPageAccessed(mem, page);
  }
  return page;
}

/** A debugger's store to a read-only private page: good once the page is our own copy. Linux: can_follow_write_pte() */
function canFollowWrite(vma: Vma, entry: number, gupFlags: number): boolean {
  if ((gupFlags & FOLL_FORCE) === 0 || (vma.flags & VM_WRITE) !== 0 || (entry & PTE_SPECIAL) !== 0) return false;
  const { mem, revision } = vma.mm;
  const page = ptePfn(entry);
  if ((mem.flags[page] & PG_ANON) === 0) return false;
  return mem.refcount[page] === 1 || (revision.anonExclusive && (mem.flags[page] & PG_ANON_EXCLUSIVE) !== 0);
}

/**
 * Would a store of ours later leave whoever pins this page with a page that is not ours any more?
 *
 * Context: atomic. Linux: gup_must_unshare(), since 5.19
 */
export function mustUnshare(mm: MmStruct, entry: number, gupFlags: number): boolean {
  if ((gupFlags & (FOLL_PIN | FOLL_WRITE)) !== FOLL_PIN || !mm.revision.anonExclusive) return false;
  if ((entry & (PTE_SPECIAL | PTE_RW)) !== 0) return false;
  return (mm.mem.flags[ptePfn(entry)] & (PG_ANON | PG_ANON_EXCLUSIVE)) === PG_ANON;
}

/** Take the reference or the pin that FOLL_GET or FOLL_PIN asks for. Linux: try_grab_folio() */
export function grabPage(mem: PhysMem, page: Pfn, gupFlags: number): void {
  getPage(mem, page);
  if ((gupFlags & FOLL_PIN) !== 0) mem.pins.set(page, (mem.pins.get(page) ?? 0) + 1);
}

/**
 * Drop the references or pins of a walk; `dirty` says that the bytes of the pages were written.
 *
 * Context: atomic. Linux: put_page(), unpin_user_pages_dirty_lock()
 * Differs: of a page that is pinned and referenced, pins go first; fork alone asks for pins.
 */
export function putUserPages(task: UserTask, pages: readonly Pfn[], dirty: boolean): void {
  const { mem } = task.mm;
  for (const page of pages) {
    task.world.accesses?.write(mem.pageId(page));
    const mapping = pageMapping(mem, page);
    if (dirty) mapping?.ops.dirtyFolio(task, mapping, page);
    const pins = mem.pins.get(page) ?? 0;
    if (pins > 1) mem.pins.set(page, pins - 1);
    else if (pins === 1) mem.pins.delete(page);
    putPage(mem, page);
  }
}
