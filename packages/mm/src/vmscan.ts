// Taking pages back under pressure (mm/vmscan.c): the oldest pages of the inactive list, unless they were
// used; dirty ones are written back first; reverse mapping takes them out of every page table.
//
// A page taken back between fault-in and copy is why a caller of fault_in_* must be ready to see the copy
// fall short again. `reclaimer` is a task that does that at any point the chooser likes.

import { checkInteger, type MaySleep, type Pfn, PREEMPT } from "@faultline/kernel";
import type { AddressSpace } from "./address-space.ts";
import { activate, deactivate, lruCacheDel, oldest, rotate } from "./lru.ts";
import { PG_DIRTY, PG_LOCKED, PG_LRU, PG_REFERENCED, PG_WRITEBACK } from "./page-flags.ts";
import { trylockPage, unlockPage } from "./page-lock.ts";
import { getPage, type PhysMem, pageMapping, putPage } from "./physmem.ts";
import { pageMlocked, pageReferenced, tryToUnmap } from "./rmap.ts";
import type { UserTask } from "./user-task.ts";

/** Pages that one round tries to free. Linux: SWAP_CLUSTER_MAX */
const CLUSTER = 32;

/** Passes over the lists before reclaim gives up: a page has to be found unused in one of them. Linux: DEF_PRIORITY */
const PASSES = 13;

/**
 * Take some pages back.
 *
 * Context: sleeps (write-back); hold no page lock. Returns: pages freed.
 * Linux:   try_to_free_pages(), shrink_lruvec()
 * Differs: one list of files for the machine; dirty pages are written here and not left to flusher threads.
 */
export function* tryToFreePages(task: UserTask, mem: PhysMem): MaySleep<number> {
  task.world.accesses?.write(mem.lruId);
  let freed = 0;
  for (let pass = 0; pass < PASSES && freed === 0; pass++) {
    shrinkActiveList(task, mem);
    freed = yield* shrinkInactiveList(task, mem);
  }
  return freed;
}

/** Look at each page of the list once at most: pages come and go while a write-back sleeps. Linux: shrink_inactive_list() */
function* shrinkInactiveList(task: UserTask, mem: PhysMem): MaySleep<number> {
  let freed = 0;
  for (let scan = mem.inactive.length; scan > 0 && freed < CLUSTER; scan--) {
    const frame = oldest(mem, mem.inactive);
    if (frame === 0) break;
    // Whatever becomes of it now, its next turn is after all others.
    rotate(mem, frame);
    const verdict = checkReferences(task, mem, frame);
    if (verdict === "activate") activate(mem, frame);
    else if (verdict === "reclaim" && (yield* shrinkPage(task, mem, frame))) freed++;
  }
  return freed;
}

/**
 * May the page go? Who uses it through page tables gives it another round, and who uses it twice makes it active.
 *
 * Linux: folio_check_references()
 */
function checkReferences(task: UserTask, mem: PhysMem, frame: Pfn): "reclaim" | "keep" | "activate" {
  const { entries, exec, locked } = pageReferenced(task, frame);
  if (locked) return "activate";
  const referenced = (mem.flags[frame] & PG_REFERENCED) !== 0;
  mem.flags[frame] &= ~PG_REFERENCED;
  if (entries > 0) {
    // One use may be all there ever is: remember it, and ask again in the next round.
    mem.flags[frame] |= PG_REFERENCED;
    return referenced || entries > 1 || exec ? "activate" : "keep";
  }
  // Used by read() alone: clean it may go, but it is not worth a write yet.
  return referenced && (mem.flags[frame] & PG_DIRTY) !== 0 ? "keep" : "reclaim";
}

/** Age the active list while it is the longer one; code in use stays. Linux: shrink_active_list() */
function shrinkActiveList(task: UserTask, mem: PhysMem): void {
  for (let scanned = 0; scanned < CLUSTER && mem.active.length > mem.inactive.length; scanned++) {
    const frame = oldest(mem, mem.active);
    const { entries, exec } = pageReferenced(task, frame);
    if (entries > 0 && exec) rotate(mem, frame);
    else deactivate(mem, frame);
  }
}

