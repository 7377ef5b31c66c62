// Page table entries: `pfn << 12 | flags`, the flag bits of x86-64 (arch/x86/include/asm/pgtable_types.h).
// 0 is "none". A present entry that lacks PTE_RW faults on a store; PTE_PROTNONE keeps its frame but
// allows nothing, which is what mprotect(PROT_NONE) leaves behind.

import type { Pfn } from "@faultline/kernel";

export const PTE_PRESENT: number = 1 << 0;
export const PTE_RW: number = 1 << 1;
export const PTE_ACCESSED: number = 1 << 5;
export const PTE_DIRTY: number = 1 << 6;
export const PTE_PROTNONE: number = 1 << 8;
/** No struct page accounting: the zero page, raw frames of VM_PFNMAP areas. GUP-fast refuses it. */
export const PTE_SPECIAL: number = 1 << 9;

/** Bytes of memory that one page table covers. */
export const PMD_SIZE: number = 2 * 1024 * 1024;

export function ptePfn(entry: number): Pfn {
  return (entry >>> 12) as Pfn;
}

export function makePte(frame: Pfn, flags: number): number {
  return (frame << 12) | flags;
}

/** Does the entry hold a frame, accessible or not? Linux: pte_present() */
export function ptePresent(entry: number): boolean {
  return (entry & (PTE_PRESENT | PTE_PROTNONE)) !== 0;
}
