// struct iov_iter: where the bytes of a read or write come from or go to, and how far it has come
// (include/linux/uio.h).
//
// An iterator is a list of segments, a position in it, and the bytes that remain. Segments of user-backed
// kinds (ubuf, iovec) are user addresses; those of kernel-backed kinds are physical addresses, which never
// fault. Make one with the functions below or import.ts, move it with advance.ts or by copying.
//
// An iterator belongs to the task that works with it; nothing protects its fields.

import { bugOn, checkInstance, checkInteger, type Pfn } from "@faultline/kernel";
import { AddressSpace, pageAddress } from "@faultline/mm";
import { FolioQueue } from "./folio-queue.ts";
import { type PipeBuffers, pipeFull } from "./pipe-buffers.ts";
import { UIO_LATEST, type UioRevision } from "./revision.ts";

export type IterKind = "ubuf" | "iovec" | "kvec" | "bvec" | "xarray" | "folioq" | "pipe" | "discard";

/** The iterator is the destination of a read. Linux: ITER_DEST, READ */
export const ITER_DEST = false;
/** The iterator is the source of a write. Linux: ITER_SOURCE, WRITE */
export const ITER_SOURCE = true;

/** One contiguous piece: a user address or a physical address, and a length. Linux: struct iovec, struct kvec */
export interface Segment {
  readonly base: number;
  readonly len: number;
}

/** A piece of physical memory named by its first page. Linux: struct bio_vec */
export interface BioVec {
  readonly page: Pfn;
  readonly offset: number;
  readonly len: number;
}

export class IovIter {
  readonly kind: IterKind;
  /** ITER_SOURCE or ITER_DEST. */
  readonly dataSource: boolean;
  readonly revision: UioRevision;
  /** get_pages and extract_pages must not fault; copies do not look at it. Set around one call. */
  nofault = false;
  /** Bytes that remain. */
  count: number;
  /** Position in the current segment, folio or pipe page; for ubuf and xarray, bytes done so far. */
  iovOffset = 0;
  /** ubuf: the user address at which it began. */
  readonly ubuf: number;
  /** iovec, kvec and bvec: all segments, those behind included. */
  readonly segments: readonly Segment[];
  /** Index of the current segment; for folioq, of the slot in its batch. */
  segment = 0;
  readonly xarray: XarraySlice | null = null;
  /** folioq: the current batch. */
  folioq: FolioQueue | null = null;
  readonly pipe: PipeCursor | null = null;

  constructor(
    kind: IterKind,
    dataSource: boolean,
    count: number,
    revision: UioRevision,
    ubuf: number,
    segments: readonly Segment[],
    parts: IterParts | null = null,
  ) {
    this.kind = kind;
    this.dataSource = dataSource;
    this.revision = revision;
    this.count = count;
    this.ubuf = ubuf;
    this.segments = segments;
    if (parts !== null) {
      this.xarray = parts.xarray ?? null;
      this.folioq = parts.folioq ?? null;
      this.pipe = parts.pipe ?? null;
    }
  }

  /** Segments from the current one on; 1 for ubuf, 0 for kinds that have none. */
  get nrSegs(): number {
    return this.kind === "ubuf" ? 1 : Math.max(0, this.segments.length - this.segment);
  }
}

/** xarray: the page cache, and the file position at which the iterator began. */
interface XarraySlice {
  readonly mapping: AddressSpace;
  readonly start: number;
}

/** pipe: where copies append. */
export interface PipeCursor {
  readonly buffers: PipeBuffers;
  /** The buffer being filled, and the one that was the first to be filled. */
  head: number;
  readonly startHead: number;
}

interface IterParts {
  readonly xarray?: XarraySlice;
  readonly folioq?: FolioQueue;
  readonly pipe?: PipeCursor;
}

const NO_SEGMENTS: readonly Segment[] = [];

/** One range of user memory. Context: atomic. Linux: iov_iter_ubuf(), since 6.0 */
export function iovIterUbuf(
  dataSource: boolean,
  address: number,
  count: number,
  revision: UioRevision = UIO_LATEST,
): IovIter {
  checkDirection(dataSource);
  checkInteger(address, "address", 0);
  checkInteger(count, "count", 0);
  return new IovIter("ubuf", dataSource, count, revision, address, NO_SEGMENTS);
}

/** Ranges of user memory. Context: atomic. Linux: iov_iter_init() */
export function iovIterInit(
  dataSource: boolean,
  segments: readonly Segment[],
  count: number,
  revision: UioRevision = UIO_LATEST,
): IovIter {
  return vecIter("iovec", dataSource, segments, count, revision);
}

/** Ranges of physical memory. Context: atomic. Linux: iov_iter_kvec() */
export function iovIterKvec(
  dataSource: boolean,
  segments: readonly Segment[],
  count: number,
  revision: UioRevision = UIO_LATEST,
): IovIter {
  return vecIter("kvec", dataSource, segments, count, revision);
}

/** Pieces of pages. Context: atomic. Linux: iov_iter_bvec() */
export function iovIterBvec(
  dataSource: boolean,
  pieces: readonly BioVec[],
  count: number,
  revision: UioRevision = UIO_LATEST,
): IovIter {
  const segments = pieces.map(({ page, offset, len }, index) => {
    checkInteger(page, `pieces[${index}].page`, 1);
    checkInteger(offset, `pieces[${index}].offset`, 0);
    return { base: pageAddress(page) + offset, len };
  });
  return vecIter("bvec", dataSource, segments, count, revision);
}

