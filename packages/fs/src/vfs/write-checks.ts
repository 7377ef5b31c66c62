// What every write is checked for, and what it leaves to do (fs/read_write.c, fs/sync.c).

import { EFBIG, EINVAL, err, isErr, type MaySleep, type Ssize } from "@faultline/kernel";
import type { UserTask } from "@faultline/mm";
import { type IovIter, iovIterTruncate } from "@faultline/uio";
import { IOCB_APPEND, IOCB_DIRECT, IOCB_DSYNC, IOCB_NOWAIT, IOCB_SYNC, type Kiocb } from "./kiocb.ts";

/**
 * May this write begin, where, and how long may it be? Moves iocb.pos for IOCB_APPEND, truncates `from`.
 *
 * Context: atomic; i_rwsem held. Returns: bytes, 0 for nothing to do, -EINVAL, or -EFBIG.
 * Linux: generic_write_checks()
 */
export function genericWriteChecks(task: UserTask, iocb: Kiocb, from: IovIter): Ssize {
  const { inode } = iocb.file;
  if (from.count === 0) return 0 as Ssize;
  if ((iocb.flags & IOCB_APPEND) !== 0) iocb.pos = inode.size;
  if ((iocb.flags & IOCB_NOWAIT) !== 0 && (iocb.flags & IOCB_DIRECT) === 0) return err(EINVAL);
  const limit = Math.min(inode.sb.maxBytes, task.fileSizeLimit);
  if (iocb.pos >= limit) {
    if (iocb.pos >= task.fileSizeLimit) task.pendingSignals.add(SIGXFSZ);
    return err(EFBIG);
  }
  iovIterTruncate(from, limit - iocb.pos);
  return from.count as Ssize;
}

/** Sent to a task that writes beyond its limit. */
const SIGXFSZ = 25;

/**
 * The write is done: make it durable if that was asked for.
 *
 * Context: sleeps. Returns: `written`, or an error. Linux: generic_write_sync()
 */
export function* genericWriteSync(task: UserTask, iocb: Kiocb, written: number): MaySleep<Ssize> {
  if ((iocb.flags & IOCB_DSYNC) === 0 || iocb.file.fOp.fsync === undefined) return written as Ssize;
  const start = iocb.pos - written;
  const datasync = (iocb.flags & IOCB_SYNC) === 0;
  const status = yield* iocb.file.fOp.fsync(task, iocb.file, start, iocb.pos - 1, datasync);
  return isErr(status) ? status : (written as Ssize);
}
