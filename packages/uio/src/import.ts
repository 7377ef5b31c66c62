// From the arguments of a system call to an iterator (lib/iov_iter.c): what user space names is checked, but
// not touched.
//
// Addresses and lengths are whole numbers: an address beyond 2^47 stands for one that is not user space's,
// a negative length for a size_t that does not fit ssize_t.

import {
  EFAULT,
  EINVAL,
  ENOMEM,
  type Errno,
  err,
  isErr,
  MAX_RW_COUNT,
  type Sleep,
  type Status,
} from "@faultline/kernel";
import { accessOk, allocPage, pageAddress, putPage, type UserAccess, type UserTask } from "@faultline/mm";
import { type IovIter, iovIterInit, iovIterUbuf, type Segment } from "./iov-iter.ts";
import { UIO_LATEST, type UioRevision } from "./revision.ts";

/** The most segments of one call. */
export const UIO_MAXIOV = 1024;

/**
 * The iterator of readv() and writev(). At most MAX_RW_COUNT bytes: the segment that crosses it is shortened,
 * those behind it are empty.
 *
 * Context: atomic. Returns: an iterator, whose count is the total; -EINVAL: too many segments, or a length
 *          that is no ssize_t; -EFAULT: a range that is not user space's.
 * Linux:   import_iovec()
 */
export function importIovec(
  dataSource: boolean,
  uvec: readonly Segment[],
  revision: UioRevision = UIO_LATEST,
): IovIter | Errno {
  if (uvec.length > UIO_MAXIOV) return err(EINVAL);
  for (let index = 0; index < uvec.length; index++) {
    checkWhole(uvec[index].base, `uvec[${index}].base`);
    if (!isSsize(checkWhole(uvec[index].len, `uvec[${index}].len`))) return err(EINVAL);
  }
  // One segment is clipped before it is checked; several are checked in full.
  if (uvec.length === 1 && revision.importIsUbuf) return importUbuf(dataSource, uvec[0].base, uvec[0].len, revision);
  const segments: Segment[] = [];
  let total = 0;
  for (const { base, len } of uvec) {
    if (!accessOk(base, len)) return err(EFAULT);
    const part = Math.min(len, MAX_RW_COUNT - total);
    segments.push({ base, len: part });
    total += part;
  }
  return iovIterInit(dataSource, segments, total, revision);
}

/**
 * An iterator over one range of user memory, of at most MAX_RW_COUNT bytes.
 *
 * Context: atomic. Returns: an iterator, or -EFAULT: the range is not user space's.
 * Linux:   import_ubuf(); import_single_range(), which made it an ITER_IOVEC until 6.3
 */
export function importUbuf(
  dataSource: boolean,
  address: number,
  len: number,
  revision: UioRevision = UIO_LATEST,
): IovIter | Errno {
  checkWhole(address, "address");
  const count = isSsize(checkWhole(len, "len")) ? Math.min(len, MAX_RW_COUNT) : MAX_RW_COUNT;
  if (!accessOk(address, count)) return err(EFAULT);
  return singleRange(dataSource, address, count, revision.importIsUbuf, revision);
}

/**
 * The iterator of read() and write(), whose caller has checked the range.
 *
 * Context: atomic. Linux: new_sync_read(), new_sync_write()
 */
export function iovIterSync(
  dataSource: boolean,
  address: number,
  count: number,
  revision: UioRevision = UIO_LATEST,
): IovIter {
  return singleRange(dataSource, address, count, revision.syncIsUbuf, revision);
}

function singleRange(
  dataSource: boolean,
  address: number,
  count: number,
  ubuf: boolean,
  revision: UioRevision,
): IovIter {
  if (ubuf) return iovIterUbuf(dataSource, address, count, revision);
  return iovIterInit(dataSource, [{ base: address, len: count }], count, revision);
}

/** Bytes of a struct iovec in user memory: a pointer and a size_t, both 8 bytes, little-endian. */
const IOVEC_SIZE = 16;

/**
 * Read an array of `nrSegs` struct iovec from user memory, for importIovec.
 *
 * Context: as `user` says; sleeps (memory).
 * Returns: the segments; -EINVAL: too many, or a length that is no ssize_t; -EFAULT: the array is not there;
 *          -ENOMEM.
 * Linux:   iovec_from_user()
 */
export function* iovecFromUser<Y>(
  task: UserTask,
  uvec: number,
  nrSegs: number,
  user: UserAccess<Y>,
): Generator<Sleep | Y, Segment[] | Errno, void> {
  const segments: Segment[] = [];
  if (nrSegs === 0) return segments;
  if (nrSegs > UIO_MAXIOV) return err(EINVAL);
  if (!accessOk(uvec, nrSegs * IOVEC_SIZE)) return err(EFAULT);
  const { mem } = task.mm;
  const frame = yield* allocPage(task, mem, false);
  if (frame === 0) return err(ENOMEM);
  const buffer = pageAddress(frame);
  let status: Status = 0;
  while (segments.length < nrSegs && status === 0) {
    const from = uvec + segments.length * IOVEC_SIZE;
    if ((yield* user.copyFromUser(task, buffer, from, IOVEC_SIZE)) > 0) status = err(EFAULT);
    else if (!isSsize(readWord(mem.u8, buffer + 8))) status = err(EINVAL);
    else segments.push({ base: readWord(mem.u8, buffer), len: readWord(mem.u8, buffer + 8) });
  }
  putPage(mem, frame);
  return isErr(status) ? status : segments;
}

/** A 64-bit word; beyond 2^53 it is rounded, which no check here can tell. */
function readWord(u8: Uint8Array, at: number): number {
  let word = 0;
  for (let byte = 7; byte >= 0; byte--) word = word * 256 + u8[at + byte];
  return word;
}

function isSsize(len: number): boolean {
  return len >= 0 && len < 2 ** 63;
}

function checkWhole(value: unknown, name: string): number {
  if (typeof value !== "number") throw new TypeError(`${name} must be a number, not ${typeof value}`);
  if (!Number.isInteger(value)) throw new RangeError(`${name} must be a whole number, not ${value}`);
  return value;
}
