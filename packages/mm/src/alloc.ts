// Allocating a page when memory may have to be taken back first (mm/page_alloc.c).

import type { MaySleep, Pfn } from "@faultline/kernel";
import type { PhysMem } from "./physmem.ts";
import type { UserTask } from "./user-task.ts";
import { tryToFreePages } from "./vmscan.ts";

/**
 * Take a frame with one reference, zeroed or not.
 *
 * Context: sleeps when memory has to be reclaimed; hold no page lock.
 * Returns: 0 when there is no memory (ENOMEM, VM_FAULT_OOM).
 * Linux: alloc_page(GFP_KERNEL)
 */
export function* allocPage(task: UserTask, mem: PhysMem, zero: boolean): MaySleep<Pfn> {
  for (;;) {
    const frame = mem.tryAllocPage(zero);
    if (frame !== 0 || failedByChoice(mem)) return frame;
    if ((yield* tryToFreePages(task, mem)) === 0) return 0 as Pfn;
  }
}

/** Did tryAllocPage, which has just failed, fail because the environment chose so? Then nothing helps. */
export function failedByChoice(mem: PhysMem): boolean {
  return mem.freePages > 0;
}