/**
 * Write a page back if it is dirty, and free it if nobody but the cache and page tables has it.
 *
 * Context: sleeps. Returns: true when it was freed.
 * Linux: shrink_folio_list(), for one page
 */
export function* shrinkPage(task: UserTask, mem: PhysMem, frame: Pfn): MaySleep<boolean> {
  const mapping = pageMapping(mem, frame);
  if (mapping === null || (mem.flags[frame] & PG_LRU) === 0 || !trylockPage(task, mem, frame)) return false;
  getPage(mem, frame);
  const keep = (): false => {
    unlockPage(mem, frame);
    putPage(mem, frame);
    return false;
  };
  if ((mem.flags[frame] & PG_WRITEBACK) !== 0 || pageMlocked(task, frame)) return keep();
  // Stores after this fault again: what the page holds now is what is written.
  tryToUnmap(task, frame);
  if ((mem.flags[frame] & PG_DIRTY) !== 0) {
    // writepage takes the lock over; whoever wrote it meanwhile keeps it.
    if (!(yield* mapping.ops.writepage(task, mapping, frame)) || !trylockPage(task, mem, frame)) {
      putPage(mem, frame);
      return false;
    }
  }
  if (!reclaimUnmapped(task, mem, frame, mapping)) return keep();
  unlockPage(mem, frame);
  putPage(mem, frame);
  return true;
}

/**
 * Take a page out of the cache if it is clean and only the caller and the cache have it.
 *
 * Context: atomic; the page is locked, and the caller has a reference. Returns: true when it is gone.
 * Linux: __remove_mapping()
 */
export function reclaimUnmapped(task: UserTask, mem: PhysMem, frame: Pfn, mapping: AddressSpace): boolean {
  const { accesses } = task.world;
  // Who looked the page up, or uses it, has a reference: an attempt is an event also when it fails.
  accesses?.write(mem.pageId(frame));
  accesses?.write(mapping.slotId(mem.index[frame]));
  if (pageMapping(mem, frame) !== mapping || mem.refcount[frame] !== 2 || mem.mapcount[frame] !== 0) return false;
  if ((mem.flags[frame] & (PG_DIRTY | PG_WRITEBACK)) !== 0) return false;
  task.world.trace?.emit(task, "mm_vmscan_reclaim", frame, mapping.ino, mem.index[frame]);
  lruCacheDel(mem, frame);
  mapping.remove(frame);
  return true;
}

/**
 * The body of a daemon that takes `times` pages back, one at a time, at whatever points the chooser lets it
 * run: a page just faulted in may be gone before it is used. Which page is the choice "evict"; without a
 * budget for it, the oldest that can go.
 *
 * Linux: kswapd, at its most hostile.
 */
export function* reclaimer(task: UserTask, mem: PhysMem, times: number): MaySleep<void> {
  checkInteger(times, "times", 0);
  for (let done = 0; done < times; done++) {
    yield PREEMPT;
    task.world.accesses?.write(mem.lruId);
    const victims = [...reclaimable(task, mem)];
    if (victims.length > 0) yield* shrinkPage(task, mem, victims[task.world.choose("evict", victims.length)]);
  }
}

/** Pages that could be taken back now: in the cache, unlocked, and used by page tables at most; oldest first. */
function* reclaimable(task: UserTask, mem: PhysMem): Generator<Pfn, void, void> {
  for (const list of [mem.inactive, mem.active]) {
    let frame = oldest(mem, list);
    for (let i = 0; i < list.length; i++, frame = mem.lruPrev[frame] as Pfn) {
      const busy = (mem.flags[frame] & (PG_LOCKED | PG_WRITEBACK)) !== 0;
      if (!busy && mem.refcount[frame] === mem.mapcount[frame] + 1 && !pageMlocked(task, frame)) yield frame;
    }
  }
}
