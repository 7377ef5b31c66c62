// Taking pages back under pressure (mm/vmscan.c): the oldest pages of the inactive list, unless they were
// used; dirty ones are written back first; reverse mapping takes them out of every page table.
//
// A page taken back between fault-in and copy is why a caller of fault_in_* must be ready to see the copy
// fall short again. `reclaimer` is a task that does that at any point the chooser likes.

import { type MaySleep, type Pfn, PREEMPT } from "@faultline/kernel";
import { activate, deactivate, lruCacheDel, oldest } from "./lru.ts";
import { trylockPage, unlockPage } from "./page-lock.ts";
import {
  getPage,
  PG_DIRTY,
  PG_LOCKED,
  PG_REFERENCED,
  PG_WRITEBACK,
  type PhysMem,
  pageMapping,
  putPage,
} from "./physmem.ts";
import { pageReferenced, tryToUnmap } from "./rmap.ts";
import type { UserTask } from "./user-task.ts";

/** Pages that one round tries to free. Linux: SWAP_CLUSTER_MAX */
const CLUSTER = 32;

/**
 * One round of reclaim.
 *
 * Context: sleeps (write-back); hold no page lock. Returns: pages freed.
 * Linux: try_to_free_pages()
 */
export function* tryToFreePages(task: UserTask, mem: PhysMem): MaySleep<number> {
  shrinkActive(task, mem);
  let freed = 0;
  for (let scanned = 0, limit = mem.inactive.length; scanned < limit && freed < CLUSTER; scanned++) {
    const frame = oldest(mem, mem.inactive);
    if (frame === 0) break;
    if (pageReferenced(task, frame) && (mem.flags[frame] & PG_REFERENCED) !== 0) {
      activate(mem, frame);
      continue;
    }
    if (yield* shrinkPage(task, mem, frame)) freed++;
    else if (mem.refcount[frame] > 0) deactivate(mem, frame);
  }
  return freed;
}

/**
 * Write a page back if it is dirty, and free it if nobody but the cache and page tables has it.
 *
 * Context: sleeps. Returns: true when it was freed.
 * Linux: shrink_folio_list(), for one page
 */
export function* shrinkPage(task: UserTask, mem: PhysMem, frame: Pfn): MaySleep<boolean> {
  const mapping = pageMapping(mem, frame);
  if (mapping === null || !trylockPage(task, mem, frame)) return false;
  getPage(mem, frame);
  const done = (): boolean => {
    unlockPage(mem, frame);
    putPage(mem, frame);
    return false;
  };
  if ((mem.flags[frame] & PG_WRITEBACK) !== 0) return done();
  tryToUnmap(task, frame);
  if ((mem.flags[frame] & PG_DIRTY) !== 0) {
    // writepage takes the lock over; whoever wrote it meanwhile keeps it.
    if (!(yield* mapping.ops.writepage(task, mapping, frame)) || !trylockPage(task, mem, frame)) {
      putPage(mem, frame);
      return false;
    }
  }
  // Ours and the cache's: any other reference is somebody who uses the page now.
  if (pageMapping(mem, frame) !== mapping || mem.refcount[frame] !== 2 || mem.mapcount[frame] !== 0) return done();
  if ((mem.flags[frame] & (PG_DIRTY | PG_WRITEBACK)) !== 0) return done();
  task.world.trace?.emit(task, "mm_vmscan_reclaim", frame, mapping.ino, mem.index[frame]);
  task.world.accesses?.write(mem.pageId(frame));
  lruCacheDel(mem, frame);
  mapping.remove(frame);
  unlockPage(mem, frame);
  putPage(mem, frame);
  return true;
}

/** Age the active list: what was not used since last time becomes inactive. Linux: shrink_active_list() */
function shrinkActive(task: UserTask, mem: PhysMem): void {
  for (let scanned = 0; scanned < CLUSTER && mem.active.length > mem.inactive.length; scanned++) {
    const frame = oldest(mem, mem.active);
    const used = pageReferenced(task, frame);
    deactivate(mem, frame);
    if (used) activate(mem, frame);
  }
}

/**
 * The body of a daemon that takes `times` pages back, one at a time, at whatever points the chooser lets it
 * run: a page just faulted in may be gone before it is used. Which page is the choice "evict"; without a
 * budget for it, the oldest that can go.
 *
 * Linux: kswapd, at its most hostile.
 */
export function* reclaimer(task: UserTask, mem: PhysMem, times: number): MaySleep<void> {
  for (let done = 0; done < times; done++) {
    yield PREEMPT;
    const victims = [...reclaimable(mem)];
    if (victims.length > 0) yield* shrinkPage(task, mem, victims[task.world.choose("evict", victims.length)]);
  }
}

/** Pages that could be taken back now: in the cache, unlocked, and used by page tables at most; oldest first. */
function* reclaimable(mem: PhysMem): Generator<Pfn, void, void> {
  for (const list of [mem.inactive, mem.active]) {
    let frame = oldest(mem, list);
    for (let i = 0; i < list.length; i++, frame = mem.lruPrev[frame] as Pfn) {
      const busy = (mem.flags[frame] & (PG_LOCKED | PG_WRITEBACK)) !== 0;
      if (!busy && mem.refcount[frame] === mem.mapcount[frame] + 1) yield frame;
    }
  }
}
