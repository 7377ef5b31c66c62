// Entering, cutting, joining and taking away areas (mm/vma.c). Neighbours that show one stretch of one thing
// are one area, always: that is what keeps an address space that is split and healed from growing.
//
// Everything here is atomic and expects mmap_lock to be held for writing. None of it touches page tables.

import { ENOMEM, type Errno, err, PAGE_SIZE } from "@faultline/kernel";
import type { MmStruct } from "./mm-struct.ts";
import { forgetGuard } from "./unmapped-area.ts";
import {
  backingOf,
  VM_DONTEXPAND,
  VM_EXEC,
  VM_GROWSDOWN,
  VM_IO,
  VM_LOCKED,
  VM_PFNMAP,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
  Vma,
} from "./vma.ts";

/** Areas with one of these stay apart. */
const VM_SPECIAL = VM_IO | VM_PFNMAP | VM_DONTEXPAND;

/** Enter an area, joined with neighbours that go on where it ends. Returns: the area that holds it now. */
export function insertVma(mm: MmStruct, vma: Vma): Vma {
  accountVma(mm, vma.flags, vma.end - vma.start);
  const prev = mm.vmas.prev(vma);
  const next = mm.vmas.find(vma.end);
  forgetGuard(mm, vma, next);
  let merged = vma;
  if (prev !== null && prev.end === vma.start && canMerge(prev, vma, prev.flags, vma.flags)) {
    prev.end = vma.end;
    shareAnonVma(prev, vma);
    merged = prev;
  } else {
    enter(mm, vma);
  }
  if (next !== null && next.start === merged.end && canMerge(merged, next, merged.flags, next.flags))
    join(mm, merged, next);
  return merged;
}

/** Take an area away; its page table entries are gone already. */
export function removeVma(mm: MmStruct, vma: Vma): void {
  accountVma(mm, vma.flags, vma.start - vma.end);
  leave(mm, vma);
  vma.ops?.close?.(vma);
}

/** Cut an area in two; it keeps the lower part. Returns: the upper part. Linux: split_vma() */
export function splitVma(mm: MmStruct, vma: Vma, address: number): Vma {
  const pgoff = vma.pgoff + (address - vma.start) / PAGE_SIZE;
  const upper = new Vma(mm, address, vma.end, vma.flags, pgoff, backingOf(vma));
  upper.anonVma = vma.anonVma;
  vma.end = address;
  enter(mm, upper);
  return upper;
}

/**
 * Give [start, end) of an area other flags. That moves the border to a neighbour that has them, joins areas,
 * or cuts some off.
 *
 * Returns: the area that holds the range now, or -ENOMEM when that would be one area too many.
 * Linux:   vma_modify_flags()
 */
export function modifyVma(mm: MmStruct, vma: Vma, start: number, end: number, flags: number): Vma | Errno {
  const before = start === vma.start ? mm.vmas.prev(vma) : null;
  const after = end === vma.end ? mm.vmas.next(vma) : null;
  const left = before !== null && before.end === start && canMerge(before, vma, before.flags, flags) ? before : null;
  const right = after !== null && after.start === end && canMerge(vma, after, flags, after.flags) ? after : null;
  const whole = start === vma.start && end === vma.end;
  const cuts = Number(start > vma.start) + Number(end < vma.end);
  if (!whole && left === null && right === null && mm.vmas.size + cuts > mm.limits.maxMapCount) return err(ENOMEM);
  accountVma(mm, vma.flags, start - end);
  accountVma(mm, flags, end - start);
  if (whole) {
    vma.flags = flags;
    return mergeAround(mm, vma);
  }
  if (left !== null) {
    left.end = end;
    shareAnonVma(left, vma);
    vma.pgoff += (end - start) / PAGE_SIZE;
    mm.vmas.moveStart(vma, end);
    return left;
  }
  if (right !== null) {
    vma.end = start;
    shareAnonVma(right, vma);
    right.pgoff -= (end - start) / PAGE_SIZE;
    mm.vmas.moveStart(right, start);
    return right;
  }
  const area = start > vma.start ? splitVma(mm, vma, start) : vma;
  if (end < area.end) splitVma(mm, area, end);
  area.flags = flags;
  return area;
}

/** Let an area end further up, where nothing is mapped, and join it with what it meets. */
export function growVma(mm: MmStruct, vma: Vma, end: number): void {
  accountVma(mm, vma.flags, end - vma.end);
  vma.end = end;
  mergeAround(mm, vma);
}

