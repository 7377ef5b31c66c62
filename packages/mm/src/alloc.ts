// Allocating a page when memory may have to be taken back first (mm/page_alloc.c).

import type { MaySleep, Pfn } from "@faultline/kernel";
import type { PhysMem } from "./physmem.ts";
import type { UserTask } from "./user-task.ts";
import { tryToFreePages } from "./vmscan.ts";

/** Rounds of reclaim before an allocation fails. */
const RECLAIM_ROUNDS = 4;

/**
 * Take a frame with one reference, zeroed or not.
 *
 * Context: sleeps when memory has to be reclaimed; hold no page lock.
 * Returns: 0 when there is no memory (ENOMEM, VM_FAULT_OOM).
 * Linux: alloc_page(GFP_KERNEL)
 */
export function* allocPage(task: UserTask, mem: PhysMem, zero: boolean): MaySleep<Pfn> {
  let frame = mem.tryAllocPage(zero);
  for (let round = 0; frame === 0 && round < RECLAIM_ROUNDS; round++) {
    if ((yield* tryToFreePages(task, mem)) === 0) break;
    frame = mem.tryAllocPage(zero);
  }
  return frame;
}
