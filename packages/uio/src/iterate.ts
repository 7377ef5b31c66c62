// Walking an iterator: the bytes of its next pieces are copied out, copied in, or zeroed, and its position
// follows (include/linux/iov_iter.h).
//
// The kernel's side is a physical address, from which memory is contiguous. `moveIter` is plain: it goes as
// far as user memory is there. `finishMove` is the generator that takes over from it: hot paths start one
// only when a fault has to be handled. All return bytes done, and the iterator has moved by just that.

import { bugOn, PAGE_SIZE, pageIndex, type Sleep, type Uncopied } from "@faultline/kernel";
import { accessOk, Direction, moveUser, pageAddress, pageOf, type UserAccess, type UserTask } from "@faultline/mm";
import { atEndOfBatch, enterNextBatch, folioSize } from "./advance.ts";
import type { FolioQueue } from "./folio-queue.ts";
import { type IovIter, userBackedIter } from "./iov-iter.ts";

/**
 * Move up to `size` bytes between physical memory at `kernel` and the iterator, as far as they are there.
 *
 * Context: atomic; not for pipes. A fault is noted in the task, and left to finishMove.
 * Returns: bytes done.
 */
export function moveIter(task: UserTask, i: IovIter, kernel: number, size: number, direction: Direction): number {
  const wanted = Math.min(size, i.count);
  if (wanted === 0) return 0;
  if (i.kind === "ubuf") {
    const address = i.ubuf + i.iovOffset;
    if (!accessOk(address, wanted)) return 0;
    const done = wanted - moveUser(task, address, kernel, wanted, direction, 0);
    i.iovOffset += done;
    i.count -= done;
    return done;
  }
  if (i.kind === "iovec" || i.kind === "kvec" || i.kind === "bvec") return moveVec(task, i, kernel, wanted, direction);
  if (i.kind === "folioq") return moveFolioq(task, i, kernel, wanted, direction);
  if (i.kind === "xarray") return moveXarray(task, i, kernel, wanted, direction);
  bugOn(i.kind === "pipe", "a pipe iterator is walked by its own functions");
  i.count -= wanted;
  return wanted;
}

function moveVec(task: UserTask, i: IovIter, kernel: number, wanted: number, direction: Direction): number {
  const user = i.kind === "iovec";
  let done = 0;
  while (done < wanted) {
    bugOn(i.segment >= i.segments.length, "iterator has fewer bytes than its count says");
    const { base, len } = i.segments[i.segment];
    const part = Math.min(wanted - done, len - i.iovOffset);
    if (part > 0) {
      const address = base + i.iovOffset;
      let moved = part;
      if (!user) moveKernel(task, address, kernel + done, part, direction);
      else if (!accessOk(address, part)) break;
      else moved -= moveUser(task, address, kernel + done, part, direction, 0);
      done += moved;
      i.count -= moved;
      i.iovOffset += moved;
      if (i.iovOffset < len) break;
    }
    i.segment++;
    i.iovOffset = 0;
  }
  return done;
}

function moveFolioq(task: UserTask, i: IovIter, kernel: number, wanted: number, direction: Direction): number {
  enterNextBatch(i);
  let done = 0;
  while (done < wanted && !atEndOfBatch(i)) {
    const size = folioSize(i);
    const { page } = (i.folioq as FolioQueue).folios[i.segment];
    const part = Math.min(wanted - done, size - i.iovOffset);
    if (part > 0) moveKernel(task, pageAddress(page) + i.iovOffset, kernel + done, part, direction);
    done += part;
    i.iovOffset += part;
    if (i.iovOffset < size) break;
    i.iovOffset = 0;
    i.segment++;
    enterNextBatch(i);
  }
  i.count -= done;
  return done;
}

