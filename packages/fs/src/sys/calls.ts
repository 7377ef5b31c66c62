// The system calls on files and memory other than reading and writing.

import {
  EACCES,
  EBADF,
  EEXIST,
  EFBIG,
  EINVAL,
  ENAMETOOLONG,
  ENODEV,
  ENOENT,
  ESPIPE,
  err,
  isErr,
  type MayFault,
  type MaySleep,
  PAGE_SIZE,
  type Status,
} from "@faultline/kernel";
import { doMmap, MAP_ANONYMOUS, MAP_SHARED, type MmapArgs, PROT_WRITE, VM_MAYWRITE } from "@faultline/mm";
import { invalidateMappingPages } from "../cache/page-cache.ts";
import { forcePageCacheReadahead } from "../cache/readahead.ts";
import { gfs2Open } from "../gfs2/file.ts";
import { Gfs2Holder } from "../gfs2/glock.ts";
import { gfs2GlockDq, gfs2GlockNq } from "../gfs2/glock-queue.ts";
import type { Gfs2Inode } from "../gfs2/inode.ts";
import { LM_FLAG_ANY, LM_ST_SHARED } from "../gfs2/lm.ts";
import { checkFallocate, gfs2Fallocate, gfs2Truncate } from "../gfs2/truncate.ts";
import { type File, fput, getFile, O_CREAT, O_EXCL, O_NONBLOCK, O_TRUNC } from "../vfs/file.ts";
import { createPipeFiles, Pipe, pipeOf, pipeSetSize } from "../vfs/pipe.ts";
import { checkPath, checkTask, checkWhole } from "./arguments.ts";
import { type FsTask, isErrno } from "./fs-task.ts";

/** Bytes of a path at most, the end included, and of a name in it. Linux: PATH_MAX, NAME_MAX */
const PATH_MAX = 4096;
const NAME_MAX = 255;

/**
 * `flags`: O_*.
 *
 * Context: sleeps. Returns: a descriptor, -ENOENT, -EEXIST, -EISDIR, -ENAMETOOLONG, -EMFILE, -ENOSPC, ...
 * Linux:   open()
 */
export function* sysOpen(task: FsTask, path: string, flags: number): MaySleep<number> {
  checkTask(task);
  checkPath(path);
  checkWhole(flags, "flags");
  const wrong = pathError(path);
  if (wrong !== 0) return wrong;
  const creates = (flags & O_CREAT) !== 0;
  if (creates && (flags & O_EXCL) !== 0 && !isErrno(task.root.lookup(path, false))) return err(EEXIST);
  const inode = task.root.lookup(path, creates);
  if (isErrno(inode)) return inode;
  // Who may open the file, and what kind of file it is, are in the inode.
  for (const ip of ["gfs2_permission", "gfs2_open"]) {
    const status = yield* readInode(task, inode as Gfs2Inode, ip);
    if (status !== 0) return status;
  }
  const file = gfs2Open(inode as Gfs2Inode, flags);
  const fd = task.files.install(file);
  if (fd < 0) {
    fput(task, file);
    return fd;
  }
  // Also a file that is opened for reading only.
  const status = (flags & O_TRUNC) === 0 ? 0 : yield* gfs2Truncate(task, inode as Gfs2Inode, 0);
  return status === 0 ? fd : (yield* sysClose(task, fd)) || status;
}

function pathError(path: string): Status {
  if (path === "") return err(ENOENT);
  const isTooLong = bytesOf(path) >= PATH_MAX || path.split("/").some((name) => bytesOf(name) > NAME_MAX);
  return isTooLong ? err(ENAMETOOLONG) : 0;
}

function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** Linux: close() */
export function* sysClose(task: FsTask, fd: number): MaySleep<Status> {
  checkTask(task);
  checkWhole(fd, "fd");
  const file = task.files.remove(fd);
  if (isErrno(file)) return file;
  fput(task, file as File);
  return 0;
}

/** Another descriptor for the same open file, position included. Returns: it, -EBADF or -EMFILE. Linux: dup() */
export function* sysDup(task: FsTask, fd: number): MaySleep<number> {
  checkTask(task);
  checkWhole(fd, "fd");
  const file = task.files.get(fd);
  if (file === null) return err(EBADF);
  const copy = task.files.install(file);
  if (copy >= 0) getFile(file);
  return copy;
}

/** Returns: 0, -ENOENT, ... An open file lives on without its name. Linux: unlink() */
export function* sysUnlink(task: FsTask, path: string): MaySleep<Status> {
  checkTask(task);
  checkPath(path);
  const wrong = pathError(path);
  if (wrong !== 0) return wrong;
  const { root } = task;
  const inode = root.lookup(path, false);
  if (isErrno(inode)) return inode;
  const status = root.disk.unlink(path);
  if (status === 0) root.evictUnused(task, inode as Gfs2Inode);
  return status;
}

