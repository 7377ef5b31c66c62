// A user page that goes away at the worst moment: between being faulted in and being used. For explored schedules
// this is a choice of the environment at the point of use, rather than a task of its own that may come at any time:
// when exactly the page went makes no difference to whoever finds it gone.

import { trylockPage, unlockPage } from "./page-lock.ts";
import { getPage, pageMapping, putPage } from "./physmem.ts";
import { PTE_SPECIAL, ptePfn, ptePresent } from "./pte.ts";
import { tryToUnmap } from "./rmap.ts";
import type { UserTask } from "./user-task.ts";
import { reclaimUnmapped } from "./vmscan.ts";

/**
 * Ask the environment whether the file page behind an entry is taken back now, as reclaim could.
 *
 * A page that somebody has locked, dirtied or holds on to is only taken out of the page tables.
 *
 * Context: atomic. Linux: shrink_folio_list()
 */
export function mayEvict(task: UserTask, vpn: number): void {
  const { pgd, mem } = task.mm;
  const entry = pgd.get(vpn);
  task.world.accesses?.read(task.mm.entryId(vpn));
  if (!ptePresent(entry) || (entry & PTE_SPECIAL) !== 0) return;
  const frame = ptePfn(entry);
  const mapping = pageMapping(mem, frame);
  if (mapping === null || task.world.choose("evict", 2) === 0) return;
  const isLocked = trylockPage(task, mem, frame);
  getPage(mem, frame);
  tryToUnmap(task, frame);
  if (isLocked) {
    reclaimUnmapped(task, mem, frame, mapping);
    unlockPage(mem, frame);
  }
  putPage(mem, frame);
}
