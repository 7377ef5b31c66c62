// Advice about memory (mm/madvise.c).

import {
  downRead,
  downReadTrylock,
  downWrite,
  downWriteTrylock,
  EBADF,
  EINVAL,
  ENOMEM,
  err,
  type MayFault,
  type MaySleep,
  PAGE_SIZE,
  pageAlign,
  type Status,
  upRead,
  upWrite,
} from "@faultline/kernel";
import { TASK_SIZE } from "./mm-struct.ts";
import { mergeAround, splitVma } from "./mmap.ts";
import { madvisePopulate } from "./populate.ts";
import { zapPageRange } from "./rmap.ts";
import type { UserTask } from "./user-task.ts";
import { VM_LOCKED, VM_PFNMAP, VM_RAND_READ, VM_SEQ_READ, type Vma } from "./vma.ts";

// include/uapi/asm-generic/mman-common.h
export const MADV_NORMAL = 0;
export const MADV_RANDOM = 1;
export const MADV_SEQUENTIAL = 2;
export const MADV_WILLNEED = 3;
export const MADV_DONTNEED = 4;
export const MADV_POPULATE_READ = 22;
export const MADV_POPULATE_WRITE = 23;

/**
 * Give advice about [address, address + length).
 *
 * Context: may fault; mmap_lock not held.
 * Returns: 0; -EINVAL for a misaligned or wrapping range or unknown advice, -ENOMEM if there are gaps (the
 *          rest is done all the same), -EBADF for WILLNEED on anonymous memory, and what POPULATE returns.
 * Linux:   madvise()
 */
export function* doMadvise(task: UserTask, address: number, length: number, advice: number): MayFault<Status> {
  const { mm } = task;
  if (!isKnown(advice, mm.revision.madvPopulate)) return err(EINVAL);
  if (!Number.isSafeInteger(address) || !Number.isSafeInteger(length) || length < 0) return err(EINVAL);
  const end = address + pageAlign(length);
  if (address < 0 || address % PAGE_SIZE !== 0 || !Number.isSafeInteger(end)) return err(EINVAL);
  if (end === address) return 0;
  if (end > TASK_SIZE) return err(ENOMEM);
  switch (advice) {
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
      return yield* madvisePopulate(task, address, end, advice === MADV_POPULATE_WRITE);
    case MADV_DONTNEED:
      if (!downReadTrylock(task, mm.mmapLock)) yield* downRead(task, mm.mmapLock);
      return endRead(task, forEachArea(task, address, end, dontneed));
    case MADV_WILLNEED:
      return yield* willneed(task, address, end);
    default: {
      if (!downWriteTrylock(task, mm.mmapLock)) yield* downWrite(task, mm.mmapLock);
      const status = forEachArea(task, address, end, (_task, vma, from, to) => setReadHint(vma, from, to, advice));
      upWrite(task, mm.mmapLock);
      return status;
    }
  }
}

function isKnown(advice: number, populate: boolean): boolean {
  if (advice === MADV_POPULATE_READ || advice === MADV_POPULATE_WRITE) return populate;
  return Number.isInteger(advice) && advice >= MADV_NORMAL && advice <= MADV_DONTNEED;
}

function endRead(task: UserTask, status: Status): Status {
  upRead(task, task.mm.mmapLock);
  return status;
}

type AreaAdvice = (task: UserTask, vma: Vma, from: number, to: number) => Status;

/** Apply advice area by area; gaps are remembered, other errors end it. Linux: madvise_walk_vmas() */
function forEachArea(task: UserTask, start: number, end: number, apply: AreaAdvice): Status {
  let gaps = false;
  for (let at = start; at < end; ) {
    const vma = task.mm.vmas.find(at);
    if (vma === null || vma.start >= end) return err(ENOMEM);
    if (vma.start > at) gaps = true;
    const from = Math.max(at, vma.start);
    const to = Math.min(end, vma.end);
    const status = apply(task, vma, from, to);
    if (status !== 0) return status;
    at = to;
  }
  return gaps ? err(ENOMEM) : 0;
}

/** Drop the page table entries: anonymous memory reads as zero again, files are read again. */
function dontneed(task: UserTask, vma: Vma, from: number, to: number): Status {
  if ((vma.flags & (VM_LOCKED | VM_PFNMAP)) !== 0) return err(EINVAL);
  zapPageRange(task, vma, from, to);
  return 0;
}

function setReadHint(vma: Vma, from: number, to: number, advice: number): Status {
  const hint = advice === MADV_RANDOM ? VM_RAND_READ : advice === MADV_SEQUENTIAL ? VM_SEQ_READ : 0;
  const flags = (vma.flags & ~(VM_RAND_READ | VM_SEQ_READ)) | hint;
  if (flags === vma.flags) return 0;
  const { mm } = vma;
  const area = vma.start < from ? splitVma(mm, vma, from) : vma;
  if (area.end > to) splitVma(mm, area, to);
  area.flags = flags;
  mergeAround(mm, area);
  return 0;
}

/** Start reading the file pages behind the range. The file does it, without mmap_lock. */
function* willneed(task: UserTask, start: number, end: number): MaySleep<Status> {
  let gaps = false;
  for (let at = start; at < end; ) {
    if (!downReadTrylock(task, task.mm.mmapLock)) yield* downRead(task, task.mm.mmapLock);
    const vma = task.mm.vmas.find(at);
    const from = vma === null ? end : Math.max(at, vma.start);
    const to = vma === null ? end : Math.min(end, vma.end);
    upRead(task, task.mm.mmapLock);
    if (vma === null || vma.start >= end) return err(ENOMEM);
    if (vma.start > at) gaps = true;
    if (vma.ops?.willneed === undefined) return err(EBADF);
    const first = vma.pgoff + (from - vma.start) / PAGE_SIZE;
    yield* vma.ops.willneed(task, vma, first, (to - from) / PAGE_SIZE);
    at = to;
  }
  return gaps ? err(ENOMEM) : 0;
}
