// Moving the file position (fs/gfs2/file.c: gfs2_llseek), holes and data included.

import { EINVAL, ENXIO, err, type MaySleep, PAGE_SIZE } from "@faultline/kernel";
import type { UserTask } from "@faultline/mm";
import type { File } from "../vfs/file.ts";
import { Gfs2Holder } from "./glock.ts";
import { gfs2GlockDq, gfs2GlockNq } from "./glock-queue.ts";
import type { Gfs2Inode } from "./inode.ts";
import { LM_FLAG_ANY, LM_ST_SHARED } from "./lm.ts";

export const SEEK_SET = 0;
export const SEEK_CUR = 1;
export const SEEK_END = 2;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

/**
 * Move the position and return it.
 *
 * Context: sleeps. Returns: the position, -EINVAL, or -ENXIO when there is no data behind `offset`.
 * Linux: gfs2_llseek()
 */
export function* gfs2Llseek(task: UserTask, file: File, offset: number, whence: number): MaySleep<number> {
  const inode = file.inode as Gfs2Inode;
  let target = offset;
  if (whence === SEEK_CUR) target += file.pos;
  else if (whence === SEEK_END || whence === SEEK_DATA || whence === SEEK_HOLE) {
    const holder = new Gfs2Holder(inode.glock, LM_ST_SHARED, whence === SEEK_END ? LM_FLAG_ANY : 0, "gfs2_llseek");
    const status = yield* gfs2GlockNq(task, holder);
    if (status !== 0) return status;
    target = whence === SEEK_END ? inode.size + offset : seekInMap(inode, offset, whence);
    gfs2GlockDq(task, holder);
  } else if (whence !== SEEK_SET) return err(EINVAL);
  if (target < 0 && whence >= SEEK_DATA) return target;
  if (target < 0 || target > inode.sb.maxBytes) return err(EINVAL);
  file.pos = target;
  return target;
}

/** Linux: iomap_seek_data(), iomap_seek_hole() */
function seekInMap(inode: Gfs2Inode, offset: number, whence: number): number {
  if (offset < 0 || offset >= inode.size) return err(ENXIO);
  const { map } = inode.disk;
  if (map.stuffed) return whence === SEEK_DATA ? offset : inode.size;
  const first = Math.floor(offset / PAGE_SIZE);
  const end = Math.ceil(inode.size / PAGE_SIZE);
  let block = first;
  if (whence === SEEK_DATA) {
    block = map.nextData(first, end);
    if (block === end) return err(ENXIO);
  } else {
    while (block < end && map.addressOf(block) !== 0) block++;
  }
  return Math.min(inode.size, Math.max(offset, block * PAGE_SIZE));
}
