// Direct I/O (fs/iomap/direct-io.c): from user pages to the disk and back, past the page cache.
//
// No copy happens where blocks are: the pages of the buffer go to the disk. What a buffer lacks is told by
// get_user_pages, not by a CPU fault, so a caller that must not fault gives a grabber that does not.

import {
  EFAULT,
  EINVAL,
  ENOTBLK,
  err,
  ignoreResult,
  type MaySleep,
  PAGE_SIZE,
  type Pfn,
  pageIndex,
  type Sleep,
  type Ssize,
  type Status,
  WaitChannel,
  wakeUpAll,
} from "@faultline/kernel";
import { pageAddress, putPage, putUserPages, type UserAccess, type UserTask } from "@faultline/mm";
import {
  copyToIter,
  type IovIter,
  iovIterAlignment,
  iovIterGetPages2,
  iovIterIsAligned,
  iovIterReexpand,
  iovIterRevert,
  iovIterSingleSegCount,
  iovIterTruncate,
  iovIterZero,
  type PageGrabber,
  userBackedIter,
} from "@faultline/uio";
import { invalidateInodePages2 } from "../cache/page-cache.ts";
import { filemapWriteAndWait } from "../cache/page-writeback.ts";
import type { DiskSegment } from "../disk/bio.ts";
import { dioBegin, dioEnd, type Inode } from "../vfs/inode.ts";
import { IOCB_NOWAIT, type Kiocb } from "../vfs/kiocb.ts";
import { genericWriteSync } from "../vfs/write-checks.ts";
import {
  IOMAP_DIRECT,
  IOMAP_HOLE,
  IOMAP_INLINE,
  IOMAP_NOWAIT,
  IOMAP_WRITE,
  IomapIter,
  type IomapOps,
  iomapIter,
} from "./iomap.ts";

/** The request may end early when the buffer faults; what was transferred until then counts. */
export const IOMAP_DIO_PARTIAL = 4;

/** Bytes that positions, lengths and buffers of direct I/O must be a multiple of. Linux: bdev_logical_block_size() */
const LOGICAL_BLOCK = 512;
/** Pages of one request at most. Linux: BIO_MAX_VECS */
const MAX_VECS = 256;
/** What traces show for the dio object that __iomap_dio_rw returns. */
const A_DIO = 1;

/** How direct I/O reaches the buffer: copies for holes and inline data, page references for the rest. */
export interface DioAccess<Y> {
  readonly user: UserAccess<Y>;
  readonly grab: PageGrabber<Y>;
}

/** One direct request in progress; ready while none of its requests is in flight. Linux: struct iomap_dio */
class Dio extends WaitChannel {
  readonly iter: IovIter;
  /** The size of the file when it began. */
  readonly fileSize: number;
  /** Bytes handed to the disk, or filled. */
  size = 0;
  error: Status = 0;
  /** Requests in flight. */
  pending = 0;

  constructor(inode: Inode, iter: IovIter) {
    super(`direct I/O of ${inode.label}`);
    this.iter = iter;
    this.fileSize = inode.size;
  }

  get write(): boolean {
    return this.iter.dataSource;
  }

  override isReady(): boolean {
    return this.pending === 0;
  }
}

/**
 * Read or write directly; moves iocb.pos by what this call does.
 *
 * `doneBefore`: what earlier calls of the same system call did, and is added to the result.
 *
 * Context: sleeps; what else depends on `access`.
 * Returns: bytes, earlier ones included; 0 at the end of the file; -ENOTBLK: use the page cache; -EINVAL:
 *          misaligned; -EFAULT: with IOMAP_DIO_PARTIAL only if this call did nothing, without it although
 *          it may have done something; -EIO.
 * Linux:   iomap_dio_rw()
 */
export function* iomapDioRw<Y>(
  task: UserTask,
  iocb: Kiocb,
  iter: IovIter,
  ops: IomapOps,
  dioFlags: number,
  access: DioAccess<Y>,
  doneBefore: number,
): Generator<Sleep | Y, Ssize, void> {
  const { inode } = iocb.file;
  const { trace } = task.world;
  trace?.emit(task, "iomap_dio_rw", inode.ino, dioFlags, doneBefore);
  trace?.emit(task, "__iomap_dio_rw", inode.ino, dioFlags, doneBefore);
  const dio = yield* iomapDioStart(task, iocb, iter, ops, dioFlags, access);
  const failed = typeof dio === "number";
  trace?.emit(task, "__iomap_dio_rw_ret", failed ? dio : A_DIO);
  const ret = failed ? dio : yield* iomapDioComplete(task, iocb, dio, doneBefore);
  trace?.emit(task, "iomap_dio_rw_ret", ret);
  return ret as Ssize;
}

