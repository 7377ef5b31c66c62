// The fix as it stands (5.18 on): what runs under the glock cannot fault, and its type says so. When it falls
// short, the glock is dropped, the buffer is faulted in by hand, and the glock is taken again.
//
// Between 5.18 and today this changed in two places that show: how often a buffered write looks at the window
// rule (`ruleTwice`), and how a direct write that never makes progress ends (`boundedRetries`).

import { EAGAIN, EFAULT, ENOTBLK, err, type MayFault, PAGE_SIZE, RetryGuard, type Ssize } from "@faultline/kernel";
import type { UserTask } from "@faultline/mm";
import { faultInIovIterReadable, faultInIovIterWriteable, type IovIter, isIterFaultedIn } from "@faultline/uio";
import { IOCB_NOIO, IOCB_NOWAIT, type Kiocb } from "../../vfs/kiocb.ts";
import type { Gfs2Inode } from "../inode.ts";
import type { Gfs2Io } from "../revision.ts";
import { type FaultInWindow, shouldFaultInPages, type WindowRule, windowAfterProgress } from "../window.ts";
import { directLocked, readLocked, tryRead, writeLocked } from "./nofault.ts";
import { readResident, writeResidentIn } from "./resident.ts";

/**
 * Read what is cached without the glock, then the rest under it.
 *
 * Also the first, lockless pass disables faults: it holds references to pages, which were thought to keep another
 * node from taking them away while a fault waits for that node.
 *
 * Context: may fault, never while the glock is held.
 * Returns: bytes read, or an error if none.
 * Linux:   gfs2_file_read_iter(), its buffered part
 */
export const bufferedReadWith = (rule: WindowRule): Gfs2Io =>
  Object.assign<Gfs2Io, Partial<Gfs2Io>>((task, iocb, to) => bufferedRead(task, iocb, to, rule), {
    whenResident: readResident,
  });

function* bufferedRead(task: UserTask, iocb: Kiocb, to: IovIter, rule: WindowRule): MayFault<Ssize> {
  const inode = iocb.file.inode as Gfs2Inode;
  iocb.flags |= IOCB_NOIO;
  let ret = yield* tryRead(task, iocb, to);
  iocb.flags &= ~IOCB_NOIO;
  if (ret >= 0 && to.count === 0) return ret;
  if (ret < 0 && ret !== err(EFAULT) && (ret !== err(EAGAIN) || (iocb.flags & IOCB_NOWAIT) !== 0)) return ret;
  let read = Math.max(ret, 0);
  const window: FaultInWindow = { prevCount: 0, size: 0 };
  const guard = new RetryGuard("gfs2_file_read_iter");
  for (;;) {
    ret = yield* readLocked(task, iocb, to, inode);
    if (ret <= 0 && ret !== err(EFAULT)) break;
    read += Math.max(ret, 0);
    if (!rule(task, to, iocb, window)) break;
    window.size -= yield* faultInIovIterWriteable(task, to, window.size);
    if (window.size === 0) break;
    guard.again(`${read} bytes read, ${to.count} left`);
  }
  return (read > 0 ? read : ret) as Ssize;
}

/**
 * Fault a window of the source in, write it under the glock, and so on.
 *
 * The source comes first, before the first try: blocks are then allocated for as much as can be written.
 *
 * `ruleTwice`: until 6.4 the rule was asked once more at the beginning of each further round. By then nothing had
 * changed since the first answer, which it takes for a round without progress: windows of one page.
 *
 * Context: may fault, never while the glock is held.
 * Returns: bytes written, or an error if none.
 * Linux:   gfs2_file_buffered_write()
 */
export const bufferedWriteWith = (ruleTwice: boolean): Gfs2Io =>
  Object.assign<Gfs2Io, Partial<Gfs2Io>>(
    (task, iocb, from) => gfs2FileBufferedWrite(task, iocb, from, ruleTwice),
    ruleTwice ? {} : { whenResident: writeResidentIn((task, _inode, pos) => windowAfterProgress(task, pos)) },
  );

