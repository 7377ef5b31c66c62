// Where a new area goes (mm/mmap.c: get_unmapped_area; arch/x86/kernel/sys_x86_64.c): the highest gap below
// MMAP_BASE that is large enough, and when there is none, the lowest one above a third of the address space.

import { EEXIST, EINVAL, ENOMEM, EPERM, err, PAGE_SIZE, pageAlign, pageStart } from "@faultline/kernel";
import { MMAP_BASE, type MmStruct, STACK_GUARD_GAP, TASK_SIZE } from "./mm-struct.ts";
import { MAP_FIXED, MAP_FIXED_NOREPLACE } from "./mman.ts";
import { VM_GROWSDOWN, type Vma } from "./vma.ts";

/** Where the search from below begins. Linux: TASK_UNMAPPED_BASE */
const UNMAPPED_BASE = pageAlign(TASK_SIZE / 3);

/**
 * A place for `length` bytes: as asked for, or what is free.
 *
 * Context: atomic; mmap_lock held.
 * Returns: an address, or -ENOMEM, -EINVAL, -EPERM, -EEXIST. With MAP_FIXED there may be areas in the way.
 */
export function placeFor(mm: MmStruct, address: number, length: number, flags: number): number {
  if (length > TASK_SIZE) return err(ENOMEM);
  if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0) {
    if (!(address >= 0) || address > TASK_SIZE - length) return err(ENOMEM);
    if (address % PAGE_SIZE !== 0) return err(EINVAL);
    if (address < mm.limits.mmapMinAddr) return err(EPERM);
    const taken = (flags & MAP_FIXED_NOREPLACE) !== 0 && (mm.vmas.find(address)?.start ?? TASK_SIZE) < address + length;
    return taken ? err(EEXIST) : address;
  }
  const hint = roundHintToMin(mm, address);
  if (hint !== 0 && hint <= TASK_SIZE - length && hint + length <= startGap(mm.vmas.find(hint))) return hint;
  return getUnmappedArea(mm, length);
}

/** Linux: round_hint_to_min() */
function roundHintToMin(mm: MmStruct, address: number): number {
  const hint = pageStart(address);
  return hint > 0 && hint < mm.limits.mmapMinAddr ? pageAlign(mm.limits.mmapMinAddr) : Math.max(hint, 0);
}

/**
 * The highest gap below MMAP_BASE that is large enough, else the lowest one anywhere.
 *
 * Context: atomic; mmap_lock held. Returns: its address, or -ENOMEM.
 * Linux:   arch_get_unmapped_area_topdown(), vm_unmapped_area()
 * Differs: Linux keeps the sizes of all gaps in its tree of areas.
 */
export function getUnmappedArea(mm: MmStruct, length: number): number {
  const { gapHint } = mm;
  if (length <= gapHint.largest) {
    gapHint.from = MMAP_BASE;
    gapHint.largest = 0;
  }
  const lowest = Math.max(mm.limits.mmapMinAddr, PAGE_SIZE);
  let end = Math.min(gapHint.from, startGap(mm.vmas.find(gapHint.from)));
  let vma = mm.vmas.below(end);
  while (vma !== null && end - vma.end < length) {
    gapHint.largest = Math.max(gapHint.largest, end - vma.end);
    end = startGap(vma);
    vma = mm.vmas.prev(vma);
  }
  gapHint.from = end;
  return end - length >= lowest ? end - length : bottomUp(mm, length);
}

/** Linux: arch_get_unmapped_area() */
function bottomUp(mm: MmStruct, length: number): number {
  let start = UNMAPPED_BASE;
  for (let vma = mm.vmas.find(start); vma !== null; vma = mm.vmas.next(vma)) {
    if (start + length <= startGap(vma)) return start;
    start = vma.end;
  }
  return start + length <= TASK_SIZE ? start : err(ENOMEM);
}

/** [.., end) was unmapped: gaps up to the next area may be larger than the hint says. Context: atomic. */
export function forgetGaps(mm: MmStruct, end: number): void {
  if (end <= mm.gapHint.from) return;
  mm.gapHint.from = Math.min(MMAP_BASE, mm.vmas.find(end)?.start ?? MMAP_BASE);
}

/** An area was entered below a stack, in the space that it keeps free: what is below is a gap now. Context: atomic. */
export function forgetGuard(mm: MmStruct, vma: Vma, next: Vma | null): void {
  if (next !== null && startGap(next) < vma.end) mm.gapHint.from = MMAP_BASE;
}

/** Where the space that an area keeps free below it begins. Linux: vm_start_gap() */
function startGap(vma: Vma | null): number {
  if (vma === null) return TASK_SIZE;
  return (vma.flags & VM_GROWSDOWN) !== 0 ? Math.max(0, vma.start - STACK_GUARD_GAP) : vma.start;
}
