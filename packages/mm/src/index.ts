/**
 * User memory that behaves like Linux: physical memory, address spaces, page faults, get_user_pages, the
 * fault_in_* family, copies that stop where the kernel's stop, and reclaim.
 *
 * mm knows files only through VmOperations and AddressSpaceOperations, which whoever owns a file implements.
 *
 * Lock order:
 *   mmap_lock (RwSemaphore of an MmStruct)
 *     locks that ->fault and ->page_mkwrite take
 *       page lock (PG_LOCKED of a frame)
 */
export { AddressSpace, type AddressSpaceOperations } from "./address-space.ts";
export { allocPage } from "./alloc.ts";
export { checkMm } from "./check-mm.ts";
export { handleFault, PF_PROT, PF_USER, PF_WRITE } from "./fault.ts";
export * from "./fault-flags.ts";
export {
  faultInReadable,
  faultInSafeWriteable,
  faultInSubpageWriteable,
  faultInWriteable,
  isFaultedIn,
} from "./fault-in.ts";
export { faultInPagesReadable, faultInPagesWriteable, faultInUserPages } from "./fault-in-old.ts";
export { fixupUserFault } from "./fixup-user-fault.ts";
export { putUserPages } from "./follow-page.ts";
export { dupMm } from "./fork.ts";
export { getUser, putUser, type ValueSize } from "./get-user.ts";
export { getUserPages, getUserPagesLocked, getUserPagesUnlocked, type Locked } from "./gup.ts";
export { getUserPagesFast, getUserPagesFastOnly, getUserPagesNofault } from "./gup-fast.ts";
export * from "./gup-flags.ts";
export { HostMemory } from "./host-memory.ts";
export { lruCacheAdd, lruCacheDel, markPageAccessed } from "./lru.ts";
export { doMadvise } from "./madvise.ts";
export { mapCachedPages } from "./map-pages.ts";
export { handleMmFault } from "./memory.ts";
export { doMincore, type PagemapEntry, pagemapEntry } from "./mincore.ts";
export { DEFAULT_LIMITS, MMAP_BASE, type MmLimits, MmStruct, TASK_SIZE } from "./mm-struct.ts";
export * from "./mman.ts";
export { doMmap, type MmapArgs } from "./mmap.ts";
export { doMprotect } from "./mprotect.ts";
export { doMremap, type MremapArgs } from "./mremap.ts";
export { doMunmap, exitMmap, mmput } from "./munmap.ts";
export * from "./page-flags.ts";
export {
  describePage,
  endPageWriteback,
  leaveLockToRequest,
  lockPage,
  trylockPage,
  unlockPage,
  waitOnPageLocked,
  waitOnPageWriteback,
} from "./page-lock.ts";
export { vmfInsertPfn } from "./pfnmap.ts";
export { getPage, PhysMem, pageAddress, pageMapping, pageMaybeDmaPinned, pageOf, putPage } from "./physmem.ts";
export { bytesBeforePoison, GRANULE_SIZE, setPoison } from "./poison.ts";
export {
  makePte,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_RW,
  PTE_SPECIAL,
  ptePfn,
  ptePresent,
} from "./pte.ts";
export { MAX_KEY, RadixTree } from "./radix-tree.ts";
export {
  type CopyTailRule,
  MM_5_10,
  MM_5_16,
  MM_5_18,
  MM_6_1,
  MM_6_12,
  MM_LATEST,
  type MmRevision,
  type SafeWriteableRule,
} from "./revision.ts";
export { pageAddRmap, pageMkclean, pageRemoveRmap, tryToUnmap, unmapMappingPages, zapPageRange } from "./rmap.ts";
export { SIGBUS, SIGKILL, SIGSEGV, type SigInfo, type SignalHandler } from "./signal.ts";
export {
  accessOk,
  clearUser,
  clearUserInatomic,
  copyFromUser,
  copyFromUserInatomic,
  copyFromUserNofault,
  copyToUser,
  copyToUserInatomic,
  copyToUserNofault,
  FAULTS_DISABLED,
  FAULTS_ENABLED,
  type UserAccess,
} from "./uaccess.ts";
export { Direction, moveUser } from "./user-copy.ts";
export { type UserAccessResult, userLoad, userStore } from "./user-mode.ts";
export { INIT_NR_DIRTIED_PAUSE, pagefaultDisable, pagefaultEnable, UserTask } from "./user-task.ts";
export * from "./vma.ts";
export { reclaimer, shrinkPage, tryToFreePages } from "./vmscan.ts";
