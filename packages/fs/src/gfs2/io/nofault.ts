// One try under the glock, with page faults disabled: what the fix repeats, fault-in after fault-in, until the
// whole request is done. By their types none of these takes a user fault.

import type { MaySleep, Ssize } from "@faultline/kernel";
import { FAULTS_DISABLED, pagefaultDisable, pagefaultEnable, type UserTask } from "@faultline/mm";
import type { IovIter } from "@faultline/uio";
import { genericFileReadIter } from "../../cache/filemap-read.ts";
import { iomapFileBufferedWrite } from "../../iomap/buffered-write.ts";
import { IOMAP_DIO_PARTIAL, iomapDioRw } from "../../iomap/direct-io.ts";
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
  pagefaultDisable(task);
  const ret = yield* genericFileReadIter(task, iocb, to, FAULTS_DISABLED);
  pagefaultEnable(task);
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
  pagefaultDisable(task);
  const ret = yield* iomapFileBufferedWrite(task, iocb, from, gfs2IomapOps, FAULTS_DISABLED);
  pagefaultEnable(task);
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
): MaySleep<Ssize> {
  const holder = new Gfs2Holder(inode.glock, LM_ST_DEFERRED, 0, ip);
  const status = yield* gfs2GlockNq(task, holder);
  if (status !== 0) return status as Ssize;
  let ret = 0 as Ssize;
  if (!iter.dataSource || iocb.pos + iter.count <= inode.size) {
    pagefaultDisable(task);
    iter.nofault = true;
    ret = yield* iomapDioRw(task, iocb, iter, gfs2IomapOps, IOMAP_DIO_PARTIAL, DIO_NOFAULT, doneBefore);
    iter.nofault = false;
    pagefaultEnable(task);
  }
  gfs2GlockDq(task, holder);
  return ret;
}
