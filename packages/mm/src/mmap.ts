// Mapping and unmapping memory (mm/mmap.c): where areas go, how they split and merge.
//
// Every function here takes mmap_lock for writing, is a system call's body, and returns what the system
// call returns: an address or 0, or a negative error.

import {
  downWrite,
  downWriteTrylock,
  EEXIST,
  EINVAL,
  ENOMEM,
  EOPNOTSUPP,
  EPERM,
  type Errno,
  err,
  type MayFault,
  type MaySleep,
  PAGE_SIZE,
  pageAlign,
  type Status,
  upWrite,
} from "@faultline/kernel";
import { MMAP_BASE, type MmStruct, STACK_GUARD_GAP, TASK_SIZE } from "./mm-struct.ts";
import { mmPopulate } from "./populate.ts";
import { zapPageRange } from "./rmap.ts";
import type { UserTask } from "./user-task.ts";
import {
  ANONYMOUS,
  VM_EXEC,
  VM_GROWSDOWN,
  VM_IO,
  VM_LOCKED,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_NORESERVE,
  VM_PFNMAP,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
  Vma,
  type VmaBacking,
} from "./vma.ts";

// include/uapi/asm-generic/mman-common.h
export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;
export const MAP_SHARED = 0x1;
export const MAP_PRIVATE = 0x2;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_GROWSDOWN = 0x100;
export const MAP_LOCKED = 0x2000;
export const MAP_NORESERVE = 0x4000;
export const MAP_POPULATE = 0x8000;
export const MAP_FIXED_NOREPLACE = 0x100000;

export interface MmapArgs {
  /** Where to map: a hint, or the place itself with MAP_FIXED or MAP_FIXED_NOREPLACE. */
  readonly address: number;
  readonly length: number;
  /** PROT_*. */
  readonly prot: number;
  /** MAP_*. */
  readonly flags: number;
  /** What the area shows; anonymous memory by default. */
  readonly backing?: VmaBacking;
  /** First page of the backing that is shown. */
  readonly pgoff?: number;
  /** VM_* to add (VM_IO, VM_PFNMAP) or, as a file opened read-only does, to take away (VM_MAYWRITE). */
  readonly vmFlags?: { readonly add?: number; readonly remove?: number };
}

/**
 * Map memory.
 *
 * Context: may fault (MAP_POPULATE); mmap_lock not held.
 * Returns: the address, or -EINVAL, -ENOMEM, -EEXIST, -EPERM, -EOPNOTSUPP.
 * Linux:   do_mmap(), vm_mmap_pgoff()
 */
export function* doMmap(task: UserTask, args: MmapArgs): MayFault<number> {
  const { mm } = task;
  if (!downWriteTrylock(task, mm.mmapLock)) yield* downWrite(task, mm.mmapLock);
  const address = mmapRegion(task, args);
  upWrite(task, mm.mmapLock);
  if (address >= 0 && (args.flags & (MAP_POPULATE | MAP_LOCKED)) !== 0) {
    yield* mmPopulate(task, address, pageAlign(args.length), true);
  }
  return address;
}

/** The part under mmap_lock. Context: atomic; mmap_lock held for writing. Returns: the address or an error. */
function mmapRegion(task: UserTask, args: MmapArgs): number {
  const { mm } = task;
  const { length: asked, prot, flags } = args;
  if (!(asked > 0) || !Number.isSafeInteger(asked)) return err(EINVAL);
  const length = pageAlign(asked);
  if (length > TASK_SIZE) return err(ENOMEM);
  const type = flags & (MAP_SHARED | MAP_PRIVATE);
  if (type !== MAP_SHARED && type !== MAP_PRIVATE) return err(EINVAL);
  const backing = args.backing ?? ANONYMOUS;
  const pgoff = args.pgoff ?? 0;
  if (!Number.isSafeInteger(pgoff) || pgoff < 0) return err(EINVAL);
  // Linux shows shared anonymous memory through a hidden tmpfs file: whoever wants it brings the backing.
  if (type === MAP_SHARED && backing.mapping === null) return err(EOPNOTSUPP);
  if ((flags & MAP_GROWSDOWN) !== 0 && backing.mapping !== null) return err(EINVAL);

  const address = placeFor(mm, args.address, length, flags);
  if (address < 0) return address;
  const vmFlags = (calcVmFlags(prot, flags) | (args.vmFlags?.add ?? 0)) & ~(args.vmFlags?.remove ?? 0);
  const replaced = (flags & MAP_FIXED) !== 0 ? mappedBytes(mm, address, address + length) : 0;
  if (mm.totalVm - replaced + length > mm.limits.addressSpace) return err(ENOMEM);
  if (mm.vmas.size >= mm.limits.maxMapCount) return err(ENOMEM);
  if (replaced > 0) {
    const unmapped = unmapRange(task, address, address + length);
    if (unmapped !== 0) return unmapped;
  }
  const first = backing.ops === null && backing.mapping === null ? address / PAGE_SIZE : pgoff;
  insertVma(mm, new Vma(mm, address, address + length, vmFlags, first, backing));
  return address;
}

