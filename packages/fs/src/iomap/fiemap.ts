// Telling a program which extents a file has (fs/iomap/fiemap.c, fs/ioctl.c): each extent is copied to user memory
// as soon as the next one is mapped, while the filesystem holds what it holds for the walk.

import {
  EBADR,
  EFAULT,
  EFBIG,
  EINVAL,
  ENOENT,
  err,
  PAGE_SIZE,
  type Pfn,
  type Sleep,
  type Status,
} from "@faultline/kernel";
import { pageAddress, type UserAccess, type UserTask } from "@faultline/mm";
import { filemapWriteAndWait } from "../cache/page-writeback.ts";
import type { FileMapping, Inode } from "../vfs/inode.ts";
import { IOMAP_HOLE, IOMAP_INLINE, IOMAP_REPORT, type Iomap, IomapIter, type IomapOps, iomapIter } from "./iomap.ts";

/** Write dirty pages back first. */
export const FIEMAP_FLAG_SYNC = 1;
const FIEMAP_EXTENT_LAST = 1;
const FIEMAP_EXTENT_DATA_INLINE = 0x200;
const FIEMAP_EXTENT_NOT_ALIGNED = 0x100;

/** Bytes of a struct fiemap without extents, and of each extent behind it. */
export const FIEMAP_SIZE = 32;
export const FIEMAP_EXTENT_SIZE = 56;

/** Where extents go and how many are there. Linux: struct fiemap_extent_info */
export interface FiemapExtentInfo {
  /** FIEMAP_FLAG_*; what is not known is left in it with -EBADR. */
  flags: number;
  mapped: number;
  /** Room for so many; 0: they are only counted. */
  readonly max: number;
  /** User address of the first. */
  readonly start: number;
  /** A page of the kernel, in which each is put together. */
  readonly scratch: Pfn;
}

/**
 * Tell the extents of [start, start + length).
 *
 * Context: sleeps; what else depends on `user`. Returns: 0, -EFAULT, -EINVAL, -EFBIG, -EBADR or an error of the filesystem.
 * Linux:   iomap_fiemap()
 */
export function* iomapFiemap<Y>(
  task: UserTask,
  inode: Inode,
  info: FiemapExtentInfo,
  start: number,
  length: number,
  ops: IomapOps,
  user: UserAccess<Y>,
): Generator<Sleep | Y, Status, void> {
  const status = yield* fiemapPrep(task, inode, info, start, length);
  if (status !== 0) return status;
  const iter = new IomapIter(inode, start, Math.min(length, MAX_OFFSET - start), IOMAP_REPORT);
  // An extent is told when it is known whether another one follows.
  let prev: Iomap | null = null;
  let ret: number;
  while ((ret = yield* iomapIter(task, iter, ops)) > 0) {
    const { length: passed, iomap } = iter;
    iter.processed = passed;
    if (iomap.type === IOMAP_HOLE) continue;
    const told = prev === null ? 0 : yield* iomapToFiemap(task, info, prev, 0, user);
    prev = { ...iomap };
    if (told !== 0) iter.processed = Math.min(told, 0);
  }
  if (prev !== null && (ret >= 0 || ret === -ENOENT || inode.sb.iomap.fiemapTellsLast)) {
    const told = yield* iomapToFiemap(task, info, prev, FIEMAP_EXTENT_LAST, user);
    if (told < 0) return told as Status;
    ret = inode.sb.iomap.fiemapTellsLast ? 0 : ret;
  }
  // Behind the last byte there is nothing.
  return ret < 0 && ret !== -ENOENT ? (ret as Status) : 0;
}

/** Offsets of files stay below this. Linux: s_maxbytes */
const MAX_OFFSET = 2 ** 63;

/** Linux: fiemap_prep() */
function* fiemapPrep(
  task: UserTask,
  inode: Inode,
  info: FiemapExtentInfo,
  start: number,
  length: number,
): Generator<Sleep, Status, void> {
  if (length === 0) return err(EINVAL);
  if (start >= MAX_OFFSET) return err(EFBIG);
  const unknown = info.flags & ~FIEMAP_FLAG_SYNC;
  if (unknown !== 0) {
    info.flags = unknown;
    return err(EBADR);
  }
  if ((info.flags & FIEMAP_FLAG_SYNC) === 0) return 0;
  return yield* filemapWriteAndWait(task, inode.mapping as FileMapping, 0, Number.MAX_SAFE_INTEGER);
}

/** Returns: 1 when no more are wanted, 0, or -EFAULT. Linux: iomap_to_fiemap() */
function iomapToFiemap<Y>(
  task: UserTask,
  info: FiemapExtentInfo,
  iomap: Iomap,
  flags: number,
  user: UserAccess<Y>,
): Generator<Sleep | Y, number, void> {
  const inline = iomap.type === IOMAP_INLINE ? FIEMAP_EXTENT_DATA_INLINE | FIEMAP_EXTENT_NOT_ALIGNED : 0;
  return fiemapFillNextExtent(task, info, iomap, flags | inline, user);
}

/** Returns: as iomapToFiemap. Linux: fiemap_fill_next_extent() */
function* fiemapFillNextExtent<Y>(
  task: UserTask,
  info: FiemapExtentInfo,
  { offset, length, addr }: Iomap,
  flags: number,
  user: UserAccess<Y>,
): Generator<Sleep | Y, number, void> {
  const last = (flags & FIEMAP_EXTENT_LAST) !== 0 ? 1 : 0;
  if (info.max === 0) {
    info.mapped++;
    return last;
  }
  if (info.mapped >= info.max) return 1;
  const at = pageAddress(info.scratch);
  const extent = new DataView(task.mm.mem.u8.buffer, task.mm.mem.u8.byteOffset + at, FIEMAP_EXTENT_SIZE);
  for (let i = 0; i < FIEMAP_EXTENT_SIZE; i += 8) extent.setBigUint64(i, 0n, true);
  for (const [i, value] of [offset, addr * PAGE_SIZE, length].entries())
    extent.setBigUint64(i * 8, BigInt(value), true);
  extent.setUint32(40, flags, true);
  const to = info.start + info.mapped * FIEMAP_EXTENT_SIZE;
  if ((yield* user.copyToUser(task, to, at, FIEMAP_EXTENT_SIZE)) > 0) return err(EFAULT);
  info.mapped++;
  return info.mapped === info.max ? 1 : last;
}
