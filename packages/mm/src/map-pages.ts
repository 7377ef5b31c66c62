// Fault-around: entering the pages of the cache that need no waiting (mm/filemap.c: filemap_map_pages).

import type { Pfn } from "@faultline/kernel";
import { PG_LOCKED, PG_READAHEAD, PG_UPTODATE } from "./page-flags.ts";
import { getPage } from "./physmem.ts";
import { makePte, PTE_ACCESSED, PTE_PRESENT, PTE_RW } from "./pte.ts";
import { pageAddRmap } from "./rmap.ts";
import type { UserTask } from "./user-task.ts";
import { VM_SHARED, VM_WRITE, type VmFault, vmaWantsWritenotify } from "./vma.ts";

/**
 * Enter the file pages from `start` to `end`, inclusive, that are in the cache, up to date and not locked,
 * where the page table has nothing yet.
 *
 * For whoever implements VmOperations.mapPages; `lastPage` is the file's last page.
 *
 * Context: atomic. Returns: how many such pages there are, entered already or not.
 * Linux: filemap_map_pages()
 */
export function mapCachedPages(task: UserTask, vmf: VmFault, start: number, end: number, lastPage: number): number {
  const { vma } = vmf;
  const { mm, mapping } = vma;
  const { mem, pgd } = mm;
  if (mapping === null) return 0;
  const log = task.world.accesses;
  const shift = vma.start / 4096 - vma.pgoff;
  let met = 0;
  let refused = false;
  // Also where no page is, it was looked for.
  if (log !== null) for (let i = start; i <= Math.min(end, lastPage); i++) log.read(mapping.slotId(i));
  mapping.pages.forEach(start, Math.min(end, lastPage) + 1, (index, entry) => {
    const frame = entry as Pfn;
    const vpn = index + shift;
    log?.read(mem.pageId(frame));
    if ((mem.flags[frame] & (PG_UPTODATE | PG_LOCKED | PG_READAHEAD)) !== PG_UPTODATE) {
      // Its read may be over before the next page is looked at.
      if ((mem.flags[frame] & PG_LOCKED) !== 0) task.world.interrupt();
      return;
    }
    if (met === 0 && index === lastPage && mm.revision.lastPageNeedsTable) refused = !pgd.hasTable(vpn);
    if (refused) return;
    met++;
    if (pgd.get(vpn) !== 0) return;
    log?.write(mm.entryId(vpn));
    getPage(mem, frame);
    pageAddRmap(mem, frame);
    pgd.set(vpn, makePte(frame, PTE_PRESENT | PTE_ACCESSED | sharedWriteBit(vmf)));
  });
  return met;
}

/** PTE_RW if a file page that is only read may nevertheless be entered writable: nobody wants to hear of stores. */
export function sharedWriteBit(vmf: VmFault): number {
  const { vma } = vmf;
  const writable = (vma.flags & (VM_SHARED | VM_WRITE)) === (VM_SHARED | VM_WRITE);
  return writable && !vmaWantsWritenotify(vma) ? PTE_RW : 0;
}
