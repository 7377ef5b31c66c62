/**
 * iov_iter: where the bytes of a read or write come from or go to. Every kind, every operation.
 *
 * uio knows files only as an AddressSpace, and pipes only through PipeBuffers, which whoever owns them implements.
 *
 * Lock order: takes no locks of its own.
 *   the pipe's mutex           held by the caller of whatever touches a pipe iterator
 *     mmap_lock                taken by get_pages, fault_in and by copies that fault, never held on return
 */
export {
  type IovIterState,
  iovIterAdvance,
  iovIterReexpand,
  iovIterRestore,
  iovIterRevert,
  iovIterSaveState,
  iovIterTruncate,
} from "./advance.ts";
export {
  iovIterAlignment,
  iovIterGapAlignment,
  iovIterIsAligned,
  iovIterNpages,
  iovIterSingleSegCount,
} from "./alignment.ts";
export {
  copyFromIter,
  copyFromIterFull,
  copyFromIterNocache,
  copyToIter,
  copyToIterFull,
  iovIterZero,
} from "./copy-iter.ts";
export {
  copyIsInterrupted,
  copyPageFromIter,
  copyPageFromIterAtomic,
  copyPageInTwo,
  copyPageToIter,
  copyPageToIterAtomic,
  copyPageToIterNofault,
  finishCopyPageFromIter,
  finishCopyPageToIter,
  iovIterCopyFromUserAtomic,
  tryCopyPageFromIter,
  tryCopyPageToIter,
} from "./copy-page.ts";
export {
  faultInIovIterReadable,
  faultInIovIterWriteable,
  iovIterFaultInReadable,
  iovIterFaultInWriteable,
  isIterFaultedIn,
} from "./fault-in.ts";
export {
  FOLIO_QUEUE_SLOTS,
  type Folio,
  FolioQueue,
  folioqAppend,
  folioqExtend,
  folioqFull,
} from "./folio-queue.ts";
export {
  GRAB_FAST_ONLY,
  GRAB_FAULTING,
  GRAB_NOFAULT,
  type IterPages,
  iovIterExtractPages,
  iovIterExtractWillPin,
  iovIterGetPages,
  iovIterGetPages2,
  iovIterGetPagesAlloc2,
  type PageGrabber,
} from "./get-pages.ts";
export { importIovec, importUbuf, iovecFromUser, iovIterSync, UIO_MAXIOV } from "./import.ts";
export {
  type BioVec,
  dupIter,
  IovIter,
  ITER_DEST,
  ITER_SOURCE,
  type IterKind,
  iovIterBvec,
  iovIterCount,
  iovIterDiscard,
  iovIterFolioQueue,
  iovIterInit,
  iovIterKvec,
  iovIterPipe,
  iovIterUbuf,
  iovIterXarray,
  iterIsIovec,
  iterIsUbuf,
  type Segment,
  userBackedIter,
} from "./iov-iter.ts";
export { type PipeBuffer, type PipeBuffers, pipeBuf, pipeBufRelease, pipeFull } from "./pipe-buffers.ts";
export { UIO_5_10, UIO_5_16, UIO_6_1, UIO_6_12, UIO_LATEST, type UioRevision } from "./revision.ts";