function vecIter(
  kind: IterKind,
  dataSource: boolean,
  segments: readonly Segment[],
  count: number,
  revision: UioRevision,
): IovIter {
  checkDirection(dataSource);
  let total = 0;
  for (let index = 0; index < segments.length; index++) total += checkSegment(segments[index], index);
  checkInteger(count, "count", 0, Math.min(total, Number.MAX_SAFE_INTEGER));
  return new IovIter(kind, dataSource, count, revision, 0, segments);
}

/** Returns: its length. */
function checkSegment({ base, len }: Segment, index: number): number {
  // Names are made for those who need them.
  if (!Number.isSafeInteger(base) || base < 0) checkInteger(base, `segments[${index}].base`, 0);
  if (!Number.isSafeInteger(len) || len < 0) checkInteger(len, `segments[${index}].len`, 0);
  return len;
}

/**
 * `count` bytes of a file's pages in the page cache, from file position `start`. The caller keeps them there.
 *
 * Context: atomic. Linux: iov_iter_xarray(), since 5.13
 */
export function iovIterXarray(
  dataSource: boolean,
  mapping: AddressSpace,
  start: number,
  count: number,
  revision: UioRevision = UIO_LATEST,
): IovIter {
  checkDirection(dataSource);
  checkInstance(mapping, AddressSpace, "mapping");
  checkInteger(start, "start", 0);
  checkInteger(count, "count", 0, Number.MAX_SAFE_INTEGER - start);
  return new IovIter("xarray", dataSource, count, revision, 0, NO_SEGMENTS, { xarray: { mapping, start } });
}

/**
 * `count` bytes of queued folios, from byte `offset` of the folio in slot `firstSlot`. The caller keeps them.
 *
 * Context: atomic. Linux: iov_iter_folio_queue(), since 6.12
 */
export function iovIterFolioQueue(
  dataSource: boolean,
  folioq: FolioQueue,
  firstSlot: number,
  offset: number,
  count: number,
  revision: UioRevision = UIO_LATEST,
): IovIter {
  checkDirection(dataSource);
  checkInstance(folioq, FolioQueue, "folioq");
  checkInteger(firstSlot, "firstSlot", 0, folioq.folios.length);
  checkInteger(offset, "offset", 0);
  checkInteger(count, "count", 0);
  const i = new IovIter("folioq", dataSource, count, revision, 0, NO_SEGMENTS, { folioq });
  i.segment = firstSlot;
  i.iovOffset = offset;
  return i;
}

/**
 * Up to `count` bytes appended to a pipe: pages of files by reference, other bytes copied to new pages.
 *
 * Context: atomic; the pipe's mutex is held until the iterator is done. Linux: iov_iter_pipe(), until 6.4
 */
export function iovIterPipe(
  dataSource: boolean,
  buffers: PipeBuffers,
  count: number,
  revision: UioRevision = UIO_LATEST,
): IovIter {
  checkDirection(dataSource);
  bugOn(dataSource, "iov_iter_pipe as a source");
  checkInteger(count, "count", 0);
  bugOn(pipeFull(buffers.head, buffers.tail, buffers.bufs.length), "iov_iter_pipe on a full pipe");
  const { head } = buffers;
  const pipe = { buffers, head, startHead: head };
  return new IovIter("pipe", dataSource, count, revision, 0, NO_SEGMENTS, { pipe });
}

/** Bytes that vanish. Context: atomic. Linux: iov_iter_discard() */
export function iovIterDiscard(dataSource: boolean, count: number, revision: UioRevision = UIO_LATEST): IovIter {
  checkDirection(dataSource);
  bugOn(dataSource, "iov_iter_discard as a source");
  checkInteger(count, "count", 0);
  return new IovIter("discard", dataSource, count, revision, 0, NO_SEGMENTS);
}

/**
 * A copy of an iterator that does not share its segments; what lies behind its position is not kept.
 *
 * Context: atomic. Linux: dup_iter()
 */
export function dupIter(i: IovIter): IovIter {
  bugOn(i.kind === "pipe", "dup_iter of a pipe");
  const { kind, dataSource, count, revision, ubuf } = i;
  const segments = i.segments.slice(i.segment).map(({ base, len }) => ({ base, len }));
  const parts: { xarray?: XarraySlice; folioq?: FolioQueue } = {};
  if (i.xarray !== null) parts.xarray = i.xarray;
  if (i.folioq !== null) parts.folioq = i.folioq;
  const copy = new IovIter(kind, dataSource, count, revision, ubuf, segments, parts);
  copy.nofault = i.nofault;
  copy.iovOffset = i.iovOffset;
  if (kind === "folioq") copy.segment = i.segment;
  return copy;
}

/** Are its segments user addresses, so that copies may fault? Linux: user_backed_iter() */
export function userBackedIter(i: IovIter): boolean {
  return i.kind === "ubuf" || i.kind === "iovec";
}

export function iterIsUbuf(i: IovIter): boolean {
  return i.kind === "ubuf";
}

export function iterIsIovec(i: IovIter): boolean {
  return i.kind === "iovec";
}

/** Bytes that remain. Linux: iov_iter_count() */
export function iovIterCount(i: IovIter): number {
  return i.count;
}

function checkDirection(dataSource: boolean): void {
  if (typeof dataSource !== "boolean") throw new TypeError("dataSource must be ITER_SOURCE or ITER_DEST");
}
