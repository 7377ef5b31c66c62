// Looking at memory from outside: which pages are in the page cache (mm/mincore.c), and what the page
// tables hold (fs/proc/task_mmu.c, /proc/self/pagemap).

import {
  downRead,
  EINVAL,
  ENOMEM,
  err,
  type MaySleep,
  PAGE_SIZE,
  pageAlign,
  type Status,
  upRead,
} from "@faultline/kernel";
import { TASK_SIZE } from "./mm-struct.ts";
import { mmapReadLockNow } from "./mmap-lock.ts";
import { PG_ANON, PG_UPTODATE } from "./page-flags.ts";
import { PTE_SPECIAL, ptePfn, ptePresent } from "./pte.ts";
import type { UserTask } from "./user-task.ts";
import { linearPageIndex, type Vma } from "./vma.ts";

/**
 * For each page of [address, address + length): 1 if touching it needs no I/O.
 *
 * Context: sleeps; mmap_lock not held.
 * Returns: 0 and fills `vec`; -EINVAL if misaligned, -ENOMEM at the first gap.
 * Linux:   mincore()
 */
export function* doMincore(task: UserTask, address: number, length: number, vec: number[]): MaySleep<Status> {
  if (!Number.isInteger(address) || !Number.isInteger(length) || address % PAGE_SIZE !== 0) return err(EINVAL);
  if (address < 0 || length < 0 || address + length > TASK_SIZE) return err(ENOMEM);
  const { mm } = task;
  if (!mmapReadLockNow(task, mm)) yield* downRead(task, mm.mmapLock);
  let status: Status = 0;
  for (let at = address; at < address + pageAlign(length); at += PAGE_SIZE) {
    const vma = mm.vmas.lookup(at);
    if (vma === null) {
      status = err(ENOMEM);
      break;
    }
    vec.push(isResident(task, vma, at) ? 1 : 0);
  }
  upRead(task, mm.mmapLock);
  return status;
}

function isResident(task: UserTask, vma: Vma, address: number): boolean {
  const log = task.world.accesses;
  log?.read(vma.mm.entryId(address / PAGE_SIZE));
  if (ptePresent(vma.mm.pgd.get(address / PAGE_SIZE))) return true;
  if (vma.mapping === null) return false;
  const index = linearPageIndex(vma, address);
  const frame = vma.mapping.find(index);
  log?.read(vma.mapping.slotId(index));
  if (frame !== 0) log?.read(vma.mm.mem.pageId(frame));
  return frame !== 0 && (vma.mm.mem.flags[frame] & PG_UPTODATE) !== 0;
}

/** What a page table entry holds, as /proc/pid/pagemap tells it. */
export interface PagemapEntry {
  readonly present: boolean;
  /** A page of a file, or shared memory: not anonymous. */
  readonly file: boolean;
  /** Mapped by this one entry only. */
  readonly exclusive: boolean;
}

const ABSENT: PagemapEntry = { present: false, file: false, exclusive: false };

/** The entry of one page. Context: atomic. Linux: pagemap_read() */
export function pagemapEntry(task: UserTask, address: number): PagemapEntry {
  const { pgd, mem } = task.mm;
  const vpn = Math.floor(address / PAGE_SIZE);
  const entry = pgd.get(vpn);
  task.world.accesses?.read(task.mm.entryId(vpn));
  if (!ptePresent(entry)) return ABSENT;
  if ((entry & PTE_SPECIAL) !== 0) return { present: true, file: false, exclusive: false };
  const frame = ptePfn(entry);
  return { present: true, file: (mem.flags[frame] & PG_ANON) === 0, exclusive: mem.mapcount[frame] === 1 };
}
