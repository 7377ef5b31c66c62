// Copying an address space (kernel/fork.c: dup_mmap; mm/memory.c: copy_page_range).
//
// No page is copied: private pages become read-only on both sides, and the first store makes the copy. What
// can be faulted in again from a file is not even entered. Only a page that somebody has pinned is copied
// now, so that it stays with whoever pinned it.

import { downWrite, ENOMEM, type Errno, err, ignoreResult, type MaySleep, PAGE_SIZE, upWrite } from "@faultline/kernel";
import { allocPage } from "./alloc.ts";
import { mapAnonymous } from "./anon-fault.ts";
import { accountVma } from "./area.ts";
import { MmStruct, TASK_SIZE } from "./mm-struct.ts";
import { mmapWriteLockNow } from "./mmap-lock.ts";
import { unmapRange } from "./munmap.ts";
import { PG_ANON, PG_ANON_EXCLUSIVE } from "./page-flags.ts";
import { pageAddress, pageMaybeDmaPinned } from "./physmem.ts";
import { PTE_ACCESSED, PTE_DIRTY, PTE_RW, PTE_SPECIAL, ptePfn } from "./pte.ts";
import type { UserTask } from "./user-task.ts";
import { backingOf, VM_DONTCOPY, VM_LOCKED, VM_PFNMAP, VM_WIPEONFORK, Vma } from "./vma.ts";

/**
 * A copy of the task's address space.
 *
 * Context: sleeps; mmap_lock not held. Returns: the copy, which no task uses yet, or -ENOMEM.
 * Linux:   dup_mm()
 */
export function* dupMm(task: UserTask): MaySleep<MmStruct | Errno> {
  const { mm } = task;
  if (!mmapWriteLockNow(task, mm)) yield* downWrite(task, mm.mmapLock);
  const copy = new MmStruct(mm.mem, mm.revision, mm.limits);
  const copied = yield* dupMmap(task, copy);
  upWrite(task, mm.mmapLock);
  if (copied) return copy;
  ignoreResult(unmapRange(task, 0, TASK_SIZE, copy), "no area is cut in two");
  return err(ENOMEM);
}

/** Returns: false when there was no memory. Linux: dup_mmap() */
function* dupMmap(task: UserTask, copy: MmStruct): MaySleep<boolean> {
  for (const vma of task.mm.vmas.values()) {
    if ((vma.flags & VM_DONTCOPY) !== 0) continue;
    // Locks are not inherited.
    const flags = vma.flags & ~VM_LOCKED;
    const twin = new Vma(copy, vma.start, vma.end, flags, vma.pgoff, backingOf(vma));
    copy.vmas.insert(twin);
    twin.mapping?.iMmap.add(twin);
    accountVma(copy, flags, vma.end - vma.start);
    if ((flags & VM_WIPEONFORK) !== 0) continue;
    if (vma.anonVma !== 0) twin.anonVma = ++copy.lastAnonVma;
    if ((vma.anonVma !== 0 || (flags & VM_PFNMAP) !== 0) && !(yield* copyPageRange(task, vma, twin))) return false;
  }
  return true;
}

/** Give the twin the entries of its area. Returns: false when there was no memory. Linux: copy_page_range() */
function* copyPageRange(task: UserTask, vma: Vma, twin: Vma): MaySleep<boolean> {
  const { mem, pgd, revision } = vma.mm;
  const log = task.world.accesses;
  const pinned: number[] = [];
  pgd.forEach(vma.start / PAGE_SIZE, vma.end / PAGE_SIZE, (vpn, entry, leaf, slot) => {
    let shared = entry;
    if ((entry & PTE_SPECIAL) === 0) {
      const frame = ptePfn(entry);
      const flags = mem.flags[frame];
      if ((flags & PG_ANON) !== 0) {
        log?.write(mem.pageId(frame));
        if (pageMaybeDmaPinned(mem, frame) && (!revision.anonExclusive || (flags & PG_ANON_EXCLUSIVE) !== 0)) {
          pinned.push(vpn);
          return;
        }
        mem.flags[frame] = flags & ~PG_ANON_EXCLUSIVE;
        shared = entry & ~PTE_RW;
        if (shared !== entry) {
          leaf[slot] = shared;
          log?.write(vma.mm.entryId(vpn));
        }
      }
      mem.refcount[frame]++;
      mem.mapcount[frame]++;
    }
    twin.mm.pgd.set(vpn, shared & ~PTE_ACCESSED);
  });
  for (const vpn of pinned) {
    const frame = yield* allocPage(task, mem, false);
    if (frame === 0) return false;
    const entry = pgd.get(vpn);
    const from = pageAddress(ptePfn(entry));
    task.world.accesses?.read(mem.bytesId(ptePfn(entry)));
    mem.u8.copyWithin(pageAddress(frame), from, from + PAGE_SIZE);
    mapAnonymous(task, twin, vpn, frame, entry & PTE_DIRTY);
  }
  return true;
}