/** Let an area begin further down, where nothing is mapped. */
export function growVmaDown(mm: MmStruct, vma: Vma, start: number): void {
  accountVma(mm, vma.flags, vma.start - start);
  vma.pgoff -= (vma.start - start) / PAGE_SIZE;
  mm.vmas.moveStart(vma, start);
}

/** Join an area with the neighbours that it fits to. Returns: the area that holds it now. Linux: vma_merge() */
function mergeAround(mm: MmStruct, vma: Vma): Vma {
  let merged = vma;
  const prev = mm.vmas.prev(vma);
  if (prev !== null && prev.end === vma.start && canMerge(prev, vma, prev.flags, vma.flags)) {
    join(mm, prev, vma);
    merged = prev;
  }
  const next = mm.vmas.next(merged);
  if (next !== null && next.start === merged.end && canMerge(merged, next, merged.flags, next.flags))
    join(mm, merged, next);
  return merged;
}

/** `lower` takes over the range of `upper`, which follows it. */
function join(mm: MmStruct, lower: Vma, upper: Vma): void {
  leave(mm, upper);
  lower.end = upper.end;
  shareAnonVma(lower, upper);
}

function shareAnonVma(vma: Vma, other: Vma): void {
  if (vma.anonVma === 0) vma.anonVma = other.anonVma;
}

function enter(mm: MmStruct, vma: Vma): void {
  mm.vmas.insert(vma);
  vma.mapping?.iMmap.add(vma);
}

function leave(mm: MmStruct, vma: Vma): void {
  mm.vmas.remove(vma);
  vma.mapping?.iMmap.delete(vma);
}

/**
 * Do two areas, once they have these flags, show one stretch of one thing? `lower` ends where `upper` begins.
 *
 * Linux: can_vma_merge_after()
 */
export function canMerge(lower: Vma, upper: Vma, lowerFlags: number, upperFlags: number): boolean {
  if (lowerFlags !== upperFlags || (lowerFlags & VM_SPECIAL) !== 0 || !fits(lower, upper)) return false;
  return lower.anonVma === upper.anonVma || lower.anonVma === 0 || upper.anonVma === 0;
}

function fits(lower: Vma, upper: Vma): boolean {
  if (lower.mapping !== upper.mapping || lower.ops !== upper.ops || lower.file !== upper.file) return false;
  return lower.pgoff + (lower.end - lower.start) / PAGE_SIZE === upper.pgoff;
}

/**
 * The area is about to get its first anonymous page: number it, like a neighbour that may yet become one with it.
 *
 * Context: atomic; mmap_lock held for reading. Linux: anon_vma_prepare(), find_mergeable_anon_vma()
 */
export function prepareAnonVma(vma: Vma): void {
  if (vma.anonVma !== 0) return;
  const { mm } = vma;
  const next = mm.vmas.next(vma);
  const prev = mm.vmas.prev(vma);
  if (next !== null && next.start === vma.end && mayBecomeOne(vma, next)) vma.anonVma = next.anonVma;
  if (vma.anonVma === 0 && prev !== null && prev.end === vma.start && mayBecomeOne(prev, vma)) {
    vma.anonVma = prev.anonVma;
  }
  if (vma.anonVma === 0) vma.anonVma = ++mm.lastAnonVma;
}

/** Do the areas differ in their access rights at most? Linux: anon_vma_compatible() */
function mayBecomeOne(lower: Vma, upper: Vma): boolean {
  return ((lower.flags ^ upper.flags) & ~(VM_READ | VM_WRITE | VM_EXEC)) === 0 && fits(lower, upper);
}

/** Count `size` bytes more, or fewer, with these flags. Linux: vm_stat_account() */
export function accountVma(mm: MmStruct, flags: number, size: number): void {
  mm.totalVm += size;
  if (isDataMapping(flags)) mm.dataVm += size;
  if ((flags & VM_LOCKED) !== 0) mm.lockedVm += size;
}

/** May the address space grow by `size` bytes with these flags? Linux: may_expand_vm() */
export function mayExpandVm(mm: MmStruct, flags: number, size: number): boolean {
  if (mm.totalVm + size > mm.limits.addressSpace) return false;
  return !isDataMapping(flags) || mm.dataVm + size <= mm.limits.data;
}

/** Would `size` more bytes with these flags be more locked memory than is allowed? Linux: mlock_future_check() */
export function exceedsMemlock(mm: MmStruct, flags: number, size: number): boolean {
  return (flags & VM_LOCKED) !== 0 && mm.lockedVm + size > mm.limits.memlock;
}

/** Private, writable, not a stack. Linux: is_data_mapping() */
export function isDataMapping(flags: number): boolean {
  return (flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN)) === VM_WRITE;
}
