// Shared anonymous memory (mm/shmem.c): a hidden file whose pages come into being when they are touched and
// go when the last area that maps them goes. There is no swap, so reclaim never sees them.

import { type MaySleep, PAGE_SIZE, type Pfn, type Status } from "@faultline/kernel";
import { AddressSpace, type AddressSpaceOperations } from "./address-space.ts";
import { allocPage } from "./alloc.ts";
import { VM_FAULT_LOCKED, VM_FAULT_OOM, VM_FAULT_SIGBUS } from "./fault-flags.ts";
import { mapCachedPages } from "./map-pages.ts";
import { PG_DIRTY, PG_UPTODATE } from "./page-flags.ts";
import { lockPage, trylockPage, unlockPage } from "./page-lock.ts";
import { getPage, type PhysMem, pageMapping, putPage } from "./physmem.ts";
import { unmapMappingPages } from "./rmap.ts";
import type { UserTask } from "./user-task.ts";
import type { Vma, VmaBacking, VmFault, VmOperations } from "./vma.ts";

/** What stands in for the inode. */
interface ShmemFile {
  /** Pages; touching what lies beyond is SIGBUS, as after mremap has made the area larger. */
  readonly pages: number;
}

/**
 * What a new area of shared anonymous memory shows.
 *
 * Context: atomic. Linux: shmem_zero_setup()
 */
export function shmemZeroSetup(mem: PhysMem, size: number): VmaBacking {
  const file: ShmemFile = { pages: size / PAGE_SIZE };
  return { mapping: new AddressSpace(mem, shmemAops, file, 0, "shared memory"), ops: shmemVmOps, file };
}

const shmemAops: AddressSpaceOperations = {
  dirtyFolio(_task: UserTask, mapping: AddressSpace, frame: Pfn): void {
    mapping.mem.flags[frame] |= PG_DIRTY;
  },
  *balanceDirty(): MaySleep<void> {},
  *writepage(_task: UserTask, mapping: AddressSpace, frame: Pfn): MaySleep<boolean> {
    unlockPage(mapping.mem, frame);
    return false;
  },
};

const shmemVmOps: VmOperations = { fault: shmemFault, mapPages: shmemMapPages, remove: shmemRemove, close: shmemClose };

/** Linux: shmem_fault() */
function* shmemFault(task: UserTask, vmf: VmFault): MaySleep<number> {
  const mapping = vmf.vma.mapping as AddressSpace;
  const { mem } = mapping;
  if (vmf.pgoff >= pagesOf(vmf.vma)) return VM_FAULT_SIGBUS;
  for (;;) {
    let frame = mapping.find(vmf.pgoff);
    task.world.accesses?.read(mapping.slotId(vmf.pgoff));
    if (frame === 0) {
      const fresh = yield* allocPage(task, mem, true);
      if (fresh === 0) return VM_FAULT_OOM;
      frame = mapping.find(vmf.pgoff);
      if (frame !== 0) {
        // Somebody was faster while we slept.
        putPage(mem, fresh);
        continue;
      }
      mem.flags[fresh] |= PG_UPTODATE;
      task.world.accesses?.write(mapping.slotId(vmf.pgoff));
      mapping.add(vmf.pgoff, fresh);
      frame = fresh;
    } else {
      getPage(mem, frame);
    }
    if (!trylockPage(task, mem, frame)) yield* lockPage(task, mem, frame);
    if (pageMapping(mem, frame) === mapping) {
      vmf.page = frame;
      return VM_FAULT_LOCKED;
    }
    unlockPage(mem, frame);
    putPage(mem, frame);
  }
}

function shmemMapPages(task: UserTask, vmf: VmFault, start: number, end: number): void {
  // Huge pages of shared memory may reach beyond its end: no page is the last one here.
  mapCachedPages(task, vmf, start, Math.min(end, pagesOf(vmf.vma) - 1), Number.MAX_SAFE_INTEGER);
}

/** Linux: shmem_fallocate() with FALLOC_FL_PUNCH_HOLE */
function* shmemRemove(task: UserTask, vma: Vma, index: number, count: number): MaySleep<Status> {
  const mapping = vma.mapping as AddressSpace;
  const { mem } = mapping;
  const end = index + count;
  for (let at = mapping.pages.next(index, end); at < end; at = mapping.pages.next(at + 1, end)) {
    const frame = mapping.find(at);
    getPage(mem, frame);
    yield* lockPage(task, mem, frame);
    if (pageMapping(mem, frame) === mapping) {
      unmapMappingPages(task, mapping, at, 1, false);
      task.world.accesses?.write(mapping.slotId(at));
      mapping.remove(frame);
    }
    unlockPage(mem, frame);
    putPage(mem, frame);
  }
  return 0;
}

/** The last area is gone, and with it every way to reach the pages. Linux: shmem_evict_inode() */
function shmemClose(vma: Vma): void {
  const mapping = vma.mapping as AddressSpace;
  if (mapping.iMmap.size > 0) return;
  mapping.pages.forEach(0, pagesOf(vma), (_index, frame) => mapping.remove(frame as Pfn));
}

function pagesOf(vma: Vma): number {
  return (vma.file as ShmemFile).pages;
}