function* gfs2FileBufferedWrite(task: UserTask, iocb: Kiocb, from: IovIter, ruleTwice: boolean): MayFault<Ssize> {
  const inode = iocb.file.inode as Gfs2Inode;
  const whole = from.count;
  const window: FaultInWindow = { prevCount: 0, size: 0 };
  let guard: RetryGuard | null = null;
  let written = 0;
  let ret = 0 as Ssize;
  task.world.trace?.emit(task, "gfs2_file_buffered_write", inode.ino);
  let faultIn = shouldFaultInPages(task, from, iocb, window);
  for (;;) {
    if (faultIn) {
      if (isIterFaultedIn(task, from, window.size)) window.size = Math.min(window.size, from.count);
      else window.size -= yield* faultInIovIterReadable(task, from, window.size);
      if (window.size === 0) {
        ret = err(EFAULT);
        break;
      }
      from.count = Math.min(from.count, window.size);
    }
    ret = yield* writeLocked(task, iocb, from, inode);
    if (ret > 0) written += ret;
    if (ret <= 0 && ret !== err(EFAULT)) break;
    from.count = whole - written;
    faultIn = shouldFaultInPages(task, from, iocb, window);
    if (!faultIn) break;
    if (ruleTwice) faultIn = shouldFaultInPages(task, from, iocb, window);
    guard ??= new RetryGuard("gfs2_file_buffered_write");
    guard.again(`${written} bytes written, ${from.count} left`);
  }
  from.count = whole - written;
  ret = (written > 0 ? written : ret) as Ssize;
  task.world.trace?.emit(task, "gfs2_file_buffered_write_ret", ret);
  return ret;
}

/**
 * Read directly; what was read before the buffer ran out counts.
 *
 * Context: may fault, never while the glock is held.
 * Returns: bytes read; an error hides what was read before it.
 * Linux:   gfs2_file_direct_read()
 */
export const directReadWith =
  (rule: WindowRule): Gfs2Io =>
  (task, iocb, to) =>
    gfs2FileDirectRead(task, iocb, to, rule);

function* gfs2FileDirectRead(task: UserTask, iocb: Kiocb, to: IovIter, rule: WindowRule): MayFault<Ssize> {
  const inode = iocb.file.inode as Gfs2Inode;
  if (to.count === 0) return 0 as Ssize;
  const window: FaultInWindow = { prevCount: 0, size: 0 };
  const guard = new RetryGuard("gfs2_file_direct_read");
  let read = 0;
  let ret: Ssize;
  for (;;) {
    ret = yield* directLocked(task, iocb, to, inode, read, "gfs2_file_direct_read");
    if (ret <= 0 && ret !== err(EFAULT)) break;
    // Cumulative: earlier tries are in it.
    if (ret > 0) read = ret;
    if (!rule(task, to, iocb, window)) break;
    window.size -= yield* faultInIovIterWriteable(task, to, window.size);
    if (window.size === 0) break;
    guard.again(`${read} bytes read, ${to.count} left`);
  }
  return ret < 0 ? ret : (read as Ssize);
}

/**
 * Write directly as far as blocks exist; the rest is left to the page cache.
 *
 * `boundedRetries`: since 6.4 a write that makes no progress with a single page either is left to the page
 * cache too. Before, it went round for ever: the direct write itself threw its source out of the page cache.
 *
 * Context: may fault, never while the glock is held.
 * Returns: bytes written directly, 0 to write all through the page cache; an error hides what was written before it.
 * Linux:   gfs2_file_direct_write()
 */
export const directWriteWith =
  (rule: WindowRule, boundedRetries: boolean): Gfs2Io =>
  (task, iocb, from) =>
    gfs2FileDirectWrite(task, iocb, from, rule, boundedRetries);

function* gfs2FileDirectWrite(
  task: UserTask,
  iocb: Kiocb,
  from: IovIter,
  rule: WindowRule,
  boundedRetries: boolean,
): MayFault<Ssize> {
  const inode = iocb.file.inode as Gfs2Inode;
  const window: FaultInWindow = { prevCount: 0, size: 0 };
  const guard = new RetryGuard("gfs2_file_direct_write");
  let written = 0;
  let ret: Ssize;
  for (;;) {
    ret = yield* directLocked(task, iocb, from, inode, written, "gfs2_file_direct_write");
    if (ret <= 0) {
      if (ret === err(ENOTBLK)) ret = 0 as Ssize;
      if (ret !== err(EFAULT)) break;
    }
    if (ret > 0) written = ret;
    const enough = boundedRetries && window.prevCount === from.count && window.size <= PAGE_SIZE;
    if (!rule(task, from, iocb, window)) break;
    window.size -= yield* faultInIovIterReadable(task, from, window.size);
    if (window.size === 0) break;
    if (enough) {
      ret = 0 as Ssize;
      break;
    }
    guard.again(`${written} bytes written, ${from.count} left`);
  }
  return ret < 0 ? ret : (written as Ssize);
}
