// What differs between kernel versions in iterators. A revision is data: an iterator carries one, given when
// it is made, so that worlds of different versions run side by side.

export interface UioRevision {
  readonly name: string;
  /** read() and write() walk an ITER_UBUF: since 6.0. Before, an ITER_IOVEC of one segment. */
  readonly syncIsUbuf: boolean;
  /** So do readv() and writev() of a single segment, and import_single_range(): since 6.4. */
  readonly importIsUbuf: boolean;
  /** copy_page_to_iter goes on after a sub-copy that fell short but moved something: since 5.14. */
  readonly pageToIterTriesAgain: boolean;
  /** copy_page_from_iter does: since 6.0. */
  readonly pageFromIterTriesAgain: boolean;
  /** copy_folio_from_iter_atomic does: since 6.16. */
  readonly atomicTriesAgain: boolean;
}

/** Today's rules; older revisions are this with changes. */
export const UIO_LATEST: UioRevision = {
  name: "7.2",
  syncIsUbuf: true,
  importIsUbuf: true,
  pageToIterTriesAgain: true,
  pageFromIterTriesAgain: true,
  atomicTriesAgain: true,
};

export const UIO_6_12: UioRevision = { ...UIO_LATEST, name: "6.12", atomicTriesAgain: false };

export const UIO_6_1: UioRevision = { ...UIO_6_12, name: "6.1", importIsUbuf: false };

/** 5.14 to 5.19. */
export const UIO_5_16: UioRevision = { ...UIO_6_1, name: "5.16", syncIsUbuf: false, pageFromIterTriesAgain: false };

export const UIO_5_10: UioRevision = { ...UIO_5_16, name: "5.10", pageToIterTriesAgain: false };
