// As first released (5.16, 5.17): the glock is kept while the buffer is faulted in, one page at a time, but on
// call: whoever needs it meanwhile takes it away (HIF_MAY_DEMOTE). Whether it is still there is looked at after.

import { EAGAIN, EFAULT, ENOTBLK, err, type MayFault, RetryGuard, type Ssize } from "@faultline/kernel";
import { FAULTS_ENABLED, type UserTask } from "@faultline/mm";
import { faultInIovIterReadable, faultInIovIterWriteable, type IovIter } from "@faultline/uio";
import { genericFileReadIter } from "../../cache/generic-read-iter.ts";
import { IOCB_NOIO, IOCB_NOWAIT, type Kiocb } from "../../vfs/kiocb.ts";
import { Gfs2Holder } from "../glock.ts";
import {
  gfs2GlockDq,
  gfs2GlockNq,
  gfs2HolderAllowDemote,
  gfs2HolderDisallowDemote,
  gfs2HolderQueued,
} from "../glock-queue.ts";
import type { Gfs2Inode } from "../inode.ts";
import { LM_ST_DEFERRED, LM_ST_EXCLUSIVE, LM_ST_SHARED } from "../lm.ts";
import { type FaultInWindow, shouldFaultInOnePage } from "../window.ts";
import { tryDirect, tryRead, tryWrite } from "./nofault.ts";

/**
 * Read what is cached without the glock and with faults enabled, then the rest under it.
 *
 * Context: may fault; the glock may be held then, but can be taken away.
 * Returns: bytes read, fewer than there are if the glock was lost in between; an error if none.
 * Linux:   gfs2_file_read_iter(), its buffered part
 */
export function* bufferedRead516(task: UserTask, iocb: Kiocb, to: IovIter): MayFault<Ssize> {
  iocb.flags |= IOCB_NOIO;
  let ret = yield* genericFileReadIter(task, iocb, to, FAULTS_ENABLED);
  iocb.flags &= ~IOCB_NOIO;
  if (ret >= 0 && to.count === 0) return ret;
  if (ret < 0 && (ret !== err(EAGAIN) || (iocb.flags & IOCB_NOWAIT) !== 0)) return ret;
  let read = Math.max(ret, 0);
  const holder = new Gfs2Holder((iocb.file.inode as Gfs2Inode).glock, LM_ST_SHARED, 0, "gfs2_file_read_iter");
  const window: FaultInWindow = { prevCount: 0, size: 0 };
  const guard = new RetryGuard("gfs2_file_read_iter");
  for (;;) {
    if (!gfs2HolderQueued(holder)) {
      const status = yield* gfs2GlockNq(task, holder);
      if (status !== 0) return (read > 0 ? read : status) as Ssize;
    }
    ret = yield* tryRead(task, iocb, to);
    read += Math.max(ret, 0);
    if (!(yield* faultInOnCall(task, holder, iocb, to, ret, window))) break;
    if (read > 0 && !gfs2HolderQueued(holder)) break;
    guard.again(`${read} bytes read, ${to.count} left`);
  }
  if (gfs2HolderQueued(holder)) gfs2GlockDq(task, holder);
  return (read > 0 ? read : ret) as Ssize;
}

/**
 * Write under the glock; after a fault-in, no more than what was faulted in.
 *
 * That limit keeps a short copy into a page that is not uptodate from being thrown away again and again. It
 * stays behind in `from` when the glock was lost, which callers that look at the rest get wrong.
 *
 * Context: may fault; the glock may be held then, but can be taken away.
 * Returns: bytes written, fewer than there are if the glock was lost in between; an error if none.
 * Linux:   gfs2_file_buffered_write()
 */