/** Everything up to the last request being over. Returns: the dio; 0 when there is nothing to do; an error. Linux: __iomap_dio_rw() */
function* iomapDioStart<Y>(
  task: UserTask,
  iocb: Kiocb,
  iter: IovIter,
  ops: IomapOps,
  dioFlags: number,
  access: DioAccess<Y>,
): Generator<Sleep | Y, Dio | Status, void> {
  const { inode } = iocb.file;
  const write = iter.dataSource;
  if (iter.count === 0) return 0;
  const { pos } = iocb;
  if (!write && pos >= inode.size) return 0;
  const status = yield* flushCache(task, inode, pos, iter.count, write);
  if (status !== 0) return status;
  const dio = new Dio(inode, iter);
  const nowait = (iocb.flags & IOCB_NOWAIT) !== 0 ? IOMAP_NOWAIT : 0;
  const range = new IomapIter(inode, pos, iter.count, IOMAP_DIRECT | nowait | (write ? IOMAP_WRITE : 0));
  dioBegin(inode);
  let result: number;
  while ((result = yield* iomapIter(task, range, ops)) > 0) {
    range.processed = yield* iomapDioIter(task, range, dio, access);
    // Old kernels stop as soon as the end of the file is reached.
    if (inode.sb.iomap.dioStopsAtEof && !write && range.pos + Math.max(range.processed, 0) >= dio.fileSize) {
      range.len = Math.max(range.processed, 0);
    }
  }
  if (!write && range.pos >= dio.fileSize) iovIterRevert(iter, range.pos - dio.fileSize);
  if (result === -EFAULT && dio.size > 0 && (dioFlags & IOMAP_DIO_PARTIAL) !== 0) result = 0;
  if (result === -ENOTBLK) result = 0;
  if (result < 0) dio.error ||= result as Status;
  while (!dio.isReady()) yield dio;
  return dio;
}

/** Write back what is cached of the range; before a write, drop it. Returns: 0, -ENOTBLK if it would not go, an error. */
function* flushCache(task: UserTask, inode: Inode, pos: number, count: number, write: boolean): MaySleep<Status> {
  const { mapping } = inode;
  const end = pos + count - 1;
  const status = yield* filemapWriteAndWait(task, mapping, pos, end);
  if (status !== 0 || !write) return status;
  return (yield* invalidateInodePages2(task, mapping, pageIndex(pos), pageIndex(end))) === 0 ? 0 : err(ENOTBLK);
}

/** Work on one extent. Returns: bytes, or an error if none. Linux: iomap_dio_iter() */
function* iomapDioIter<Y>(
  task: UserTask,
  range: IomapIter,
  dio: Dio,
  access: DioAccess<Y>,
): Generator<Sleep | Y, number, void> {
  const { iomap } = range;
  if (iomap.type === IOMAP_HOLE) {
    const zeroed = yield* iovIterZero(task, range.length, dio.iter, access.user);
    return filled(range, dio, zeroed);
  }
  if (iomap.type === IOMAP_INLINE && iomap.inlineData !== null) {
    const { mem } = task.mm;
    // The bytes lie outside physical memory: bring them to a page that nobody else uses meanwhile.
    const frame = mem.tryAllocPage(true);
    if (frame === 0) return filled(range, dio, 0);
    mem.u8.set(iomap.inlineData, pageAddress(frame));
    const copied = yield* copyToIter(task, pageAddress(frame) + range.pos, range.length, dio.iter, access.user);
    putPage(mem, frame);
    return filled(range, dio, copied);
  }
  return yield* iomapDioBioIter(task, range, dio, access);
}

/** Account for bytes that needed no request. A buffer that took none of them faulted. */
function filled(range: IomapIter, dio: Dio, done: number): number {
  dio.size += done;
  return done > 0 || !range.inode.sb.iomap.dioPartial ? done : err(EFAULT);
}

