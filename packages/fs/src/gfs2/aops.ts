// gfs2's page cache operations (fs/gfs2/aops.c).

import { type MaySleep, offsetInPage, PAGE_SIZE, type Pfn, type Status } from "@faultline/kernel";
import { getPage, pageAddress, type UserTask, unlockPage, waitOnPageWriteback } from "@faultline/mm";
import {
  balanceDirtyPages,
  beginPageWriteback,
  clearPageDirtyForIo,
  endRunWriteback,
  folioMarkDirty,
  mustBalanceDirty,
  writeCachePages,
} from "../cache/page-writeback.ts";
import type { ReadaheadControl } from "../cache/readahead.ts";
import { segmentsOf } from "../disk/bio.ts";
import { iomapReadahead, iomapReadFolio } from "../iomap/buffered-read.ts";
import type { FileMapping, FileMappingOperations, WritebackRange } from "../vfs/inode.ts";
import { gfs2IomapOps } from "./bmap.ts";
import { GLF_INVALIDATE_IN_PROGRESS } from "./glock.ts";
import type { Gfs2Inode } from "./inode.ts";
import { LM_ST_EXCLUSIVE, LM_ST_SHARED } from "./lm.ts";

export const gfs2Aops: FileMappingOperations = {
  dirtyFolio(task: UserTask, mapping: FileMapping, frame: Pfn): void {
    folioMarkDirty(task, mapping, frame);
  },

  /** Linux: balance_dirty_pages_ratelimited() */
  *balanceDirty(task: UserTask, mapping: FileMapping): MaySleep<void> {
    if (mustBalanceDirty(task, mapping.host.sb.dirty)) yield* balanceDirtyPages(task, mapping);
  },

  /** Linux: gfs2_readahead() */
  *readahead(task: UserTask, rac: ReadaheadControl): MaySleep<void> {
    const inode = rac.mapping.host as Gfs2Inode;
    task.world.trace?.emit(task, "gfs2_readahead", inode.ino);
    // Stuffed data are read with their page, one at a time.
    if (!inode.isInline && mayCache(inode)) yield* iomapReadahead(task, rac, gfs2IomapOps);
  },

  /** Linux: gfs2_read_folio() */
  *readFolio(task: UserTask, mapping: FileMapping, frame: Pfn): MaySleep<Status> {
    task.world.trace?.emit(task, "gfs2_read_folio", mapping.ino);
    const status = yield* iomapReadFolio(task, mapping, frame, gfs2IomapOps);
    task.world.trace?.emit(task, "gfs2_read_folio_ret", status);
    return status;
  },

  /** Linux: gfs2_writepages() */
  *writepages(task: UserTask, mapping: FileMapping, range: WritebackRange): MaySleep<void> {
    yield* writeCachePages(task, mapping, range, (frames, index, endIo) => {
      submitRun(mapping, frames, index, endIo);
    });
  },

  /** Linux: gfs2_writepage(), for reclaim */
  *writepage(task: UserTask, mapping: FileMapping, frame: Pfn): MaySleep<boolean> {
    const { mem } = mapping;
    const dirty = clearPageDirtyForIo(task, mapping, frame);
    if (dirty) {
      getPage(mem, frame);
      beginPageWriteback(mapping, frame);
      submitRun(mapping, [frame], mem.index[frame], endRunWriteback(mapping, [frame]));
    }
    unlockPage(mem, frame);
    yield* waitOnPageWriteback(mem, frame);
    return mapping.wbErr === 0;
  },
};

/**
 * May this node keep pages of the file? Advice (fadvise, madvise) comes without the lock, and is not worth asking
 * another node for it.
 */
function mayCache({ glock, sb }: Gfs2Inode): boolean {
  if (!sb.lockSpace.lm.clustered) return true;
  const dropping = (glock.flags & GLF_INVALIDATE_IN_PROGRESS) !== 0;
  return !dropping && (glock.state === LM_ST_SHARED || glock.state === LM_ST_EXCLUSIVE);
}

/** Send neighbouring pages to the disk, as far as the file goes; what a mapping stored behind its end is lost. */
function submitRun(mapping: FileMapping, frames: readonly Pfn[], index: number, endIo: (status: Status) => void): void {
  const inode = mapping.host as Gfs2Inode;
  const position = index * PAGE_SIZE;
  const length = Math.min(frames.length * PAGE_SIZE, inode.size - position);
  if (length <= 0) {
    endIo(0);
    return;
  }
  if (offsetInPage(length) !== 0) {
    const { mem } = mapping;
    const last = frames[Math.ceil(length / PAGE_SIZE) - 1];
    mem.world.accesses?.write(mem.bytesId(last));
    mem.u8.fill(0, pageAddress(last) + offsetInPage(length), pageAddress(last) + PAGE_SIZE);
  }
  const segments = segmentsOf(frames, length).filter((segment) => segment.length > 0);
  inode.sb.submitWrite(inode, position, segments, endIo);
}
