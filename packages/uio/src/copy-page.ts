// Copies between pages and an iterator (lib/iov_iter.c): what the page cache and pipes use.
//
// `frame` and `offset` name the first byte; `bytes` may reach into the frames behind it, which are then
// taken one page after the other, as Linux takes the pages of a folio.
//
//   ...Atomic     plain: as far as user memory is there; for sections with page faults disabled
//   try...        plain: the first try of a hot path; if it falls short, finish... takes over
//   the others    generators: as the UserAccess says
//
// All return bytes done, and the iterator has moved by just that. A copy against the iterator's direction
// does nothing, which is where Linux warns.

import {
  type Bytes,
  bugOn,
  checkInteger,
  MAX_RW_COUNT,
  offsetInPage,
  PAGE_SIZE,
  type Pfn,
  PREEMPT,
  type Sleep,
  bytes as toBytes,
} from "@faultline/kernel";
import { Direction, FAULTS_DISABLED, pageAddress, pageOf, type UserAccess, type UserTask } from "@faultline/mm";
import { iovIterRevert } from "./advance.ts";
import { type IovIter, userBackedIter } from "./iov-iter.ts";
import { finishMove, firstSegment, mightFault, moveIter } from "./iterate.ts";
import { linkPageToPipe } from "./pipe-iter.ts";

/**
 * Copy from the iterator into pages, as far as its memory is there. The tail keeps what it held.
 *
 * Context: atomic; page faults disabled. Returns: bytes done.
 * Linux:   copy_folio_from_iter_atomic(); copy_page_from_iter_atomic(), 5.14 to 6.15
 */
export function copyPageFromIterAtomic(task: UserTask, frame: Pfn, offset: number, bytes: number, i: IovIter): Bytes {
  const physical = startOf(task, frame, offset, bytes);
  if (!i.dataSource) return toBytes(0);
  const done = moveIter(task, i, physical, bytes, Direction.FromUser);
  if (done === bytes || i.count === 0) return toBytes(done);
  const again = i.revision.atomicTriesAgain;
  return toBytes(atomically(finishPages(task, i, physical, bytes, Direction.FromUser, FAULTS_DISABLED, done, again)));
}

/**
 * Copy into the iterator from pages, as far as its memory is there.
 *
 * Context: atomic; page faults disabled. Returns: bytes done. Linux: copy_page_to_iter(), with page faults disabled
 */
export function copyPageToIterAtomic(task: UserTask, frame: Pfn, offset: number, bytes: number, i: IovIter): Bytes {
  const done = tryCopyPageToIter(task, frame, offset, bytes, i, FAULTS_DISABLED);
  if (done === bytes || i.count === 0) return done;
  return atomically(finishCopyPageToIter(task, frame, offset, bytes, i, FAULTS_DISABLED, done));
}

/**
 * Copy between pages and the iterator like the atomic ones, and let others go on when so many bytes have come over: they
 * may take away the memory of the rest.
 *
 * Context: preemptible; page faults disabled; memory of a user, not a pipe. Returns: bytes done.
 */
export function* copyPageInTwo(
  task: UserTask,
  frame: Pfn,
  offset: number,
  bytes: number,
  i: IovIter,
  first: number,
): Generator<Sleep, Bytes, void> {
  const physical = startOf(task, frame, offset, bytes);
  const direction = i.dataSource ? Direction.FromUser : Direction.ToUser;
  let done = moveIter(task, i, physical, first, direction);
  if (done === first) {
    yield PREEMPT;
    done += moveIter(task, i, physical + done, bytes - done, direction);
  }
  if (done === bytes || i.count === 0) return toBytes(done);
  const again = i.dataSource ? i.revision.atomicTriesAgain : i.revision.pageToIterTriesAgain;
  return toBytes(atomically(finishPages(task, i, physical, bytes, direction, FAULTS_DISABLED, done, again)));
}

/**
 * Do others go on while so many bytes are copied between pages and the iterator, which only real circumstances tell?
 *
 * Context: atomic. Returns: the bytes that come over before; 0 if they do not.
 */
