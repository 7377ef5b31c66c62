// get_user_pages without locks (mm/gup.c: gup_fast): what the page tables have, and the slow walk for the rest.

import {
  EFAULT,
  err,
  isErr,
  KernelBug,
  type MayFault,
  type MaySleep,
  PAGE_SIZE,
  type Pfn,
  pageStart,
  WaitChannel,
} from "@faultline/kernel";
import { mayEvict } from "./evict.ts";
import { grabPage, mustUnshare } from "./follow-page.ts";
import { getUserPagesUnlocked } from "./gup.ts";
import { FOLL_FAST_ONLY, FOLL_NOFAULT, FOLL_TOUCH, FOLL_WRITE } from "./gup-flags.ts";
import { PG_REFERENCED } from "./page-flags.ts";
import { PTE_ACCESSED, PTE_PRESENT, PTE_RW, PTE_SPECIAL, ptePfn } from "./pte.ts";
import { accessOk } from "./uaccess.ts";
import type { UserTask } from "./user-task.ts";

/**
 * Collect what the page tables have, without locks and without faulting.
 *
 * Refuses special entries (the zero page), entries not yet accessed, and for writing those not writable.
 *
 * Context: atomic. Returns: pages collected, possibly 0; never an error. Linux: get_user_pages_fast_only()
 */
export function getUserPagesFastOnly(
  task: UserTask,
  start: number,
  count: number,
  gupFlags: number,
  pages: Pfn[],
): number {
  const { mm } = task;
  const { mem } = mm;
  const first = pageStart(start);
  if (!accessOk(first, count * PAGE_SIZE)) return 0;
  const need = PTE_PRESENT | PTE_ACCESSED | ((gupFlags & FOLL_WRITE) !== 0 ? PTE_RW : 0);
  const log = task.world.accesses;
  for (let done = 0; done < count; done++) {
    const vpn = first / PAGE_SIZE + done;
    if (mem.evicts) mayEvict(task, vpn);
    const entry = mm.pgd.get(vpn);
    log?.read(mm.entryId(vpn));
    if ((entry & (need | PTE_SPECIAL)) !== need || mustUnshare(mm, entry, gupFlags)) return done;
    const page = ptePfn(entry);
    grabPage(mem, page, gupFlags);
    mem.flags[page] |= PG_REFERENCED;
    pages.push(page);
  }
  return count;
}

/**
 * Collect pages: what the fast walk finds, then the slow walk for the rest. With FOLL_PIN they are pinned.
 *
 * Context: may fault, unless FOLL_NOFAULT or FOLL_FAST_ONLY; mmap_lock not held.
 * Returns: pages collected, or an error if there are none. Linux: get_user_pages_fast(), pin_user_pages_fast()
 */
export function* getUserPagesFast(
  task: UserTask,
  start: number,
  count: number,
  gupFlags: number,
  pages: Pfn[],
): MayFault<number> {
  const first = pageStart(start);
  if (!accessOk(first, count * PAGE_SIZE)) return err(EFAULT);
  if ((gupFlags & (FOLL_NOFAULT | FOLL_FAST_ONLY)) === 0) task.world.lockdep?.mightFault(task);
  const fast = getUserPagesFastOnly(task, first, count, gupFlags, pages);
  if (fast === count || (gupFlags & FOLL_FAST_ONLY) !== 0) return fast;
  const rest = first + fast * PAGE_SIZE;
  const slow = yield* getUserPagesUnlocked(task, rest, count - fast, gupFlags | FOLL_TOUCH, pages);
  // Whoever has pages must be told of them, to let go of them: the error shows on the next call.
  if (isErr(slow)) return fast > 0 ? fast : slow;
  return fast + slow;
}

/**
 * The same without faulting, which needs no more than sleeping.
 *
 * Context: sleeps (mmap_lock). Returns: pages collected, or -EFAULT if there are none.
 * Linux:   get_user_pages_fast() with FOLL_NOFAULT
 */
export function* getUserPagesNofault(
  task: UserTask,
  start: number,
  count: number,
  gupFlags: number,
  pages: Pfn[],
): MaySleep<number> {
  const walk = getUserPagesFast(task, start, count, gupFlags | FOLL_NOFAULT, pages);
  for (let step = walk.next(); ; step = walk.next()) {
    if (step.done === true) return step.value;
    if (!(step.value instanceof WaitChannel)) throw new KernelBug("a walk with FOLL_NOFAULT faulted");
    yield step.value;
  }
}
