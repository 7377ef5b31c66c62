// Faulting in the user memory of an iterator (lib/iov_iter.c): before a copy that must not fault, or after
// one that fell short. The iterator does not move.
//
// Iterators that are not user-backed need nothing: 0, whatever `size` is.

import {
  checkInteger,
  EFAULT,
  err,
  type Faulting,
  type MayFault,
  type Sleep,
  type Status,
  type Uncopied,
  uncopied,
} from "@faultline/kernel";
import {
  FAULTS_ENABLED,
  faultInPagesReadable,
  faultInReadable,
  faultInSafeWriteable,
  faultInUserPages,
  isFaultedIn,
  type UserAccess,
  type UserTask,
} from "@faultline/mm";
import { type IovIter, userBackedIter } from "./iov-iter.ts";

/**
 * Fault in the next `size` bytes for reading, as far as the first segment that cannot be had in full.
 *
 * Context: may fault, unless `user` says that faults are disabled: then it only probes.
 * Returns: bytes NOT faulted in. What `size` asks beyond the end of the iterator is never faulted in, and
 *          counted.
 * Linux:   fault_in_iov_iter_readable(), since 5.16
 */
export function faultInIovIterReadable(task: UserTask, i: IovIter, size: number): MayFault<Uncopied>;
export function faultInIovIterReadable<Y>(
  task: UserTask,
  i: IovIter,
  size: number,
  user: UserAccess<Y>,
): Generator<Sleep | Y, Uncopied, void>;
export function faultInIovIterReadable(
  task: UserTask,
  i: IovIter,
  size: number,
  user: UserAccess<Faulting> = FAULTS_ENABLED,
): MayFault<Uncopied> {
  return faultInIter(i, size, (address, length) => faultInReadable(task, address, length, user));
}

/**
 * The same for writing, without touching a byte.
 *
 * Context: may fault. Returns: bytes NOT faulted in. Linux: fault_in_iov_iter_writeable(), since 5.16
 */
export function faultInIovIterWriteable(task: UserTask, i: IovIter, size: number): MayFault<Uncopied> {
  return faultInIter(i, size, (address, length) => faultInSafeWriteable(task, address, length));
}

function* faultInIter<Y>(
  i: IovIter,
  size: number,
  faultIn: (address: number, size: number) => Generator<Sleep | Y, Uncopied, void>,
): Generator<Sleep | Y, Uncopied, void> {
  checkInteger(size, "size", 0);
  if (!userBackedIter(i)) return uncopied(0);
  let left = Math.min(size, i.count);
  const excess = size - left;
  if (i.kind === "ubuf") return uncopied(excess + (yield* faultIn(i.ubuf + i.iovOffset, left)));
  for (let segment = i.segment, skip = i.iovOffset; left > 0; segment++, skip = 0) {
    const { base, len } = i.segments[segment];
    const part = Math.min(left, len - skip);
    if (part === 0) continue;
    const missing = yield* faultIn(base + skip, part);
    left -= part - missing;
    if (missing > 0) break;
  }
  return uncopied(left + excess);
}

/**
 * Are the next `size` bytes, or all that remain, there, so that faultInIovIterReadable would find nothing to do?
 *
 * The shortcut for hot paths. Never while the run is traced or explored, which must see the real thing. Faulting
 * in for writing has none: Linux calls the fault handler there for every page, resident or not.
 *
 * Context: atomic. Returns: false when it has to be called; nothing has happened then.
 */
export function isIterFaultedIn(task: UserTask, i: IovIter, size: number): boolean {
  if (!userBackedIter(i)) return true;
  if (task.world.trace !== null) return false;
  let left = Math.min(size, i.count);
  if (i.kind === "ubuf") return isFaultedIn(task, i.ubuf + i.iovOffset, left, false);
  for (let segment = i.segment, skip = i.iovOffset; left > 0; segment++, skip = 0) {
    const { base, len } = i.segments[segment];
    const part = Math.min(left, len - skip);
    if (part > 0 && !isFaultedIn(task, base + skip, part, false)) return false;
    left -= part;
  }
  return true;
}

/**
 * Fault in the next `bytes` bytes for reading, all or nothing.
 *
 * Context: may fault. Returns: 0 or -EFAULT. Linux: iov_iter_fault_in_readable(), until 5.15
 */
export function iovIterFaultInReadable(task: UserTask, i: IovIter, bytes: number): MayFault<Status>;
export function iovIterFaultInReadable<Y>(
  task: UserTask,
  i: IovIter,
  bytes: number,
  user: UserAccess<Y>,
): Generator<Sleep | Y, Status, void>;
export function* iovIterFaultInReadable(
  task: UserTask,
  i: IovIter,
  bytes: number,
  user: UserAccess<Faulting> = FAULTS_ENABLED,
): MayFault<Status> {
  for (const { base, len } of userPieces(i, bytes)) {
    const status = yield* faultInPagesReadable(task, base, len, user);
    if (status !== 0) return status;
  }
  return 0;
}

/**
 * Fault in the next `bytes` bytes for writing, all or nothing, as the patch under discussion in July 2021 did.
 *
 * Context: may fault. Returns: 0 or -EFAULT; 0 promises little, see faultInUserPages.
 * Linux:   iov_iter_fault_in_writeable(), "[PATCH v4 1/8] iov_iter: Introduce iov_iter_fault_in_writeable helper"
 */
export function* iovIterFaultInWriteable(task: UserTask, i: IovIter, bytes: number): MayFault<Status> {
  for (const { base, len } of userPieces(i, bytes)) {
    if ((yield* faultInUserPages(task, base, len, true)) !== len) return err(EFAULT);
  }
  return 0;
}

/** The next `size` bytes as user ranges, empty ones left out. */
function userPieces(i: IovIter, size: number): { base: number; len: number }[] {
  checkInteger(size, "bytes", 0);
  if (!userBackedIter(i)) return [];
  let left = Math.min(size, i.count);
  if (i.kind === "ubuf") return left > 0 ? [{ base: i.ubuf + i.iovOffset, len: left }] : [];
  const pieces: { base: number; len: number }[] = [];
  for (let segment = i.segment, skip = i.iovOffset; left > 0; segment++, skip = 0) {
    const { base, len } = i.segments[segment];
    const part = Math.min(left, len - skip);
    if (part > 0) pieces.push({ base: base + skip, len: part });
    left -= part;
  }
  return pieces;
}