export function copyIsInterrupted(task: UserTask, i: IovIter, bytes: number): number {
  if (!task.world.interrupts || !userBackedIter(i) || bytes < 2) return 0;
  const { base, len } = firstSegment(i);
  return task.world.chooseCircumstance("copy", Math.min(bytes, len), String(base));
}

/**
 * Copy into the iterator from pages; a segment that is not there in full counts as not done at all, though its
 * first bytes may have been written.
 *
 * Context: atomic. Returns: bytes done. Linux: copy_page_to_iter_nofault()
 */
export function copyPageToIterNofault(task: UserTask, frame: Pfn, offset: number, bytes: number, i: IovIter): Bytes {
  const physical = startOf(task, frame, offset, bytes);
  let done = 0;
  while (!i.dataSource && done < bytes && i.count > 0) {
    const page = PAGE_SIZE - offsetInPage(physical + done);
    const part = Math.min(bytes - done, page, i.count, firstSegment(i).len);
    const copied = moveIter(task, i, physical + done, part, Direction.ToUser);
    if (copied < part) {
      iovIterRevert(i, copied);
      break;
    }
    done += part;
  }
  return toBytes(done);
}

/**
 * Copy from the iterator into pages, as far as its memory is there; the iterator stays where it is.
 *
 * Context: atomic; page faults disabled. Returns: bytes done; the caller advances by as many as it accepts.
 * Linux:   iov_iter_copy_from_user_atomic(), until 5.13
 */
export function iovIterCopyFromUserAtomic(
  task: UserTask,
  frame: Pfn,
  offset: number,
  bytes: number,
  i: IovIter,
): Bytes {
  const { segment, iovOffset, count, folioq } = i;
  const done = copyPageFromIterAtomic(task, frame, offset, bytes, i);
  i.segment = segment;
  i.iovOffset = iovOffset;
  i.count = count;
  i.folioq = folioq;
  return done;
}

/**
 * The plain first try of copyPageToIter. If it returns less than it should, finishCopyPageToIter must follow
 * at once.
 *
 * Context: atomic. Returns: bytes done.
 */
export function tryCopyPageToIter(
  task: UserTask,
  frame: Pfn,
  offset: number,
  bytes: number,
  i: IovIter,
  user: UserAccess<unknown>,
): Bytes {
  const physical = startOf(task, frame, offset, bytes);
  if (i.dataSource) return toBytes(0);
  if (i.kind === "pipe") return toBytes(linkPages(i, physical, bytes));
  mightFault(task, i, user);
  return toBytes(moveIter(task, i, physical, bytes, Direction.ToUser));
}

/** The plain first try of copyPageFromIter; finishCopyPageFromIter follows. Context: atomic. Returns: bytes done. */
export function tryCopyPageFromIter(
  task: UserTask,
  frame: Pfn,
  offset: number,
  bytes: number,
  i: IovIter,
  user: UserAccess<unknown>,
): Bytes {
  const physical = startOf(task, frame, offset, bytes);
  if (!i.dataSource) return toBytes(0);
  mightFault(task, i, user);
  return toBytes(moveIter(task, i, physical, bytes, Direction.FromUser));
}

/**
 * Go on from a tryCopyPageToIter with the same arguments, which came as far as `done`.
 *
 * Context: as `user` says. Returns: bytes done, the `done` ones included.
 */
export function* finishCopyPageToIter<Y>(
  task: UserTask,
  frame: Pfn,
  offset: number,
  bytes: number,
  i: IovIter,
  user: UserAccess<Y>,
  done: number,
): Generator<Sleep | Y, Bytes, void> {
  if (i.dataSource || i.kind === "pipe") return toBytes(done);
  const again = i.revision.pageToIterTriesAgain;
  return toBytes(yield* finishPages(task, i, pageAddress(frame) + offset, bytes, Direction.ToUser, user, done, again));
}

/** Go on from a tryCopyPageFromIter. Context: as `user` says. Returns: bytes done, the `done` ones included. */
export function* finishCopyPageFromIter<Y>(
  task: UserTask,
  frame: Pfn,
  offset: number,
  bytes: number,
  i: IovIter,
  user: UserAccess<Y>,
  done: number,
): Generator<Sleep | Y, Bytes, void> {
  if (!i.dataSource) return toBytes(done);
  const again = i.revision.pageFromIterTriesAgain;
  return toBytes(
    yield* finishPages(task, i, pageAddress(frame) + offset, bytes, Direction.FromUser, user, done, again),
  );
}

