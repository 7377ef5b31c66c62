// Page flags (include/linux/page-flags.h): the bits of PhysMem.flags.

export const PG_LOCKED: number = 1 << 0;
export const PG_REFERENCED: number = 1 << 1;
export const PG_UPTODATE: number = 1 << 2;
export const PG_DIRTY: number = 1 << 3;
export const PG_LRU: number = 1 << 4;
export const PG_ACTIVE: number = 1 << 5;
export const PG_WRITEBACK: number = 1 << 6;
export const PG_READAHEAD: number = 1 << 7;
export const PG_ANON: number = 1 << 8;
export const PG_RESERVED: number = 1 << 9;
export const PG_ERROR: number = 1 << 10;
/** Somebody slept until the page was unlocked or written back; others may. */
export const PG_WAITERS: number = 1 << 11;
/** An anonymous page that one page table entry alone owns: a store needs no copy, whoever else refers to it. */
export const PG_ANON_EXCLUSIVE: number = 1 << 12;