/** Linux: lseek() */
export function* sysLseek(task: FsTask, fd: number, offset: number, whence: number): MaySleep<number> {
  checkTask(task);
  checkWhole(fd, "fd");
  checkWhole(offset, "offset");
  checkWhole(whence, "whence");
  const file = task.files.get(fd);
  if (file === null) return err(EBADF);
  if (file.fOp.llseek === undefined) return err(ESPIPE);
  return yield* file.fOp.llseek(task, file, offset, whence);
}

/** What fstat tells. */
export interface Kstat {
  /** 0 for pipes. */
  readonly ino: number;
  readonly size: number;
  /** 512-byte units, metadata included. */
  readonly blocks: number;
  readonly nlink: number;
}

/** Returns: what there is to know, or an errno. Linux: fstat(), gfs2_getattr() */
export function* sysFstat(task: FsTask, fd: number): MaySleep<Kstat | Status> {
  checkTask(task);
  checkWhole(fd, "fd");
  const inode = inodeOf(task, fd, 0);
  if (inode === 0) return { ino: 0, size: 0, blocks: 0, nlink: 1 };
  if (isErrno(inode)) return inode;
  const { ino, disk } = inode as Gfs2Inode;
  const status = yield* readInode(task, inode as Gfs2Inode, "gfs2_getattr");
  if (status !== 0) return status;
  return { ino, size: (inode as Gfs2Inode).size, blocks: disk.map.blocks * (PAGE_SIZE / 512), nlink: disk.links };
}

/** Make sure that what is known of an inode is true. Context: sleeps. Returns: 0 or an error. */
function* readInode(task: FsTask, inode: Gfs2Inode, ip: string): MaySleep<Status> {
  const holder = new Gfs2Holder(inode.glock, LM_ST_SHARED, LM_FLAG_ANY, ip);
  const status = (yield* gfs2GlockNq(task, holder)) as Status;
  if (status === 0) gfs2GlockDq(task, holder);
  return status;
}

/** Linux: fsync() */
export function* sysFsync(task: FsTask, fd: number): MaySleep<Status> {
  checkTask(task);
  checkWhole(fd, "fd");
  const file = task.files.get(fd);
  if (file === null) return err(EBADF);
  if (file.fOp.fsync === undefined) return err(EINVAL);
  return yield* file.fOp.fsync(task, file, 0, Number.MAX_SAFE_INTEGER, false);
}

/** Linux: ftruncate() */
export function* sysFtruncate(task: FsTask, fd: number, length: number): MaySleep<Status> {
  checkTask(task);
  checkWhole(fd, "fd");
  checkWhole(length, "length");
  if (length < 0) return err(EINVAL);
  const inode = inodeOf(task, fd, err(EINVAL));
  if (isErrno(inode)) return inode;
  return task.files.get(fd)?.writable ? yield* gfs2Truncate(task, inode as Gfs2Inode, length) : err(EINVAL);
}

/** `mode`: FALLOC_FL_*. Linux: fallocate() */
export function* sysFallocate(
  task: FsTask,
  fd: number,
  mode: number,
  offset: number,
  length: number,
): MaySleep<Status> {
  checkTask(task);
  checkWhole(fd, "fd");
  checkWhole(mode, "mode");
  checkWhole(offset, "offset");
  checkWhole(length, "length");
  const file = task.files.get(fd);
  if (file === null) return err(EBADF);
  const wrong = checkFallocate(mode, offset, length);
  if (wrong !== 0) return wrong;
  if (!file.writable) return err(EBADF);
  if (!file.seekable) return err(ESPIPE);
  const inode = file.inode as Gfs2Inode;
  if (offset + length > inode.sb.maxBytes) return err(EFBIG);
  return yield* gfs2Fallocate(task, file, mode, offset, length);
}

export const POSIX_FADV_NORMAL = 0;
export const POSIX_FADV_RANDOM = 1;
export const POSIX_FADV_SEQUENTIAL = 2;
export const POSIX_FADV_WILLNEED = 3;
export const POSIX_FADV_DONTNEED = 4;
export const POSIX_FADV_NOREUSE = 5;

/**
 * Advice about the use of a file. `length` 0: to the end.
 *
 * Context: sleeps. Returns: 0, -EBADF, -EINVAL, -ESPIPE.
 * Linux:   posix_fadvise()
 * Differs: NOREUSE does nothing, as before 6.3.
 */
