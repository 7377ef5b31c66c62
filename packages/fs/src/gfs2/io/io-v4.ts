// The patch series under discussion in July 2021: faults are disabled under the glock, which is dropped after
// every try; then all of the rest of the buffer is faulted in, or the call is over.
//
// All or nothing is what the thread objects to: one page that cannot be had makes a call fail that had plenty.
// And a fault-in that reports success where the next try needs more goes round for ever.

import { EAGAIN, EFAULT, ENOTBLK, err, type MayFault, RetryGuard, type Ssize } from "@faultline/kernel";
import { FAULTS_ENABLED, type UserTask } from "@faultline/mm";
import { type IovIter, iovIterFaultInReadable, iovIterFaultInWriteable, iterIsIovec } from "@faultline/uio";
import { genericFileReadIter } from "../../cache/generic-read-iter.ts";
import { IOCB_NOIO, IOCB_NOWAIT, type Kiocb } from "../../vfs/kiocb.ts";
import type { Gfs2Inode } from "../inode.ts";
import { DIO_FAST_ONLY } from "./dio-access.ts";
import { directLocked, readLocked, tryWrite } from "./nofault.ts";

/**
 * Read what is cached without the glock and with faults enabled, then the rest under it with faults disabled.
 *
 * Context: may fault, never while the glock is held. Returns: bytes read, or an error if none.
 * Linux:   gfs2_file_read_iter(), its buffered part, "[PATCH v4 3/8] gfs2: Fix mmap + page fault deadlocks for buffered I/O"
 */
export function* bufferedReadV4(task: UserTask, iocb: Kiocb, to: IovIter): MayFault<Ssize> {
  iocb.flags |= IOCB_NOIO;
  let ret = yield* genericFileReadIter(task, iocb, to, FAULTS_ENABLED);
  iocb.flags &= ~IOCB_NOIO;
  if (ret >= 0 && to.count === 0) return ret;
  if (ret < 0 && (ret !== err(EAGAIN) || (iocb.flags & IOCB_NOWAIT) !== 0)) return ret;
  let read = Math.max(ret, 0);
  const guard = new RetryGuard("gfs2_file_read_iter");
  for (;;) {
    ret = yield* readLocked(task, iocb, to, iocb.file.inode as Gfs2Inode);
    read += Math.max(ret, 0);
    if (!(yield* faultInRest(task, to, ret))) break;
    guard.again(`${read} bytes read, ${to.count} left`);
  }
  return (read > 0 ? read : ret) as Ssize;
}

/**
 * Write under the glock that iomap takes for each extent. Only a write that got nowhere is tried again: one that
 * fell short is returned as it is.
 *
 * Context: may fault, never while the glock is held. Returns: bytes written by the last try, or an error if none.
 * Linux:   gfs2_file_buffered_write(), the same patch
 */
function* gfs2FileBufferedWrite(task: UserTask, iocb: Kiocb, from: IovIter): MayFault<Ssize> {
  const guard = new RetryGuard("gfs2_file_buffered_write");
  for (;;) {
    const ret = yield* tryWrite(task, iocb, from);
    if (ret !== err(EFAULT) || !(yield* faultInRest(task, from, ret))) return ret;
    guard.again(`${from.count} bytes left`);
  }
}

/**
 * Read directly, and go on where the buffer ran out.
 *
 * Context: may fault, never while the glock is held. Returns: bytes read; an error hides what was read before it.
 * Linux:   gfs2_file_direct_read(), "[PATCH v4 8/8] gfs2: Fix mmap + page fault deadlocks for direct I/O"
 */
function* gfs2FileDirectRead(task: UserTask, iocb: Kiocb, to: IovIter): MayFault<Ssize> {
  if (to.count === 0) return 0 as Ssize;
  const inode = iocb.file.inode as Gfs2Inode;
  const guard = new RetryGuard("gfs2_file_direct_read");
  let read = 0;
  for (;;) {
    const ret = yield* directLocked(task, iocb, to, inode, read, "gfs2_file_direct_read", DIO_FAST_ONLY);
    if (ret > 0) read = ret;
    if (!(yield* faultInRest(task, to, ret))) return ret < 0 ? ret : (read as Ssize);
    guard.again(`${read} bytes read, ${to.count} left`);
  }
}

/**
 * Write directly. What was written before the buffer ran out is left at that; the rest goes through the page cache.
 *
 * Context: may fault, never while the glock is held. Returns: bytes written directly; an error if none were.
 * Linux:   gfs2_file_direct_write(), the same patch
 */
function* gfs2FileDirectWrite(task: UserTask, iocb: Kiocb, from: IovIter): MayFault<Ssize> {
  const inode = iocb.file.inode as Gfs2Inode;
  const guard = new RetryGuard("gfs2_file_direct_write");
  for (;;) {
    const ret = yield* directLocked(task, iocb, from, inode, 0, "gfs2_file_direct_write", DIO_FAST_ONLY);
    if (ret === err(ENOTBLK)) return 0 as Ssize;
    if (ret !== err(EFAULT) || !(yield* faultInRest(task, from, ret))) return ret;
    guard.again(`${from.count} bytes left`);
  }
}

/** After a try that fell short: have the whole rest of the buffer, for reading or for writing. Returns: true to try again. */
function* faultInRest(task: UserTask, i: IovIter, ret: Ssize): MayFault<boolean> {
  if (i.count === 0 || (ret <= 0 && ret !== err(EFAULT)) || !iterIsIovec(i)) return false;
  const faultIn = i.dataSource ? iovIterFaultInReadable : iovIterFaultInWriteable;
  return (yield* faultIn(task, i, i.count)) === 0;
}

export {
  gfs2FileBufferedWrite as bufferedWriteV4,
  gfs2FileDirectRead as directReadV4,
  gfs2FileDirectWrite as directWriteV4,
};
