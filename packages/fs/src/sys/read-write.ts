// The system calls that read and write (fs/read_write.c). Addresses and counts come as user space gives them;
// what is wrong with them is an errno.

import {
  EBADF,
  EFAULT,
  EINVAL,
  EOPNOTSUPP,
  type Errno,
  ESPIPE,
  err,
  MAX_RW_COUNT,
  type MayFault,
  mutexLock,
  mutexLockNow,
  mutexUnlock,
  type Ssize,
  type Status,
} from "@faultline/kernel";
import { accessOk } from "@faultline/mm";
import { type IovIter, ITER_DEST, ITER_SOURCE, importIovec, iovIterSync, type Segment } from "@faultline/uio";
import { type File, O_APPEND, O_DIRECT, O_DSYNC, O_SYNC } from "../vfs/file.ts";
import {
  IOCB_APPEND,
  IOCB_DIRECT,
  IOCB_DSYNC,
  IOCB_HIPRI,
  IOCB_NOIO,
  IOCB_NOWAIT,
  IOCB_SYNC,
  type Kiocb,
} from "../vfs/kiocb.ts";
import { checkTask, checkVec, checkWhole } from "./arguments.ts";
import type { FsTask } from "./fs-task.ts";

// include/uapi/linux/fs.h
export const RWF_HIPRI = 0x1;
export const RWF_DSYNC = 0x2;
export const RWF_SYNC = 0x4;
export const RWF_NOWAIT = 0x8;
export const RWF_APPEND = 0x10;
export const RWF_NOAPPEND = 0x20;
export const RWF_ATOMIC = 0x40;
export const RWF_DONTCACHE = 0x80;

/** Linux: pread64() */
export function* sysPread64(task: FsTask, fd: number, buf: number, count: number, pos: number): MayFault<Ssize> {
  const iocb = positioned(task, fd, buf, count, pos);
  if (typeof iocb === "number") return iocb;
  return readNow(task, iocb, buf, count) ?? (yield* vfsRead(task, iocb, buf, count));
}

/** Linux: pwrite64() */
export function* sysPwrite64(task: FsTask, fd: number, buf: number, count: number, pos: number): MayFault<Ssize> {
  const iocb = positioned(task, fd, buf, count, pos);
  if (typeof iocb === "number") return iocb;
  return writeNow(task, iocb, buf, count) ?? (yield* vfsWrite(task, iocb, buf, count));
}

/** The open file of a pread64 or pwrite64, at `pos`; or what is wrong with the call: -EINVAL, -EBADF or -ESPIPE. */
function positioned(task: FsTask, fd: number, buf: number, count: number, pos: number): Kiocb | Errno {
  checkTask(task);
  checkWhole(fd, "fd");
  checkWhole(buf, "buf");
  checkWhole(count, "count");
  checkWhole(pos, "pos");
  if (!(pos >= 0)) return err(EINVAL);
  const file = task.files.get(fd);
  if (file === null) return err(EBADF);
  return file.seekable ? newSyncKiocb(file, pos) : err(ESPIPE);
}

/** Linux: read() */
export function* sysRead(task: FsTask, fd: number, buf: number, count: number): MayFault<Ssize> {
  checkTask(task);
  checkWhole(fd, "fd");
  checkWhole(buf, "buf");
  checkWhole(count, "count");
  const file = task.files.get(fd);
  if (file === null) return err(EBADF);
  return yield* atFilePosition(task, file, (iocb) => vfsRead(task, iocb, buf, count));
}

/** Linux: write() */
export function* sysWrite(task: FsTask, fd: number, buf: number, count: number): MayFault<Ssize> {
  checkTask(task);
  checkWhole(fd, "fd");
  checkWhole(buf, "buf");
  checkWhole(count, "count");
  const file = task.files.get(fd);
  if (file === null) return err(EBADF);
  return yield* atFilePosition(task, file, (iocb) => vfsWrite(task, iocb, buf, count));
}

/** Linux: readv() */
export function sysReadv(task: FsTask, fd: number, vec: readonly Segment[]): MayFault<Ssize> {
  return vectored(task, fd, vec, -1, 0, ITER_DEST);
}

