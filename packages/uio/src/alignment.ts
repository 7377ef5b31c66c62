// What an iterator's addresses and lengths have in common, and how many pages it spans (lib/iov_iter.c).

import { checkInteger, offsetInPage, pagesFor } from "@faultline/kernel";
import { folioSize } from "./advance.ts";
import type { IovIter } from "./iov-iter.ts";
import { pipeOffset, pipeSpace } from "./pipe-iter.ts";

/** Bytes left in the current segment; all that remain when it is the last. Linux: iov_iter_single_seg_count() */
export function iovIterSingleSegCount(i: IovIter): number {
  if (i.kind === "folioq") return i.count === 0 ? 0 : Math.min(i.count, folioSize(i));
  if (i.nrSegs <= 1) return i.count;
  return Math.min(i.count, i.segments[i.segment].len - i.iovOffset);
}

/**
 * Has no remaining segment an address with bits of `addrMask` or a length with bits of `lenMask`?
 *
 * An empty segment must have a good address, too. For bvec, addresses count from the start of the page.
 *
 * Linux: iov_iter_is_aligned(), since 6.0
 */
export function iovIterIsAligned(i: IovIter, addrMask: number, lenMask: number): boolean {
  checkInteger(addrMask, "addrMask", 0, 0xffffffff);
  checkInteger(lenMask, "lenMask", 0, 0xffffffff);
  if (i.kind === "discard") return true;
  const single = singleAddress(i);
  // The low 32 bits of a whole number below 2^53 survive `&` exactly.
  if (single !== null) return (i.count & lenMask) === 0 && (single & addrMask) === 0;
  let left = i.count;
  for (let { segment, iovOffset: skip } = i; segment < i.segments.length; segment++, skip = 0) {
    const len = Math.min(i.segments[segment].len - skip, left);
    if ((len & lenMask) !== 0 || (addressOf(i, segment, skip) & addrMask) !== 0) return false;
    left -= len;
    if (left === 0) break;
  }
  return true;
}

/**
 * All addresses and lengths of the remaining segments, ORed. Empty segments do not count.
 *
 * Linux: iov_iter_alignment()
 */
export function iovIterAlignment(i: IovIter): number {
  if (i.count === 0 || i.kind === "discard") return 0;
  const single = singleAddress(i);
  if (single !== null) return or(single, i.count);
  let result = 0;
  forEachPiece(i, (address, len) => {
    result = or(result, or(address, len));
  });
  return result;
}

/**
 * Ends of segments and starts of their successors, ORed: whether the iterator could be one I/O.
 *
 * Returns: 0 when there is no such boundary; 2^32 - 1 for kinds that are not user-backed, where Linux warns.
 * Linux:   iov_iter_gap_alignment()
 */
export function iovIterGapAlignment(i: IovIter): number {
  if (i.kind === "ubuf") return 0;
  if (i.kind !== "iovec") return 0xffffffff;
  let result = 0;
  let end = 0;
  let left = i.count;
  for (let { segment } = i; segment < i.segments.length; segment++) {
    const { base, len } = i.segments[segment];
    if (len === 0) continue;
    if (end !== 0) result = or(result, or(base, end));
    end = base + len;
    if (left <= len) break;
    left -= len;
  }
  return result;
}

/** Pages that the remaining bytes span, `maxpages` at most. Linux: iov_iter_npages() */
export function iovIterNpages(i: IovIter, maxpages: number): number {
  checkInteger(maxpages, "maxpages", 0);
  if (i.count === 0 || i.kind === "discard") return 0;
  if (i.kind === "pipe") return Math.min(pipeSpace(i), maxpages);
  const single = singleAddress(i);
  if (single !== null) return Math.min(pagesFor(offsetInPage(single) + i.count), maxpages);
  let pages = 0;
  forEachPiece(i, (address, len) => {
    pages += pagesFor(offsetInPage(address) + len);
  });
  return Math.min(pages, maxpages);
}

/** Where the bytes of an iterator of one piece begin; null for vectors. */
function singleAddress(i: IovIter): number | null {
  if (i.kind === "ubuf") return i.ubuf + i.iovOffset;
  if (i.kind === "xarray") return (i.xarray as NonNullable<IovIter["xarray"]>).start + i.iovOffset;
  if (i.kind === "folioq") return i.iovOffset;
  return i.kind === "pipe" ? pipeOffset(i) : null;
}

function addressOf(i: IovIter, segment: number, skip: number): number {
  const { base } = i.segments[segment];
  return (i.kind === "bvec" ? offsetInPage(base) : base) + skip;
}

/** The remaining pieces of a vector that are not empty. */
function forEachPiece(i: IovIter, visit: (address: number, len: number) => void): void {
  let left = i.count;
  for (let { segment, iovOffset: skip } = i; left > 0; segment++, skip = 0) {
    const len = Math.min(i.segments[segment].len - skip, left);
    if (len > 0) visit(addressOf(i, segment, skip), len);
    left -= len;
  }
}

/** `a | b` for whole numbers below 2^53, of which JavaScript's own operator keeps 32 bits. */
function or(a: number, b: number): number {
  const high = Math.floor(a / 2 ** 32) | Math.floor(b / 2 ** 32);
  return high * 2 ** 32 + ((a | b) >>> 0);
}
