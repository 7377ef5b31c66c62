// One try with page faults disabled: what the fix repeats, fault-in after fault-in, until the whole request is
// done. By their types none of these takes a user fault. `...Locked` hold the glock just for the try.

import type { MaySleep, Ssize } from "@faultline/kernel";
import { FAULTS_DISABLED, pagefaultDisable, pagefaultEnable, type UserTask } from "@faultline/mm";
import type { IovIter } from "@faultline/uio";
import { genericFileReadIter } from "../../cache/generic-read-iter.ts";
import { iomapFileBufferedWrite } from "../../iomap/buffered-write.ts";
import { type DioAccess, IOMAP_DIO_PARTIAL, iomapDioRw } from "../../iomap/direct-io.ts";
import type { Kiocb } from "../../vfs/kiocb.ts";
import { gfs2IomapOps } from "../bmap.ts";
import { Gfs2Holder } from "../glock.ts";
import { gfs2GlockDq, gfs2GlockNq, gfs2GlockTryNq } from "../glock-queue.ts";
import type { Gfs2Inode } from "../inode.ts";
import { LM_ST_DEFERRED, LM_ST_EXCLUSIVE, LM_ST_SHARED } from "../lm.ts";
import { DIO_NOFAULT } from "./dio-access.ts";

/** Read what the buffer takes. Context: sleeps. Returns: bytes, or an error if none: -EFAULT when the buffer is not there. */
export function* readLocked(task: UserTask, iocb: Kiocb, to: IovIter, inode: Gfs2Inode): MaySleep<Ssize> {
  const holder = new Gfs2Holder(inode.glock, LM_ST_SHARED, 0, "gfs2_file_read_iter");
  if (!gfs2GlockTryNq(task, holder)) {
    const status = yield* gfs2GlockNq(task, holder);
    if (status !== 0) return status as Ssize;
  }
  const ret = yield* tryRead(task, iocb, to);
  gfs2GlockDq(task, holder);
  return ret;
}

/** Write what the buffer gives. Context: sleeps. Returns: bytes, or an error if none: -EFAULT when the buffer is not there. */
export function* writeLocked(task: UserTask, iocb: Kiocb, from: IovIter, inode: Gfs2Inode): MaySleep<Ssize> {
  const holder = new Gfs2Holder(inode.glock, LM_ST_EXCLUSIVE, 0, "gfs2_file_buffered_write");
  if (!gfs2GlockTryNq(task, holder)) {
    const status = yield* gfs2GlockNq(task, holder);
    if (status !== 0) return status as Ssize;
  }
  const ret = yield* tryWrite(task, iocb, from);
  gfs2GlockDq(task, holder);
  return ret;
}

/**
 * Read or write directly as far as the buffer is there; a write behind the end of the file does nothing.
 *
 * Context: sleeps. Returns: bytes, `doneBefore` included, or an error: -EFAULT when this try did nothing.
 */
export function* directLocked(
  task: UserTask,
  iocb: Kiocb,
  iter: IovIter,
  inode: Gfs2Inode,
  doneBefore: number,
  ip: string,
  access: DioAccess<never> = DIO_NOFAULT,
): MaySleep<Ssize> {
  const holder = new Gfs2Holder(inode.glock, LM_ST_DEFERRED, 0, ip);
  const status = yield* gfs2GlockNq(task, holder);
  if (status !== 0) return status as Ssize;
  const ret = yield* tryDirect(task, iocb, iter, doneBefore, access);
  gfs2GlockDq(task, holder);
  return ret;
}

/** Context: sleeps; the glock is held SH, or IOCB_NOIO is set. Returns: as readLocked. */
export function* tryRead(task: UserTask, iocb: Kiocb, to: IovIter): MaySleep<Ssize> {
  pagefaultDisable(task);
  const ret = yield* genericFileReadIter(task, iocb, to, FAULTS_DISABLED);
  pagefaultEnable(task);
  return ret;
}

/** Context: sleeps; the glock is held EX, or iomap takes it. Returns: as writeLocked. */
export function* tryWrite(task: UserTask, iocb: Kiocb, from: IovIter): MaySleep<Ssize> {
  pagefaultDisable(task);
  const ret = yield* iomapFileBufferedWrite(task, iocb, from, gfs2IomapOps, FAULTS_DISABLED);
  pagefaultEnable(task);
  return ret;
}

/** Context: sleeps; the glock is held DF. Returns: as directLocked. */
export function* tryDirect(
  task: UserTask,
  iocb: Kiocb,
  iter: IovIter,
  doneBefore: number,
  access: DioAccess<never> = DIO_NOFAULT,
): MaySleep<Ssize> {
  if (iter.dataSource && iocb.pos + iter.count > iocb.file.inode.size) return 0 as Ssize;
  pagefaultDisable(task);
  iter.nofault = true;
  const ret = yield* iomapDioRw(task, iocb, iter, gfs2IomapOps, IOMAP_DIO_PARTIAL, access, doneBefore);
  iter.nofault = false;
  pagefaultEnable(task);
  return ret;
}
