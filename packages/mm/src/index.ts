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
export { handleFault, PF_PROT, PF_USER, PF_WRITE } from "./fault.ts";
export * from "./fault-flags.ts";
export {
  faultInPagesReadable,
  faultInPagesWriteable,
  faultInReadable,
  faultInSafeWriteable,
  faultInSubpageWriteable,
  faultInUserPages,
  faultInWriteable,
  fixupUserFault,
  isFaultedIn,
} from "./fault-in.ts";
export { dupMm } from "./fork.ts";
export {
  FOLL_FAST_ONLY,
  FOLL_FORCE,
  FOLL_GET,
  FOLL_HWPOISON,
  FOLL_NOFAULT,
  FOLL_NOWAIT,
  FOLL_PIN,
  FOLL_POPULATE,
  FOLL_TOUCH,
  FOLL_WRITE,
  getUserPagesFast,
  getUserPagesFastOnly,
  getUserPagesLocked,
  getUserPagesNofault,
  getUserPagesUnlocked,
  type Locked,
  putUserPages,
} from "./gup.ts";
export { lruCacheAdd, lruCacheDel, markPageAccessed } from "./lru.ts";
export * from "./madvise.ts";
export { handleMmFault } from "./memory.ts";
export { doMincore, type PagemapEntry, pagemapEntry } from "./mincore.ts";
export { DEFAULT_LIMITS, MMAP_BASE, type MmLimits, MmStruct, TASK_SIZE } from "./mm-struct.ts";
export {
  doMmap,
  doMunmap,
  exitMmap,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  MAP_LOCKED,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  type MmapArgs,
  PROT_EXEC,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from "./mmap.ts";
export { doMprotect } from "./mprotect.ts";
export { doMremap, MREMAP_FIXED, MREMAP_MAYMOVE, type MremapArgs } from "./mremap.ts";
export {
  describePage,
  endPageWriteback,
  lockPage,
  trylockPage,
  unlockPage,
  waitOnPageLocked,
  waitOnPageWriteback,
} from "./page-lock.ts";
export {
  getPage,
  PG_ACTIVE,
  PG_ANON,
  PG_DIRTY,
  PG_ERROR,
  PG_LOCKED,
  PG_LRU,
  PG_READAHEAD,
  PG_REFERENCED,
  PG_UPTODATE,
  PG_WRITEBACK,
  PhysMem,
  pageAddress,
  pageMapping,
  pageOf,
  putPage,
} from "./physmem.ts";
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
export { RadixTree } from "./radix-tree.ts";
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
  Direction,
  FAULTS_DISABLED,
  FAULTS_ENABLED,
  getUser,
  moveUser,
  putUser,
  type UserAccess,
} from "./uaccess.ts";
export { type UserAccessResult, userLoad, userStore } from "./user-mode.ts";
export { INIT_NR_DIRTIED_PAUSE, pagefaultDisable, pagefaultEnable, UserTask } from "./user-task.ts";
export * from "./vma.ts";
export { reclaimer, shrinkPage, tryToFreePages } from "./vmscan.ts";