/** Linux: get_unmapped_area() and the checks of MAP_FIXED */
function placeFor(mm: MmStruct, hint: number, length: number, flags: number): number {
  if (!Number.isSafeInteger(hint) || hint < 0) return err(ENOMEM);
  if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0) {
    if (hint % PAGE_SIZE !== 0) return err(EINVAL);
    if (hint + length > TASK_SIZE) return err(ENOMEM);
    if (hint < mm.limits.mmapMinAddr) return err(EPERM);
    if ((flags & MAP_FIXED_NOREPLACE) !== 0 && mappedBytes(mm, hint, hint + length) > 0) return err(EEXIST);
    return hint;
  }
  const wanted = pageAlign(hint);
  if (wanted >= mm.limits.mmapMinAddr && wanted + length <= TASK_SIZE && isGap(mm, wanted, wanted + length)) {
    return wanted;
  }
  return getUnmappedArea(mm, length);
}

/**
 * The highest gap below MMAP_BASE that is large enough. Context: atomic.
 *
 * Returns: its address, or -ENOMEM. Linux: arch_get_unmapped_area_topdown()
 */
export function getUnmappedArea(mm: MmStruct, length: number): number {
  let end = MMAP_BASE;
  for (let vma = mm.vmas.below(end); ; vma = mm.vmas.prev(vma)) {
    if (vma === null) return end - length >= mm.limits.mmapMinAddr ? end - length : err(ENOMEM);
    if (end - vma.end >= length) return end - length;
    const guard = (vma.flags & VM_GROWSDOWN) !== 0 ? STACK_GUARD_GAP : 0;
    end = Math.min(end, vma.start - guard);
  }
}

function isGap(mm: MmStruct, start: number, end: number): boolean {
  const next = mm.vmas.find(start);
  if (next === null) return true;
  return end <= next.start - ((next.flags & VM_GROWSDOWN) !== 0 ? STACK_GUARD_GAP : 0);
}

function mappedBytes(mm: MmStruct, start: number, end: number): number {
  let total = 0;
  for (let vma = mm.vmas.find(start); vma !== null && vma.start < end; vma = mm.vmas.next(vma)) {
    total += Math.min(end, vma.end) - Math.max(start, vma.start);
  }
  return total;
}

/** Linux: calc_vm_prot_bits(), calc_vm_flag_bits() */
function calcVmFlags(prot: number, flags: number): number {
  return (
    protFlags(prot) |
    VM_MAYREAD |
    VM_MAYWRITE |
    VM_MAYEXEC |
    ((flags & MAP_SHARED) !== 0 ? VM_SHARED | VM_MAYSHARE : 0) |
    ((flags & MAP_GROWSDOWN) !== 0 ? VM_GROWSDOWN : 0) |
    ((flags & MAP_LOCKED) !== 0 ? VM_LOCKED : 0) |
    ((flags & MAP_NORESERVE) !== 0 ? VM_NORESERVE : 0)
  );
}

export function protFlags(prot: number): number {
  return (
    ((prot & PROT_READ) !== 0 ? VM_READ : 0) |
    ((prot & PROT_WRITE) !== 0 ? VM_WRITE : 0) |
    ((prot & PROT_EXEC) !== 0 ? VM_EXEC : 0)
  );
}

