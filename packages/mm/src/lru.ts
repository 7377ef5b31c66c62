// Which file pages to take back first: an active and an inactive list, and a second chance for pages that
// were used (mm/swap.c, mm/vmscan.c). Intrusive lists over frame numbers. Anonymous pages are on no list:
// there is no swap to put them in.

import { bugOn, type Pfn } from "@faultline/kernel";
import { PG_ACTIVE, PG_LRU, PG_REFERENCED } from "./page-flags.ts";
import type { PhysMem } from "./physmem.ts";

/** A ring of frames; `head` is the one added last, 0 when the list is empty. */
export interface LruList {
  head: number;
  length: number;
}

/** Put a new page of the cache on the inactive list. Context: atomic. Linux: folio_add_lru() */
export function lruCacheAdd(mem: PhysMem, frame: Pfn): void {
  bugOn((mem.flags[frame] & PG_LRU) !== 0, "page is on an LRU list already");
  mem.world.accesses?.read(mem.lruId);
  mem.flags[frame] |= PG_LRU;
  push(mem, mem.inactive, frame);
}

/** Take a page off its list. Context: atomic. Linux: lruvec_del_folio() */
export function lruCacheDel(mem: PhysMem, frame: Pfn): void {
  if ((mem.flags[frame] & PG_LRU) === 0) return;
  mem.world.accesses?.read(mem.lruId);
  unlink(mem, listOf(mem, frame), frame);
  mem.flags[frame] &= ~(PG_LRU | PG_ACTIVE);
}

/**
 * The page was used: referenced at the first use, active at the second.
 *
 * Context: atomic. Linux: folio_mark_accessed()
 */
export function markPageAccessed(mem: PhysMem, frame: Pfn): void {
  const flags = mem.flags[frame];
  if ((flags & PG_REFERENCED) === 0) mem.flags[frame] = flags | PG_REFERENCED;
  else if ((flags & (PG_ACTIVE | PG_LRU)) === PG_LRU) activate(mem, frame);
}

/** Move a page of the inactive list to the active one; it has to earn its next reference again. Linux: folio_activate() */
export function activate(mem: PhysMem, frame: Pfn): void {
  bugOn((mem.flags[frame] & (PG_LRU | PG_ACTIVE)) !== PG_LRU, "page to be activated is not on the inactive list");
  unlink(mem, mem.inactive, frame);
  mem.flags[frame] = (mem.flags[frame] | PG_ACTIVE) & ~PG_REFERENCED;
  push(mem, mem.active, frame);
}

/** Move a page to the head of the inactive list, as if it had just come. Linux: lru_deactivate_file() */
export function deactivate(mem: PhysMem, frame: Pfn): void {
  bugOn((mem.flags[frame] & PG_LRU) === 0, "page to be deactivated is on no list");
  unlink(mem, listOf(mem, frame), frame);
  mem.flags[frame] &= ~PG_ACTIVE;
  push(mem, mem.inactive, frame);
}

/** Give a page another round on the list that it is on. */
export function rotate(mem: PhysMem, frame: Pfn): void {
  const list = listOf(mem, frame);
  unlink(mem, list, frame);
  push(mem, list, frame);
}

/** The page that has been on a list for the longest time; 0 when the list is empty. */
export function oldest(mem: PhysMem, list: LruList): Pfn {
  return (list.length === 0 ? 0 : mem.lruPrev[list.head]) as Pfn;
}

function listOf(mem: PhysMem, frame: Pfn): LruList {
  return (mem.flags[frame] & PG_ACTIVE) !== 0 ? mem.active : mem.inactive;
}

function push(mem: PhysMem, list: LruList, frame: Pfn): void {
  const { lruNext, lruPrev } = mem;
  if (list.length++ === 0) {
    lruNext[frame] = frame;
    lruPrev[frame] = frame;
  } else {
    const tail = lruPrev[list.head];
    lruNext[frame] = list.head;
    lruPrev[frame] = tail;
    lruNext[tail] = frame;
    lruPrev[list.head] = frame;
  }
  list.head = frame;
}

function unlink(mem: PhysMem, list: LruList, frame: Pfn): void {
  const { lruNext, lruPrev } = mem;
  lruNext[lruPrev[frame]] = lruNext[frame];
  lruPrev[lruNext[frame]] = lruPrev[frame];
  if (list.head === frame) list.head = lruNext[frame];
  list.length--;
}
