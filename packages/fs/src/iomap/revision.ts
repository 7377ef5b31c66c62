// What changed in fs/iomap over the versions.

import { type IovIter, iovIterRevert } from "@faultline/uio";

/** What becomes of a copy into a page that fell short. The same in all kernels; planted bugs differ. */
export interface ShortCopyRules {
  /** Of `bytes` wanted, `copied` came. Returns: how many count. */
  counts(bytes: number, copied: number, uptodate: boolean): number;
  /** Go back over what was copied and does not count. */
  revert(from: IovIter, uncounted: number): void;
}

/** A page that is not uptodate takes all or nothing: a later read would overwrite it, or show what was not copied. */
export const SHORT_COPIES: ShortCopyRules = {
  counts: (bytes, copied, uptodate) => (copied < bytes && !uptodate ? 0 : copied),
  revert: iovIterRevert,
};

export interface IomapRevision {
  readonly shortCopies: ShortCopyRules;
  /** The dirty throttle is looked at before each page is written (6.0 on), not after. */
  readonly throttlesFirst: boolean;
  /**
   * How the source of a page's bytes is touched first: all or nothing by the old helper (until 5.15), all or
   * nothing by the new one (5.16, 5.17), or so that only nothing at all is a failure.
   */
  readonly prefault: "pages" | "whole" | "any";
  /** After a copy that came to nothing, the length of the current segment is tried, not what was copied: until 5.13. */
  readonly retriesSegment: boolean;
  /** Direct I/O may end early when the buffer faults, and say so (IOMAP_DIO_PARTIAL): 5.16 on. */
  readonly dioPartial: boolean;
  /** A direct read looks at no extent behind the end of the file: until 5.13. */
  readonly dioStopsAtEof: boolean;
  /**
   * What direct I/O wants aligned: the whole buffer, segments without bytes left out (until 5.19) or not (6.0 on); or each
   * segment when it comes to its pages (7.2).
   */
  readonly dioAligns: "bytes" | "segments" | "segment";
  /** Zeroing behind the end of the file makes it longer, as any write does: until 6.8. */
  readonly zeroingExtends: boolean;
  /** What reading a page of inline data counts as: the page (5.10), nothing (6.1, 6.12), or its bytes (7.2). */
  readonly inlineReadCounts: "page" | "nothing" | "bytes";
  /** fiemap tells the extent at hand as the last one also when it could not be copied out before: since 5.15. */
  readonly fiemapTellsLast: boolean;
  /** iomap_write_end says whether it took the bytes (6.9 on), not how many; only traces show it. */
  readonly writeEndIsBoolean: boolean;
}