/**
 * Copy into the iterator from pages. A pipe gets references to the pages instead.
 *
 * Since 5.14 a page that was copied in part is tried once more from there, so that a fault that stays is
 * taken twice.
 *
 * Context: as `user` says. Returns: bytes done. Linux: copy_page_to_iter()
 */
export function* copyPageToIter<Y>(
  task: UserTask,
  frame: Pfn,
  offset: number,
  bytes: number,
  i: IovIter,
  user: UserAccess<Y>,
): Generator<Sleep | Y, Bytes, void> {
  const done = tryCopyPageToIter(task, frame, offset, bytes, i, user);
  return done === bytes ? done : yield* finishCopyPageToIter(task, frame, offset, bytes, i, user, done);
}

/** Copy from the iterator into pages. Context: as `user` says. Returns: bytes done. Linux: copy_page_from_iter() */
export function* copyPageFromIter<Y>(
  task: UserTask,
  frame: Pfn,
  offset: number,
  bytes: number,
  i: IovIter,
  user: UserAccess<Y>,
): Generator<Sleep | Y, Bytes, void> {
  const done = tryCopyPageFromIter(task, frame, offset, bytes, i, user);
  return done === bytes ? done : yield* finishCopyPageFromIter(task, frame, offset, bytes, i, user, done);
}

/**
 * Finish a move that fell short with `short` bytes done, one page of the kernel's side after the other.
 *
 * `again`: a page that moved in part is tried again from there.
 */
function* finishPages<Y>(
  task: UserTask,
  i: IovIter,
  physical: number,
  size: number,
  direction: Direction,
  user: UserAccess<Y>,
  short: number,
  again: boolean,
): Generator<Sleep | Y, number, void> {
  let done = short;
  // Where the page, or the second try within it, began.
  let start = done - Math.min(done, offsetInPage(physical + done));
  while (done < size && i.count > 0) {
    const part = Math.min(size - start, PAGE_SIZE - offsetInPage(physical + start));
    const moved = yield* finishMove(task, i, physical + start, part, direction, user, done - start);
    start += moved;
    if (moved === 0 || (moved < part && !again)) return start;
    done = start + moveIter(task, i, physical + start, size - start, direction);
    start = done - Math.min(done - start, offsetInPage(physical + done));
  }
  return done;
}

function linkPages(i: IovIter, physical: number, size: number): number {
  let done = 0;
  while (done < size) {
    const at = physical + done;
    const part = Math.min(size - done, PAGE_SIZE - offsetInPage(at));
    const linked = linkPageToPipe(i, pageOf(at), offsetInPage(at), part);
    done += linked;
    if (linked < part) break;
  }
  return done;
}

/** Run a generator that has no reason to sleep: one with FAULTS_DISABLED. */
function atomically<T>(steps: Generator<unknown, T, void>): T {
  const step = steps.next();
  bugOn(step.done !== true, "a copy with page faults disabled slept");
  return step.value as T;
}

/** The physical address of the first byte; an error if the arguments name memory that is not there. */
function startOf(task: UserTask, frame: Pfn, offset: number, size: number): number {
  const { frames } = task.mm.mem;
  // The common case in one condition, as a copy takes little longer than full checks.
  const good = isInt32(frame) && isInt32(offset) && isInt32(size) && frame >= 1 && offset >= 0 && size >= 0;
  if (!good || offset + size > (frames - frame) * PAGE_SIZE) checkFrames(frames, frame, offset, size);
  return pageAddress(frame) + offset;
}

function isInt32(value: number): boolean {
  return typeof value === "number" && (value | 0) === value;
}

function checkFrames(frames: number, frame: Pfn, offset: number, size: number): void {
  checkInteger(frame, "frame", 1, frames - 1);
  const room = (frames - frame) * PAGE_SIZE;
  checkInteger(offset, "offset", 0, room);
  checkInteger(size, "bytes", 0, Math.min(room - offset, MAX_RW_COUNT));
}
