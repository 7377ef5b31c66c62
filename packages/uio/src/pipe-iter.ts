// Iterators over a pipe (lib/iov_iter.c until 6.4). Copying into one appends buffers: pages of files are
// linked, other bytes go to pages allocated here. Moving the iterator back takes buffers out again.
//
// iovOffset is the end of the bytes in the buffer `head`; 0 means that the next copy begins a buffer.

import { bugOn, type MaySleep, PAGE_SIZE, type Pfn } from "@faultline/kernel";
import { allocPage, getPage, pageAddress, type UserTask } from "@faultline/mm";
import type { IovIter, PipeCursor } from "./iov-iter.ts";
import { pipeBuf, pipeBufRelease, pipeFull } from "./pipe-buffers.ts";

/**
 * Link the bytes of a page into the pipe; nothing is copied.
 *
 * Context: atomic. Returns: bytes done: all that the iterator still wants, or 0 when the pipe is full.
 * Linux:   copy_page_to_iter_pipe()
 */
export function linkPageToPipe(i: IovIter, page: Pfn, offset: number, size: number): number {
  const cursor = cursorOf(i);
  const { buffers } = cursor;
  const n = Math.min(size, i.count);
  if (n === 0) return 0;
  checkCursor(i);
  const off = i.iovOffset;
  const merges = off > 0 && offset === off && pipeBuf(buffers, cursor.head).page === page;
  if (merges) {
    pipeBuf(buffers, cursor.head).len += n;
  } else {
    const head = off > 0 ? cursor.head + 1 : cursor.head;
    if (pipeFull(head, buffers.tail, buffers.maxUsage)) return 0;
    getPage(buffers.mem, page);
    buffers.bufs[head % buffers.bufs.length] = { page, offset, len: n, anon: false };
    buffers.head = head + 1;
    cursor.head = head;
  }
  i.iovOffset = offset + n;
  i.count -= n;
  return n;
}

/** A place in the pipe: the buffer that `head` counts, and a byte in its page. */
interface PipePlace {
  readonly head: number;
  readonly offset: number;
}

/** Where the next bytes go that are copied, not linked. Linux: data_start() */
export function pipeStart(i: IovIter): PipePlace {
  const { buffers, head } = cursorOf(i);
  const off = i.iovOffset;
  if (off > 0 && (!pipeBuf(buffers, head).anon || off === PAGE_SIZE)) return { head: head + 1, offset: 0 };
  return { head, offset: off };
}

/** Bytes that the page holds to which the next bytes are added; 0 when they begin a page or are linked. */
export function pipeOffset(i: IovIter): number {
  const { buffers, head } = cursorOf(i);
  return i.iovOffset > 0 && pipeBuf(buffers, head).anon ? i.iovOffset : 0;
}

/** Pages that can still be filled, one filled in part included. Linux: pipe_space_for_user() */
export function pipeSpace(i: IovIter): number {
  const { buffers } = cursorOf(i);
  return Math.max(0, buffers.maxUsage - (pipeStart(i).head - buffers.tail));
}

/**
 * Make room for `size` bytes behind what the pipe holds: the rest of the last page, and new pages.
 *
 * Context: sleeps (memory). Returns: bytes for which there is room; the iterator has not moved.
 * Linux:   push_pipe()
 */
export function* pushPipe(task: UserTask, i: IovIter, size: number): MaySleep<number> {
  const { buffers } = cursorOf(i);
  const wanted = Math.min(size, i.count);
  const { head: first, offset } = pipeStart(i);
  let head = first;
  let room = 0;
  if (offset > 0 && wanted > 0) {
    room = Math.min(wanted, PAGE_SIZE - offset);
    pipeBuf(buffers, head).len += room;
    head++;
  }
  while (room < wanted && !pipeFull(head, buffers.tail, buffers.maxUsage)) {
    const page = yield* allocPage(task, task.mm.mem, false);
    if (page === 0) break;
    const len = Math.min(wanted - room, PAGE_SIZE);
    buffers.bufs[head % buffers.bufs.length] = { page, offset: 0, len, anon: true };
    room += len;
    buffers.head = ++head;
  }
  return room;
}

/**
 * Append `size` bytes; `fill` puts `n` of them, from byte `done` on, at a physical address.
 *
 * Context: sleeps (memory). Returns: bytes done. Linux: copy_pipe_to_iter(), pipe_zero()
 */
export function* appendToPipe(
  task: UserTask,
  i: IovIter,
  size: number,
  fill: (physical: number, done: number, n: number) => void,
): MaySleep<number> {
  const cursor = cursorOf(i);
  checkCursor(i);
  let { head, offset } = pipeStart(i);
  const room = yield* pushPipe(task, i, size);
  for (let done = 0; done < room; ) {
    const n = Math.min(room - done, PAGE_SIZE - offset);
    fill(pageAddress(pipeBuf(cursor.buffers, head).page) + offset, done, n);
    cursor.head = head++;
    i.iovOffset = offset + n;
    offset = 0;
    done += n;
  }
  i.count -= room;
  return room;
}

/** Skip bytes that pushPipe made room for, and give back the rest. Context: atomic. Linux: pipe_advance() */
export function pipeAdvance(i: IovIter, size: number): void {
  const cursor = cursorOf(i);
  if (size > 0) {
    let n = size;
    if (i.iovOffset > 0) n += i.iovOffset - pipeBuf(cursor.buffers, cursor.head).offset;
    while (n > pipeBuf(cursor.buffers, cursor.head).len) n -= pipeBuf(cursor.buffers, cursor.head++).len;
    i.iovOffset = pipeBuf(cursor.buffers, cursor.head).offset + n;
    i.count -= size;
  }
  pipeTruncate(i);
}

/** Take the last `unroll` bytes out of the pipe again. Context: atomic. Linux: iov_iter_revert(), ITER_PIPE */
export function pipeRevert(i: IovIter, unroll: number): void {
  const cursor = cursorOf(i);
  i.count += unroll;
  let n = unroll;
  let off = i.iovOffset;
  for (;;) {
    const filled = off > 0 ? off - pipeBuf(cursor.buffers, cursor.head).offset : 0;
    if (n < filled) {
      off -= n;
      break;
    }
    n -= filled;
    if (n === 0 && cursor.head === cursor.startHead) {
      off = 0;
      break;
    }
    bugOn(cursor.head === cursor.startHead, "iov_iter_revert beyond the start");
    const { offset, len } = pipeBuf(cursor.buffers, --cursor.head);
    off = offset + len;
  }
  i.iovOffset = off;
  pipeTruncate(i);
}

/** Drop what lies behind the iterator's position. Linux: pipe_truncate() */
function pipeTruncate(i: IovIter): void {
  const { buffers, head } = cursorOf(i);
  let end = head;
  if (i.iovOffset > 0) {
    const buf = pipeBuf(buffers, end++);
    buf.len = i.iovOffset - buf.offset;
  }
  while (buffers.head > end) pipeBufRelease(buffers, --buffers.head);
}

function cursorOf(i: IovIter): PipeCursor {
  return i.pipe as PipeCursor;
}

/** The iterator stands at the end of what the pipe holds. Linux: sanity() */
function checkCursor(i: IovIter): void {
  const { buffers, head } = cursorOf(i);
  const atEnd = i.iovOffset > 0 ? head === buffers.head - 1 && endOf(i) === i.iovOffset : head === buffers.head;
  bugOn(!atEnd, "somebody else has put bytes into the pipe");
}

function endOf(i: IovIter): number {
  const { buffers, head } = cursorOf(i);
  const { offset, len } = pipeBuf(buffers, head);
  return offset + len;
}