/** Linux: writev() */
export function sysWritev(task: FsTask, fd: number, vec: readonly Segment[]): MayFault<Ssize> {
  return vectored(task, fd, vec, -1, 0, ITER_SOURCE);
}

/** Linux: preadv() */
export function* sysPreadv(task: FsTask, fd: number, vec: readonly Segment[], pos: number): MayFault<Ssize> {
  checkWhole(pos, "pos");
  return pos >= 0 ? yield* vectored(task, fd, vec, pos, 0, ITER_DEST) : err(EINVAL);
}

/** Linux: pwritev() */
export function* sysPwritev(task: FsTask, fd: number, vec: readonly Segment[], pos: number): MayFault<Ssize> {
  checkWhole(pos, "pos");
  return pos >= 0 ? yield* vectored(task, fd, vec, pos, 0, ITER_SOURCE) : err(EINVAL);
}

/** `pos` -1: at the file position. `flags`: RWF_*. Linux: preadv2() */
export function* sysPreadv2(
  task: FsTask,
  fd: number,
  vec: readonly Segment[],
  pos: number,
  flags: number,
): MayFault<Ssize> {
  checkWhole(pos, "pos");
  return pos >= -1 ? yield* vectored(task, fd, vec, pos, flags, ITER_DEST) : err(EINVAL);
}

/** `pos` -1: at the file position. `flags`: RWF_*. Linux: pwritev2() */
export function* sysPwritev2(
  task: FsTask,
  fd: number,
  vec: readonly Segment[],
  pos: number,
  flags: number,
): MayFault<Ssize> {
  checkWhole(pos, "pos");
  return pos >= -1 ? yield* vectored(task, fd, vec, pos, flags, ITER_SOURCE) : err(EINVAL);
}

/** Linux: vfs_read() */
function* vfsRead(task: FsTask, iocb: Kiocb, buf: number, count: number): MayFault<Ssize> {
  const { file } = iocb;
  const to = file.readable ? userBuffer(task, iocb, ITER_DEST, buf, count) : err(EBADF);
  return typeof to === "number" ? to : yield* file.fOp.readIter(task, iocb, to);
}

/** Linux: vfs_write() */
function* vfsWrite(task: FsTask, iocb: Kiocb, buf: number, count: number): MayFault<Ssize> {
  const { file } = iocb;
  const from = file.writable ? userBuffer(task, iocb, ITER_SOURCE, buf, count) : err(EBADF);
  return typeof from === "number" ? from : yield* file.fOp.writeIter(task, iocb, from);
}

/** vfsRead without a generator, when nothing is missing. Context: atomic. Returns: all bytes, or null. */
function readNow(task: FsTask, iocb: Kiocb, buf: number, count: number): Ssize | null {
  const { fOp, readable } = iocb.file;
  return readable && fOp.readNow !== undefined ? fOp.readNow(task, iocb, buf, count) : null;
}

/** The same for vfsWrite. */
function writeNow(task: FsTask, iocb: Kiocb, buf: number, count: number): Ssize | null {
  const { fOp, writable } = iocb.file;
  return writable && fOp.writeNow !== undefined ? fOp.writeNow(task, iocb, buf, count) : null;
}

/** The iterator of a buffer, or what is wrong with it. */
function userBuffer(task: FsTask, iocb: Kiocb, dataSource: boolean, buf: number, count: number): IovIter | Errno {
  if (!accessOk(buf, count)) return err(EFAULT);
  if (!isCount(count, iocb.pos)) return err(EINVAL);
  return iovIterSync(dataSource, buf, Math.min(count, MAX_RW_COUNT), task.root.revision.uio);
}

/** Is this a count of bytes that a file could have behind `pos`? Linux: rw_verify_area() */
function isCount(count: number, pos: number): boolean {
  return count >= 0 && Number.isSafeInteger(pos + count);
}