function* gfs2FileBufferedWrite(task: UserTask, iocb: Kiocb, from: IovIter): MayFault<Ssize> {
  const { glock, ino } = iocb.file.inode as Gfs2Inode;
  const holder = new Gfs2Holder(glock, LM_ST_EXCLUSIVE, 0, "gfs2_file_buffered_write");
  const whole = from.count;
  const window: FaultInWindow = { prevCount: 0, size: 0 };
  const guard = new RetryGuard("gfs2_file_buffered_write");
  let written = 0;
  let ret: Ssize;
  task.world.trace?.emit(task, "gfs2_file_buffered_write", ino);
  for (;;) {
    if (!gfs2HolderQueued(holder)) {
      ret = (yield* gfs2GlockNq(task, holder)) as Ssize;
      if (ret !== 0) break;
    }
    ret = yield* tryWrite(task, iocb, from);
    written += Math.max(ret, 0);
    from.count = whole - written;
    if (!(yield* faultInOnCall(task, holder, iocb, from, ret, window))) break;
    from.count = Math.min(from.count, window.size);
    if (written > 0 && !gfs2HolderQueued(holder)) break;
    guard.again(`${written} bytes written, ${whole - written} left`);
  }
  if (gfs2HolderQueued(holder)) gfs2GlockDq(task, holder);
  ret = (written > 0 ? written : ret) as Ssize;
  task.world.trace?.emit(task, "gfs2_file_buffered_write_ret", ret);
  return ret;
}

/** Linux: gfs2_file_direct_read() */
function* gfs2FileDirectRead(task: UserTask, iocb: Kiocb, to: IovIter): MayFault<Ssize> {
  if (to.count === 0) return 0 as Ssize;
  return yield* direct(task, iocb, to, "gfs2_file_direct_read");
}

/** Writes beyond the end of the file, and into holes, are left to the page cache. Linux: gfs2_file_direct_write() */
function gfs2FileDirectWrite(task: UserTask, iocb: Kiocb, from: IovIter): MayFault<Ssize> {
  return direct(task, iocb, from, "gfs2_file_direct_write");
}

/**
 * Read or write directly. A glock that was lost is taken again: direct I/O promises no atomicity.
 *
 * Context: may fault; the glock may be held then, but can be taken away.
 * Returns: bytes; an error hides what was done before it.
 */
function* direct(task: UserTask, iocb: Kiocb, iter: IovIter, ip: string): MayFault<Ssize> {
  const holder = new Gfs2Holder((iocb.file.inode as Gfs2Inode).glock, LM_ST_DEFERRED, 0, ip);
  const window: FaultInWindow = { prevCount: 0, size: 0 };
  const guard = new RetryGuard(ip);
  let done = 0;
  let ret: Ssize;
  for (;;) {
    if (!gfs2HolderQueued(holder)) {
      const status = yield* gfs2GlockNq(task, holder);
      if (status !== 0) return status as Ssize;
    }
    ret = yield* tryDirect(task, iocb, iter, done);
    if (iter.dataSource && ret === err(ENOTBLK)) ret = 0 as Ssize;
    // Cumulative: earlier tries are in it.
    if (ret > 0) done = ret;
    if (!(yield* faultInOnCall(task, holder, iocb, iter, ret, window))) break;
    guard.again(`${done} bytes done, ${iter.count} left`);
  }
  if (gfs2HolderQueued(holder)) gfs2GlockDq(task, holder);
  return ret < 0 ? ret : (done as Ssize);
}

/**
 * After a try that returned `ret`: fault the next window in, with the glock on call.
 *
 * Context: may fault. Returns: true to try again; `window.size` is what could be had, and the holder may be gone.
 */
function* faultInOnCall(
  task: UserTask,
  holder: Gfs2Holder,
  iocb: Kiocb,
  i: IovIter,
  ret: Ssize,
  window: FaultInWindow,
): MayFault<boolean> {
  if ((ret <= 0 && ret !== err(EFAULT)) || !shouldFaultInOnePage(task, i, iocb, window)) return false;
  const faultIn = i.dataSource ? faultInIovIterReadable : faultInIovIterWriteable;
  gfs2HolderAllowDemote(holder);
  window.size -= yield* faultIn(task, i, window.size);
  gfs2HolderDisallowDemote(holder);
  return window.size > 0;
}

export {
  gfs2FileBufferedWrite as bufferedWrite516,
  gfs2FileDirectRead as directRead516,
  gfs2FileDirectWrite as directWrite516,
};
