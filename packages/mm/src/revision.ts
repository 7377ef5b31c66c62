// What differs between kernel versions in user memory. A revision is data: an address space carries one,
// and code asks it, so that worlds of different versions run side by side.

/** How `fault_in_safe_writeable` walks and what it reports; see fault-in.ts. */
export type SafeWriteableRule =
  /** 5.16, 5.17: get_user_pages, area by area; gaps and raw memory are skipped and counted as done. */
  | "get-user-pages"
  /** 5.18 to 6.14: fixup_user_fault page by page; any progress is reported as complete. */
  | "fixup-any"
  /** 6.15 on: fixup_user_fault page by page; the bytes that are missing are reported. */
  | "fixup";

/** When x86's copy routines, once a fault stays, copy on byte by byte, so that the same byte faults again. */
export type CopyTailRule =
  /** Until 6.3. */
  | "always"
  /** Since 6.4: in copies of less than 64 bytes, if it was in the middle of an 8-byte word. */
  | "words";

export interface MmRevision {
  readonly name: string;
  readonly faultInSafeWriteable: SafeWriteableRule;
  /** fault_in_readable and _writeable check the whole range with access_ok first, and probe nothing if it fails: since 5.18. */
  readonly faultInChecksRange: boolean;
  /** Faulting in from address 0 ends before it begins, as if the range had wrapped around: seen on 7.2. */
  readonly faultInSkipsZero: boolean;
  /** get_user_pages and fixup_user_fault may grow a stack area down; since 6.5 only the CPU's own faults do. */
  readonly gupGrowsStack: boolean;
  /** What a store to a shared page returns when it let go of mmap_lock to throttle: COMPLETED, or RETRY before 6.0. */
  readonly dirtySharedFaultCompletes: boolean;
  /** Write faults that reuse or copy a page report VM_FAULT_WRITE: until 6.1. */
  readonly reportsWrite: boolean;
  /** An anonymous page is known to be one entry's own, whatever references it has, and pins keep it so: since 5.19. */
  readonly anonExclusive: boolean;
  /** mprotect makes private pages writable at once, without waiting for a fault to look at them: since 6.0. */
  readonly mprotectMakesWriteable: boolean;
  /** madvise knows POPULATE_READ and POPULATE_WRITE: since 5.14. */
  readonly madvPopulate: boolean;
  /** madvise knows DONTNEED_LOCKED: since 5.18. */
  readonly madvDontneedLocked: boolean;
  /** madvise's POPULATE walks area by area, and goes on behind a gap: until 6.8. */
  readonly populateByArea: boolean;
  /**
   * Fault-around does not make a page table when the first page that it could enter is the file's last: an
   * accident of keeping huge pages from reaching beyond the file's end, since 6.18 and in 6.12's updates.
   */
  readonly lastPageNeedsTable: boolean;
  /**
   * Faults of user space try the area's own lock first, and mmap_lock when that was not enough: since 6.7 for
   * files. Here it is mmap_lock both times; what shows is how the second try counts.
   */
  readonly userFaultsLockArea: boolean;
  readonly copyTail: CopyTailRule;
}

/** Today's rules; older revisions are this with changes. */
export const MM_LATEST: MmRevision = {
  name: "7.2",
  faultInSafeWriteable: "fixup",
  faultInChecksRange: true,
  faultInSkipsZero: true,
  gupGrowsStack: false,
  dirtySharedFaultCompletes: true,
  reportsWrite: false,
  anonExclusive: true,
  mprotectMakesWriteable: true,
  madvPopulate: true,
  madvDontneedLocked: true,
  populateByArea: false,
  lastPageNeedsTable: true,
  userFaultsLockArea: true,
  copyTail: "words",
};

// 6.1 and 6.12 are the stable kernels that were recorded: both have got the last rule of fault_in_safe_writeable
// (6.15) since, and 6.1 the rule that only the CPU's own faults grow a stack (6.5).
export const MM_6_12: MmRevision = { ...MM_LATEST, name: "6.12", faultInSkipsZero: false };

export const MM_6_1: MmRevision = {
  ...MM_6_12,
  name: "6.1",
  reportsWrite: true,
  populateByArea: true,
  lastPageNeedsTable: false,
  userFaultsLockArea: false,
  copyTail: "always",
};

/** As released, before any fix. */
export const MM_5_18: MmRevision = {
  ...MM_6_1,
  name: "5.18",
  faultInSafeWriteable: "fixup-any",
  gupGrowsStack: true,
  dirtySharedFaultCompletes: false,
  anonExclusive: false,
  mprotectMakesWriteable: false,
};

export const MM_5_16: MmRevision = {
  ...MM_5_18,
  name: "5.16",
  faultInSafeWriteable: "get-user-pages",
  faultInChecksRange: false,
  madvDontneedLocked: false,
};

export const MM_5_10: MmRevision = { ...MM_5_16, name: "5.10", madvPopulate: false };
