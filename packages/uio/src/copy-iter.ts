// Copies between the kernel's memory and an iterator, and zeroing (lib/iov_iter.c). The kernel's side is a
// physical address.
//
// All return bytes done, and the iterator has moved by just that; they stop at the first byte that is not
// there. A copy against the iterator's direction does nothing, which is where Linux warns.

import { type Bytes, checkInteger, MAX_RW_COUNT, type Sleep, bytes as toBytes } from "@faultline/kernel";
import { Direction, type UserAccess, type UserTask } from "@faultline/mm";
import { iovIterRevert } from "./advance.ts";
import type { IovIter } from "./iov-iter.ts";
import { finishMove, mightFault, moveIter } from "./iterate.ts";
import { appendToPipe } from "./pipe-iter.ts";

/** Copy into the iterator. Context: as `user` says. Returns: bytes done. Linux: copy_to_iter() */
export function* copyToIter<Y>(
  task: UserTask,
  physical: number,
  bytes: number,
  i: IovIter,
  user: UserAccess<Y>,
): Generator<Sleep | Y, Bytes, void> {
  checkRange(task, physical, bytes);
  if (i.dataSource) return toBytes(0);
  return toBytes(yield* move(task, i, physical, bytes, Direction.ToUser, user));
}

/**
 * Copy from the iterator. The tail keeps what it held.
 *
 * Context: as `user` says. Returns: bytes done. Linux: copy_from_iter()
 */
export function* copyFromIter<Y>(
  task: UserTask,
  physical: number,
  bytes: number,
  i: IovIter,
  user: UserAccess<Y>,
): Generator<Sleep | Y, Bytes, void> {
  checkRange(task, physical, bytes);
  if (!i.dataSource) return toBytes(0);
  return toBytes(yield* move(task, i, physical, bytes, Direction.FromUser, user));
}

/**
 * The same with stores that go past the cache, which nobody can tell here.
 *
 * Context: as `user` says. Returns: bytes done. Linux: copy_from_iter_nocache()
 */
export function copyFromIterNocache<Y>(
  task: UserTask,
  physical: number,
  bytes: number,
  i: IovIter,
  user: UserAccess<Y>,
): Generator<Sleep | Y, Bytes, void> {
  return copyFromIter(task, physical, bytes, i, user);
}

/**
 * Copy all of `bytes` into the iterator, or leave it where it is.
 *
 * Context: as `user` says. Returns: was it all? If not, a part of it may have been copied nevertheless.
 * Linux:   copy_to_iter_full()
 */
export function* copyToIterFull<Y>(
  task: UserTask,
  physical: number,
  bytes: number,
  i: IovIter,
  user: UserAccess<Y>,
): Generator<Sleep | Y, boolean, void> {
  return allOrNothing(i, bytes, yield* copyToIter(task, physical, bytes, i, user));
}

/** Copy all of `bytes` from the iterator, or leave it where it is. Linux: copy_from_iter_full() */
export function* copyFromIterFull<Y>(
  task: UserTask,
  physical: number,
  bytes: number,
  i: IovIter,
  user: UserAccess<Y>,
): Generator<Sleep | Y, boolean, void> {
  return allOrNothing(i, bytes, yield* copyFromIter(task, physical, bytes, i, user));
}

function allOrNothing(i: IovIter, wanted: number, done: number): boolean {
  if (done === wanted) return true;
  iovIterRevert(i, done);
  return false;
}

/**
 * Zero the next bytes of the iterator, whatever its direction.
 *
 * Context: as `user` says. Returns: bytes done. Linux: iov_iter_zero()
 */
export function* iovIterZero<Y>(
  task: UserTask,
  bytes: number,
  i: IovIter,
  user: UserAccess<Y>,
): Generator<Sleep | Y, Bytes, void> {
  checkInteger(bytes, "bytes", 0);
  const size = checkInteger(Math.min(bytes, i.count), "bytes", 0, MAX_RW_COUNT);
  return toBytes(yield* move(task, i, 0, size, Direction.Clear, user));
}

function* move<Y>(
  task: UserTask,
  i: IovIter,
  physical: number,
  size: number,
  direction: Direction,
  user: UserAccess<Y>,
): Generator<Sleep | Y, number, void> {
  if (i.kind === "pipe") return yield* moveToPipe(task, i, physical, size, direction);
  mightFault(task, i, user);
  const done = moveIter(task, i, physical, size, direction);
  return done === size ? done : yield* finishMove(task, i, physical, size, direction, user, done);
}

function moveToPipe(
  task: UserTask,
  i: IovIter,
  from: number,
  size: number,
  direction: Direction,
): Generator<Sleep, number, void> {
  const { u8 } = task.mm.mem;
  return appendToPipe(task, i, size, (to, done, n) => {
    if (direction === Direction.Clear) u8.fill(0, to, to + n);
    else u8.copyWithin(to, from + done, from + done + n);
  });
}

function checkRange(task: UserTask, physical: number, size: number): void {
  const { length } = task.mm.mem.u8;
  checkInteger(physical, "physical", 0, length);
  checkInteger(size, "bytes", 0, Math.min(length - physical, MAX_RW_COUNT));
}