function moveXarray(task: UserTask, i: IovIter, kernel: number, wanted: number, direction: Direction): number {
  const { mapping, start } = i.xarray as NonNullable<IovIter["xarray"]>;
  for (let done = 0; done < wanted; ) {
    const position = start + i.iovOffset;
    const page = mapping.find(pageIndex(position));
    bugOn(page === 0, "xarray iterator over a page that is not in the cache");
    const offset = position % PAGE_SIZE;
    const part = Math.min(wanted - done, PAGE_SIZE - offset);
    moveKernel(task, pageAddress(page) + offset, kernel + done, part, direction);
    done += part;
    i.iovOffset += part;
  }
  i.count -= wanted;
  return wanted;
}

/** Move bytes within physical memory; `memory` is the iterator's side. */
function moveKernel(task: UserTask, memory: number, kernel: number, size: number, direction: Direction): void {
  const { u8 } = task.mm.mem;
  bugOn(memory + size > u8.length, "iterator beyond the end of memory");
  if (task.world.accesses !== null) logAccess(task, memory, kernel, size, direction);
  if (direction === Direction.FromUser) u8.copyWithin(kernel, memory, memory + size);
  else if (direction === Direction.ToUser) u8.copyWithin(memory, kernel, kernel + size);
  else u8.fill(0, memory, memory + size);
}

/** Tell whoever explores schedules which pages a move touches. */
function logAccess(task: UserTask, memory: number, kernel: number, size: number, direction: Direction): void {
  const log = task.world.accesses;
  const { mem } = task.mm;
  const touch = (from: number, write: boolean): void => {
    for (let page = pageOf(from); pageAddress(page) < from + size; page++) {
      if (write) log?.write(mem.bytesId(page));
      else log?.read(mem.bytesId(page));
    }
  };
  touch(memory, direction !== Direction.FromUser);
  if (direction !== Direction.Clear) touch(kernel, direction === Direction.FromUser);
}

/**
 * Take over from a moveIter of `size` bytes that has just fallen short, with `short` bytes done: handle its
 * fault and go on.
 *
 * Context: as `user` says; not for pipes. Returns: bytes done, the `short` ones included.
 */
export function* finishMove<Y>(
  task: UserTask,
  i: IovIter,
  kernel: number,
  size: number,
  direction: Direction,
  user: UserAccess<Y>,
  short: number,
): Generator<Sleep | Y, number, void> {
  const wanted = Math.min(size, i.count + short);
  let done = short;
  while (done < wanted && userBackedIter(i)) {
    // The piece that fell short, from where this move began it: each piece is one call of a copy routine.
    const before = i.kind === "ubuf" ? done : Math.min(done, i.iovOffset);
    const rest = i.kind === "ubuf" ? wanted - done : Math.min(wanted - done, i.segments[i.segment].len - i.iovOffset);
    const address = (i.kind === "ubuf" ? i.ubuf : i.segments[i.segment].base) + i.iovOffset - before;
    if (!accessOk(address, before + rest)) break;
    const left = yield* user.finish(task, address, kernel + done - before, before + rest, rest as Uncopied, direction);
    done += rest - left;
    i.count -= rest - left;
    i.iovOffset += rest - left;
    if (left > 0) break;
    if (i.kind === "iovec" && i.iovOffset === i.segments[i.segment].len) {
      i.segment++;
      i.iovOffset = 0;
    }
    done += moveIter(task, i, kernel + done, wanted - done, direction);
  }
  return done;
}

/** Tell lockdep that a copy may fault here, resident or not. Linux: might_fault() */
export function mightFault(task: UserTask, i: IovIter, user: UserAccess<unknown>): void {
  if (task.world.lockdep !== null && user.faults && userBackedIter(i)) task.world.lockdep.mightFault(task);
}

/** What is left of the first segment that is not empty. Linux: first_iovec_segment() */
export function firstSegment(i: IovIter): { base: number; len: number } {
  if (i.kind === "ubuf") return { base: i.ubuf + i.iovOffset, len: i.count };
  let { segment } = i;
  let skip = i.iovOffset;
  for (; i.segments[segment].len === skip; skip = 0) segment++;
  const { base, len } = i.segments[segment];
  return { base: base + skip, len: len - skip };
}