/** A request as the flags of its file want it. Linux: init_sync_kiocb() */
export function newSyncKiocb(file: File, pos: number): Kiocb {
  const { flags } = file;
  let iocb = 0;
  if ((flags & O_APPEND) !== 0) iocb |= IOCB_APPEND;
  if ((flags & O_DIRECT) !== 0) iocb |= IOCB_DIRECT;
  if ((flags & O_DSYNC) !== 0) iocb |= IOCB_DSYNC;
  if ((flags & O_SYNC) === O_SYNC) iocb |= IOCB_SYNC;
  return { file, pos, flags: iocb };
}

/** Use the position of the file, alone, and move it when the call went well. Linux: fdget_pos() */
function* atFilePosition(task: FsTask, file: File, call: (iocb: Kiocb) => MayFault<Ssize>): MayFault<Ssize> {
  // Streams have no position, and nothing to wait for each other.
  if (!file.seekable) return yield* call(newSyncKiocb(file, 0));
  if (task.world.preemptible || !mutexLockNow(task, file.posLock)) yield* mutexLock(task, file.posLock);
  const iocb = newSyncKiocb(file, file.pos);
  const ret = yield* call(iocb);
  if (ret >= 0) file.pos = iocb.pos;
  mutexUnlock(task, file.posLock);
  return ret;
}

/** Linux: do_readv(), do_preadv(), do_writev(), do_pwritev() */
function* vectored(
  task: FsTask,
  fd: number,
  vec: readonly Segment[],
  pos: number,
  flags: number,
  source: boolean,
): MayFault<Ssize> {
  checkTask(task);
  checkWhole(fd, "fd");
  checkVec(vec);
  checkWhole(flags, "flags");
  const file = task.files.get(fd);
  if (file === null) return err(EBADF);
  if (pos >= 0 && !file.seekable) return err(ESPIPE);
  const iter = importIovec(source, vec, task.root.revision.uio);
  if (typeof iter === "number") return iter;
  if (pos >= 0) return yield* vfsIterate(task, newSyncKiocb(file, pos), iter, flags);
  return yield* atFilePosition(task, file, (iocb) => vfsIterate(task, iocb, iter, flags));
}

/** Linux: do_iter_read(), do_iter_write() */
function* vfsIterate(task: FsTask, iocb: Kiocb, iter: IovIter, flags: number): MayFault<Ssize> {
  const { file } = iocb;
  if (!(iter.dataSource ? file.writable : file.readable)) return err(EBADF);
  if (iter.count === 0) return 0 as Ssize;
  if (!isCount(iter.count, iocb.pos)) return err(EINVAL);
  const status = kiocbSetRwFlags(task, iocb, flags);
  if (status !== 0) return status;
  return yield* iter.dataSource ? file.fOp.writeIter(task, iocb, iter) : file.fOp.readIter(task, iocb, iter);
}

/** Linux: kiocb_set_rw_flags() */
function kiocbSetRwFlags(task: FsTask, iocb: Kiocb, flags: number): Status {
  if (flags === 0) return 0;
  if ((flags & ~task.root.revision.rwfFlags) !== 0) return err(EOPNOTSUPP);
  if ((flags & RWF_APPEND) !== 0 && (flags & RWF_NOAPPEND) !== 0) return err(EINVAL);
  // gfs2 promises none of these: no FMODE_NOWAIT, no atomic writes, no uncached I/O.
  if ((flags & (RWF_NOWAIT | RWF_ATOMIC | RWF_DONTCACHE)) !== 0 && !iocb.file.nowait) return err(EOPNOTSUPP);
  if ((flags & RWF_NOWAIT) !== 0) iocb.flags |= IOCB_NOWAIT | IOCB_NOIO;
  if ((flags & RWF_HIPRI) !== 0) iocb.flags |= IOCB_HIPRI;
  if ((flags & (RWF_DSYNC | RWF_SYNC)) !== 0) iocb.flags |= IOCB_DSYNC;
  if ((flags & RWF_SYNC) !== 0) iocb.flags |= IOCB_SYNC;
  if ((flags & RWF_APPEND) !== 0) iocb.flags |= IOCB_APPEND;
  if ((flags & RWF_NOAPPEND) !== 0) iocb.flags &= ~IOCB_APPEND;
  return 0;
}