export function* sysFadvise(
  task: FsTask,
  fd: number,
  offset: number,
  length: number,
  advice: number,
): MaySleep<Status> {
  checkTask(task);
  checkWhole(fd, "fd");
  checkWhole(offset, "offset");
  checkWhole(length, "length");
  checkWhole(advice, "advice");
  const file = task.files.get(fd);
  if (file === null) return err(EBADF);
  if (!file.seekable) return err(ESPIPE);
  if (length < 0) return err(EINVAL);
  const { ra } = file;
  const { mapping, size, sb } = file.inode as Gfs2Inode;
  const end = length === 0 ? Number.MAX_SAFE_INTEGER : offset + length - 1;
  switch (advice) {
    case POSIX_FADV_NORMAL:
    case POSIX_FADV_SEQUENTIAL:
    case POSIX_FADV_RANDOM:
      if (advice !== POSIX_FADV_RANDOM) ra.raPages = sb.readahead.raPages * (advice === POSIX_FADV_SEQUENTIAL ? 2 : 1);
      ra.random = advice === POSIX_FADV_RANDOM;
      return 0;
    case POSIX_FADV_NOREUSE:
      return 0;
    case POSIX_FADV_DONTNEED: {
      yield* mapping.ops.writepages(task, mapping, { start: offset, end, sync: false });
      const first = Math.ceil(offset / PAGE_SIZE);
      let last = Math.min(Math.floor(end / PAGE_SIZE), 2 ** 32 - 2);
      // A page that is only partly meant stays, unless the file ends in it.
      if ((end + 1) % PAGE_SIZE !== 0 && end !== size - 1 && end !== Number.MAX_SAFE_INTEGER) last--;
      if (last >= first) invalidateMappingPages(task, mapping, first, last);
      return 0;
    }
    case POSIX_FADV_WILLNEED: {
      const first = Math.floor(offset / PAGE_SIZE);
      const pages = Math.ceil(Math.min(end, size) / PAGE_SIZE) - first;
      yield* forcePageCacheReadahead(task, mapping, ra, first, pages);
      return 0;
    }
    default:
      return err(EINVAL);
  }
}

/** The inode of a descriptor; `none` for pipes, which have none; -EBADF. */
function inodeOf(task: FsTask, fd: number, none: Status): Gfs2Inode | Status {
  const file = task.files.get(fd);
  if (file === null) return err(EBADF);
  return file.seekable ? (file.inode as Gfs2Inode) : none;
}

/**
 * `flags`: O_NONBLOCK.
 *
 * Context: sleeps. Returns: the two descriptors, for reading and for writing, or -EINVAL or -EMFILE.
 * Linux:   pipe2()
 * Differs: no packets (O_DIRECT).
 */
export function* sysPipe2(task: FsTask, flags: number): MaySleep<[number, number] | Status> {
  checkTask(task);
  checkWhole(flags, "flags");
  const { world, root, files } = task;
  const { pipeKeepsEmptySlot, pipesKnowNowait } = root.revision;
  if ((flags & ~O_NONBLOCK) !== 0) return err(EINVAL);
  const ends = createPipeFiles(world, new Pipe(world, root.mem, pipeKeepsEmptySlot), flags, pipesKnowNowait);
  const fds = ends.map((file) => files.install(file));
  const failed = fds.find(isErr);
  if (failed === undefined) return [fds[0], fds[1]];
  for (const [i, file] of ends.entries()) {
    fput(task, isErr(fds[i]) ? file : (files.remove(fds[i]) as File));
  }
  return failed as Status;
}

/** Returns: the new size in bytes, -EBUSY, -EPERM, -EINVAL, -EBADF. Linux: fcntl(F_SETPIPE_SZ) */
export function* sysSetPipeSize(task: FsTask, fd: number, size: number): MaySleep<number> {
  checkTask(task);
  checkWhole(fd, "fd");
  checkWhole(size, "size");
  const file = task.files.get(fd);
  const pipe = file === null ? null : pipeOf(file);
  return pipe === null ? err(EBADF) : pipeSetSize(pipe, size);
}

/** Returns: bytes that wait in a pipe, or lie behind the position of a file. Linux: ioctl(FIONREAD) */
export function* sysFionread(task: FsTask, fd: number): MaySleep<number> {
  checkTask(task);
  checkWhole(fd, "fd");
  const file = task.files.get(fd);
  if (file === null) return err(EBADF);
  return pipeOf(file)?.bytes ?? file.inode.size - file.pos;
}

/** What mmap is asked for, with a file instead of a backing. */
export interface SysMmapArgs extends Omit<MmapArgs, "address" | "backing" | "pgoff"> {
  /** A hint, or the place itself; anywhere by default. */
  readonly address?: number;
  readonly fd?: number;
  /** Bytes into the file. */
  readonly offset?: number;
}

/** Linux: mmap() */
export function* sysMmap(task: FsTask, args: SysMmapArgs): MayFault<number> {
  checkTask(task);
  const { address = 0, length, prot, flags, fd = -1, offset = 0 } = args;
  for (const [name, value] of Object.entries({ address, length, prot, flags, fd, offset })) checkWhole(value, name);
  if (offset % PAGE_SIZE !== 0) return err(EINVAL);
  if ((flags & MAP_ANONYMOUS) !== 0) return yield* doMmap(task, { ...args, address });
  const file = task.files.get(fd);
  if (file === null) return err(EBADF);
  const shared = (flags & MAP_SHARED) !== 0;
  if (!file.readable || (shared && (prot & PROT_WRITE) !== 0 && !file.writable)) return err(EACCES);
  if (file.fOp.mmap === undefined) return err(ENODEV);
  const backing = yield* file.fOp.mmap(task, file);
  if (isErrno(backing)) return backing;
  const remove = shared && !file.writable ? VM_MAYWRITE : 0;
  return yield* doMmap(task, {
    ...args,
    address,
    backing: backing as object as never,
    pgoff: offset / PAGE_SIZE,
    vmFlags: { remove },
  });
}