/** Blocks: hand the buffer's pages to the disk, as many as can be had. Linux: iomap_dio_bio_iter() */
function* iomapDioBioIter<Y>(
  task: UserTask,
  range: IomapIter,
  dio: Dio,
  access: DioAccess<Y>,
): Generator<Sleep | Y, number, void> {
  const { inode, length } = range;
  const { iter } = dio;
  const misaligned = (value: number): boolean => value % LOGICAL_BLOCK !== 0;
  const whole = iter.count;
  const { dioAligns } = inode.sb.iomap;
  const buffer =
    dioAligns === "segments"
      ? iovIterIsAligned(iter, LOGICAL_BLOCK - 1, LOGICAL_BLOCK - 1)
      : dioAligns === "segment" || !misaligned(iovIterAlignment(iter));
  iovIterTruncate(iter, length);
  if (!buffer || misaligned(range.pos) || misaligned(length)) {
    iovIterReexpand(iter, whole);
    return err(EINVAL);
  }
  let { pos } = range;
  let copied = 0;
  let error: number = 0;
  while (iter.count > 0) {
    const pages: Pfn[] = [];
    const segments: DiskSegment[] = [];
    let bytes = 0;
    while (iter.count > 0 && pages.length < MAX_VECS) {
      if (dioAligns === "segment" && misaligned(segmentAlignment(iter))) {
        if (userBackedIter(iter)) putUserPages(task, pages, false);
        iovIterReexpand(iter, whole - copied - bytes);
        return err(EINVAL);
      }
      const got = yield* iovIterGetPages2(task, iter, iter.count, MAX_VECS - pages.length, access.grab);
      if (got.bytes <= 0) {
        error = got.bytes === 0 ? err(EFAULT) : got.bytes;
        break;
      }
      addSegments(segments, got.pages, got.start, got.bytes);
      pages.push(...got.pages);
      bytes += got.bytes;
    }
    if (bytes === 0) break;
    dio.size += bytes;
    copied += bytes;
    submitDio(task, inode, dio, pos, segments, pages);
    pos += bytes;
  }
  iovIterReexpand(iter, whole - copied);
  return copied > 0 ? copied : error;
}

/** The bits of the address and the length of what is left of the current segment. */
function segmentAlignment(iter: IovIter): number {
  const whole = iter.count;
  iovIterTruncate(iter, iovIterSingleSegCount(iter));
  const alignment = iovIterAlignment(iter);
  iovIterReexpand(iter, whole);
  return alignment;
}

/** The memory of these pages from `start` in the first, neighbours joined. */
function addSegments(segments: DiskSegment[], pages: readonly Pfn[], start: number, bytes: number): void {
  let left = bytes;
  for (const [i, page] of pages.entries()) {
    const offset = i === 0 ? start : 0;
    const length = Math.min(PAGE_SIZE - offset, left);
    const address = pageAddress(page) + offset;
    const last = segments[segments.length - 1];
    if (last !== undefined && last.address + last.length === address) {
      segments[segments.length - 1] = { address: last.address, length: last.length + length };
    } else {
      segments.push({ address, length });
    }
    left -= length;
  }
}

/** Linux: iomap_dio_submit_bio(), iomap_dio_bio_end_io() */
function submitDio(
  task: UserTask,
  inode: Inode,
  dio: Dio,
  position: number,
  segments: readonly DiskSegment[],
  pages: readonly Pfn[],
): void {
  dio.pending++;
  const submit = dio.write ? inode.sb.submitWrite : inode.sb.submitRead;
  submit.call(inode.sb, inode, position, segments, (status) => {
    if (status !== 0) dio.error ||= status;
    putUserPages(task, pages, !dio.write && userBackedIter(dio.iter));
    if (--dio.pending === 0) wakeUpAll(dio);
  });
}

/** Linux: iomap_dio_complete() */
function* iomapDioComplete(task: UserTask, iocb: Kiocb, dio: Dio, doneBefore: number): MaySleep<number> {
  const { inode } = iocb.file;
  let ret: number = dio.error;
  if (ret === 0) ret = dio.write ? dio.size : Math.min(dio.size, dio.fileSize - iocb.pos);
  if (dio.write && dio.error === 0 && dio.size > 0) {
    // Whoever faulted the range in meanwhile has the old bytes.
    const [first, last] = [pageIndex(iocb.pos), pageIndex(iocb.pos + dio.size - 1)];
    ignoreResult(yield* invalidateInodePages2(task, inode.mapping, first, last), "the bytes are on disk all the same");
  }
  dioEnd(inode);
  if (ret > 0) {
    iocb.pos += ret;
    if (dio.write) ret = yield* genericWriteSync(task, iocb, ret);
    if (ret > 0) ret += doneBefore;
  }
  return ret;
}
