// gfs2's part in telling extents (fs/gfs2/inode.c): the walk runs under the glock, and so does the copy of what it finds.

import {
  downRead,
  EFAULT,
  err,
  type Faulting,
  type MaySleep,
  RetryGuard,
  type Sleep,
  type Status,
  upRead,
} from "@faultline/kernel";
import {
  FAULTS_DISABLED,
  FAULTS_ENABLED,
  faultInSafeWriteable,
  pagefaultDisable,
  pagefaultEnable,
  type UserTask,
} from "@faultline/mm";
import { FIEMAP_EXTENT_SIZE, type FiemapExtentInfo, iomapFiemap } from "../iomap/fiemap.ts";
import { gfs2IomapOps } from "./bmap.ts";
import { Gfs2Holder } from "./glock.ts";
import { gfs2GlockDq, gfs2GlockNq } from "./glock-queue.ts";
import type { Gfs2Inode } from "./inode.ts";
import { LM_ST_SHARED } from "./lm.ts";

/** Linux: gfs2_fiemap() */
export type Gfs2Fiemap = (
  task: UserTask,
  inode: Gfs2Inode,
  info: FiemapExtentInfo,
  start: number,
  length: number,
) => Generator<Sleep | Faulting, Status, void>;

/**
 * Extents are copied out with faults enabled, under the glock: the bug of the old read path, found here in 2026.
 *
 * Context: may fault, also while the glock is held. Returns: as iomapFiemap.
 */
export const fiemapFaulting: Gfs2Fiemap = function* gfs2Fiemap(task, inode, info, start, length) {
  yield* downRead(task, inode.rwsem);
  const holder = new Gfs2Holder(inode.glock, LM_ST_SHARED, 0, "gfs2_fiemap");
  let status = (yield* gfs2GlockNq(task, holder)) as Status;
  if (status === 0) {
    status = yield* iomapFiemap(task, inode, info, start, length, gfs2IomapOps, FAULTS_ENABLED);
    gfs2GlockDq(task, holder);
  }
  upRead(task, inode.rwsem);
  return status;
};

/**
 * Extents are copied out with faults disabled. When that falls short, room for all that were asked for is faulted in
 * without the glock, and the walk begins anew.
 *
 * Context: may fault, never while the glock is held. Returns: as iomapFiemap; -EFAULT also when only room that would not
 * have been needed cannot be had.
 */
export const fiemapNofault: Gfs2Fiemap = function* gfs2Fiemap(task, inode, info, start, length) {
  yield* downRead(task, inode.rwsem);
  let status: Status;
  const guard = new RetryGuard("gfs2_fiemap");
  for (;;) {
    info.mapped = 0;
    status = yield* walkLocked(task, inode, info, start, length);
    if (status !== err(EFAULT)) break;
    if ((yield* faultInSafeWriteable(task, info.start, info.max * FIEMAP_EXTENT_SIZE)) > 0) break;
    guard.again(`${info.mapped} extents told`);
  }
  upRead(task, inode.rwsem);
  return status;
};

function* walkLocked(
  task: UserTask,
  inode: Gfs2Inode,
  info: FiemapExtentInfo,
  start: number,
  length: number,
): MaySleep<Status> {
  const holder = new Gfs2Holder(inode.glock, LM_ST_SHARED, 0, "gfs2_fiemap");
  const queued = yield* gfs2GlockNq(task, holder);
  if (queued !== 0) return queued as Status;
  pagefaultDisable(task);
  const status = yield* iomapFiemap(task, inode, info, start, length, gfs2IomapOps, FAULTS_DISABLED);
  pagefaultEnable(task);
  gfs2GlockDq(task, holder);
  return status;
}