/** Enter an area, merged with neighbours that go on where it ends. Context: mmap_lock held for writing. */
export function insertVma(mm: MmStruct, vma: Vma): Vma {
  mm.totalVm += vma.end - vma.start;
  const prev = mm.vmas.prev(vma);
  const next = mm.vmas.find(vma.end);
  let merged = vma;
  if (prev !== null && prev.end === vma.start && canMerge(prev, vma)) {
    prev.end = vma.end;
    merged = prev;
  } else {
    mm.vmas.insert(vma);
    vma.mapping?.iMmap.add(vma);
  }
  if (next !== null && next.start === merged.end && canMerge(merged, next)) {
    forget(mm, next);
    merged.end = next.end;
  }
  return merged;
}

/** Do the two areas show one stretch of one thing? Linux: can_vma_merge_after() */
function canMerge(a: Vma, b: Vma): boolean {
  if (a.flags !== b.flags || a.mapping !== b.mapping || a.ops !== b.ops || a.file !== b.file) return false;
  if ((a.flags & (VM_IO | VM_PFNMAP)) !== 0) return false;
  return a.pgoff + (a.end - a.start) / PAGE_SIZE === b.pgoff;
}

function forget(mm: MmStruct, vma: Vma): void {
  mm.vmas.remove(vma);
  vma.mapping?.iMmap.delete(vma);
}

/** Cut an area in two; it keeps the lower part. Returns: the upper part. Linux: split_vma() */
export function splitVma(mm: MmStruct, vma: Vma, address: number): Vma {
  const backing: VmaBacking = { mapping: vma.mapping, ops: vma.ops, file: vma.file };
  const pgoff = vma.pgoff + (address - vma.start) / PAGE_SIZE;
  const upper = new Vma(mm, address, vma.end, vma.flags, pgoff, backing);
  vma.end = address;
  mm.vmas.insert(upper);
  upper.mapping?.iMmap.add(upper);
  return upper;
}

/** Join an area with the neighbours that it fits to again. Linux: vma_merge() */
export function mergeAround(mm: MmStruct, vma: Vma): Vma {
  let merged = vma;
  const prev = mm.vmas.prev(vma);
  if (prev !== null && prev.end === vma.start && canMerge(prev, vma)) {
    forget(mm, vma);
    prev.end = vma.end;
    merged = prev;
  }
  const next = mm.vmas.next(merged);
  if (next !== null && next.start === merged.end && canMerge(merged, next)) {
    forget(mm, next);
    merged.end = next.end;
  }
  return merged;
}

/**
 * Unmap [address, address + length). Gaps in it do not matter.
 *
 * Context: sleeps; mmap_lock not held. Returns: 0, -EINVAL or -ENOMEM.
 * Linux:   munmap()
 */
export function* doMunmap(task: UserTask, address: number, length: number): MaySleep<Status> {
  const { mm } = task;
  if (!isRange(address, length) || length === 0) return err(EINVAL);
  if (!downWriteTrylock(task, mm.mmapLock)) yield* downWrite(task, mm.mmapLock);
  const status = unmapRange(task, address, address + pageAlign(length));
  upWrite(task, mm.mmapLock);
  return status;
}

/** Is this a page-aligned range of user space? */
export function isRange(address: number, length: number): boolean {
  if (!Number.isSafeInteger(address) || !Number.isSafeInteger(length)) return false;
  return address >= 0 && length >= 0 && address % PAGE_SIZE === 0 && address + length <= TASK_SIZE;
}

/** Context: atomic; mmap_lock held for writing. Returns: 0 or -ENOMEM. Linux: do_vmi_munmap() */
export function unmapRange(task: UserTask, start: number, end: number): 0 | Errno {
  const { mm } = task;
  const first = mm.vmas.find(start);
  if (first === null || first.start >= end) return 0;
  const splitsOne = first.start < start && first.end > end;
  if (splitsOne && mm.vmas.size >= mm.limits.maxMapCount) return err(ENOMEM);
  let vma: Vma | null = first.start < start ? splitVma(mm, first, start) : first;
  while (vma !== null && vma.start < end) {
    if (vma.end > end) splitVma(mm, vma, end);
    const next: Vma | null = mm.vmas.next(vma);
    zapPageRange(task, vma, vma.start, vma.end);
    forget(mm, vma);
    mm.totalVm -= vma.end - vma.start;
    vma = next;
  }
  mm.pgd.freeLeaves(start / PAGE_SIZE, end / PAGE_SIZE);
  return 0;
}

/** Unmap everything: the task exits. Context: atomic. Linux: exit_mmap() */
export function exitMmap(task: UserTask): void {
  unmapRange(task, 0, TASK_SIZE);
}
