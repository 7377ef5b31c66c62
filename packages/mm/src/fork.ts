// Copying an address space (kernel/fork.c: dup_mmap; mm/memory.c: copy_page_range).
//
// No page is copied: private pages become read-only on both sides, and the first store makes the copy. File
// pages of shared mappings are not even entered: the child faults them in.

import { downWrite, downWriteTrylock, type MaySleep, PAGE_SIZE, upWrite } from "@faultline/kernel";
import { MmStruct } from "./mm-struct.ts";
import { getPage, PG_ANON } from "./physmem.ts";
import { PTE_RW, PTE_SPECIAL, ptePfn, ptePresent } from "./pte.ts";
import { pageAddRmap } from "./rmap.ts";
import type { UserTask } from "./user-task.ts";
import { isCowMapping, Vma } from "./vma.ts";

/**
 * A copy of the task's address space.
 *
 * Context: sleeps; mmap_lock not held. Linux: dup_mm()
 */
export function* dupMm(task: UserTask): MaySleep<MmStruct> {
  const { mm } = task;
  if (!downWriteTrylock(task, mm.mmapLock)) yield* downWrite(task, mm.mmapLock);
  const copy = new MmStruct(mm.mem, mm.revision, mm.limits);
  for (const vma of mm.vmas.values()) {
    const backing = { mapping: vma.mapping, ops: vma.ops, file: vma.file };
    const twin = new Vma(copy, vma.start, vma.end, vma.flags, vma.pgoff, backing);
    copy.vmas.insert(twin);
    twin.mapping?.iMmap.add(twin);
    if (isCowMapping(vma.flags)) copyPageRange(task, vma, copy);
  }
  copy.totalVm = mm.totalVm;
  upWrite(task, mm.mmapLock);
  return copy;
}

/** Share the anonymous pages of a private area, read-only on both sides. */
function copyPageRange(task: UserTask, vma: Vma, copy: MmStruct): void {
  const { mm } = vma;
  const { mem } = mm;
  mm.pgd.forEach(vma.start / PAGE_SIZE, vma.end / PAGE_SIZE, (vpn, entry) => {
    const frame = ptePfn(entry);
    if (!ptePresent(entry) || (entry & PTE_SPECIAL) !== 0 || (mem.flags[frame] & PG_ANON) === 0) return;
    const shared = entry & ~PTE_RW;
    task.world.accesses?.write(mm.entryId(vpn));
    mm.pgd.set(vpn, shared);
    copy.pgd.set(vpn, shared);
    getPage(mem, frame);
    pageAddRmap(mem, frame);
  });
}
