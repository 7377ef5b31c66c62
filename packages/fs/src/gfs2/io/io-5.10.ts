// Before the fix (5.10): user memory is touched with faults enabled while the glock is held. The signatures
// say so: what runs under the lock is MayFault, and a fault on a file of the same filesystem wants a glock.

import {
  EAGAIN,
  EFAULT,
  ENOTBLK,
  err,
  type MayFault,
  offsetInPage,
  PAGE_SIZE,
  pageIndex,
  type Ssize,
} from "@faultline/kernel";
import { FAULTS_ENABLED, type UserTask } from "@faultline/mm";
import type { IovIter } from "@faultline/uio";
import { genericFileReadIter } from "../../cache/generic-read-iter.ts";
import { iomapFileBufferedWrite } from "../../iomap/buffered-write.ts";
import { iomapDioRw } from "../../iomap/direct-io.ts";
import { IOCB_NOIO, IOCB_NOWAIT, type Kiocb } from "../../vfs/kiocb.ts";
import { gfs2IomapOps } from "../bmap.ts";
import { Gfs2Holder } from "../glock.ts";
import { gfs2GlockDq, gfs2GlockNq } from "../glock-queue.ts";
import type { Gfs2Inode } from "../inode.ts";
import { LM_ST_DEFERRED, LM_ST_SHARED } from "../lm.ts";
import type { Gfs2Io } from "../revision.ts";
import { DIO_FAULTING } from "./dio-access.ts";
import { tryRead } from "./nofault.ts";
import { readResident, writeResidentIn } from "./resident.ts";

/** What iomap_dio_rw's last argument was: is_sync_kiocb(). */
const WAIT = 1;

/**
 * Read what is cached without the glock, then the rest under it, faults and all.
 *
 * The first pass disables faults already: the recorded 5.10 is a late one, and this repair (5.18) was carried back.
 *
 * Context: may fault, also while the glock is held. Returns: bytes read, or an error if none.
 * Linux:   gfs2_file_read_iter(), its buffered part
 */
export const bufferedRead510: Gfs2Io = Object.assign<Gfs2Io, Partial<Gfs2Io>>(
  (task, iocb, to) => bufferedRead(task, iocb, to),
  { whenResident: readResident },
);

function* bufferedRead(task: UserTask, iocb: Kiocb, to: IovIter): MayFault<Ssize> {
  const inode = iocb.file.inode as Gfs2Inode;
  iocb.flags |= IOCB_NOIO;
  const cached = yield* tryRead(task, iocb, to);
  iocb.flags &= ~IOCB_NOIO;
  if (cached >= 0 && to.count === 0) return cached;
  if (cached < 0 && cached !== err(EFAULT) && (cached !== err(EAGAIN) || (iocb.flags & IOCB_NOWAIT) !== 0))
    return cached;
  const written = Math.max(cached, 0);
  const holder = new Gfs2Holder(inode.glock, LM_ST_SHARED, 0, "gfs2_file_read_iter");
  const status = yield* gfs2GlockNq(task, holder);
  if (status !== 0) return status as Ssize;
  const ret = yield* genericFileReadIter(task, iocb, to, FAULTS_ENABLED);
  gfs2GlockDq(task, holder);
  const total = written + Math.max(ret, 0);
  return (total > 0 ? total : ret) as Ssize;
}

/** The glock is taken and dropped extent by extent, in iomap_begin and iomap_end. Linux: iomap_file_buffered_write() */
export const bufferedWrite510: Gfs2Io = Object.assign<Gfs2Io, Partial<Gfs2Io>>(
  (task, iocb, from) => iomapFileBufferedWrite(task, iocb, from, gfs2IomapOps, FAULTS_ENABLED),
  { whenResident: writeResidentIn(extentBytes) },
);

/** Bytes from `pos` to the end of its extent, about `count` at most: what iomap_begin takes the glock for. */
function extentBytes(_task: UserTask, inode: Gfs2Inode, pos: number, count: number): number {
  const block = pageIndex(pos);
  const blocks = pageIndex(pos + count - 1) + 1 - block;
  return inode.disk.map.extent(block, blocks).count * PAGE_SIZE - offsetInPage(pos);
}

/** Linux: gfs2_file_direct_read() */
function* gfs2FileDirectRead(task: UserTask, iocb: Kiocb, to: IovIter): MayFault<Ssize> {
  if (to.count === 0) return 0 as Ssize;
  return yield* directLocked(task, iocb, to, "gfs2_file_direct_read");
}

/** Writes behind the end of the file are left to the page cache. Linux: gfs2_file_direct_write() */
function* gfs2FileDirectWrite(task: UserTask, iocb: Kiocb, from: IovIter): MayFault<Ssize> {
  const ret = yield* directLocked(task, iocb, from, "gfs2_file_direct_write");
  return (ret === -ENOTBLK ? 0 : ret) as Ssize;
}

function* directLocked(task: UserTask, iocb: Kiocb, iter: IovIter, ip: string): MayFault<Ssize> {
  const inode = iocb.file.inode as Gfs2Inode;
  const holder = new Gfs2Holder(inode.glock, LM_ST_DEFERRED, 0, ip);
  const status = yield* gfs2GlockNq(task, holder);
  if (status !== 0) return status as Ssize;
  const beyond = iter.dataSource && iocb.pos + iter.count > inode.size;
  const ret = beyond ? (0 as Ssize) : yield* iomapDioRw(task, iocb, iter, gfs2IomapOps, WAIT, DIO_FAULTING, 0);
  gfs2GlockDq(task, holder);
  return ret;
}

export { gfs2FileDirectRead as directRead510, gfs2FileDirectWrite as directWrite510 };
