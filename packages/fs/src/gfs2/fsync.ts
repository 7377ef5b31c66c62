// Making a file durable (fs/gfs2/file.c: gfs2_fsync).

import type { MaySleep, Status } from "@faultline/kernel";
import type { UserTask } from "@faultline/mm";
import { filemapWriteAndWait } from "../cache/page-writeback.ts";
import type { File } from "../vfs/file.ts";
import type { Gfs2Inode } from "./inode.ts";
import { writeDinode } from "./super.ts";

/**
 * Write the range [start, end] and the dinode to disk, and wait.
 *
 * Context: sleeps. Returns: 0, -EIO or -ENOSPC; a write-back error is told once.
 * Linux: gfs2_fsync()
 */
export function* gfs2Fsync(
  task: UserTask,
  file: File,
  start: number,
  end: number,
  _datasync: boolean,
): MaySleep<Status> {
  const inode = file.inode as Gfs2Inode;
  const data = yield* filemapWriteAndWait(task, inode.mapping, start, end);
  if (data !== 0) return data;
  // The dinode is a page of metadata that this task makes dirty when it commits the journal.
  if (inode.metadataDirty) task.nrDirtied++;
  const metadata = writeDinode(inode);
  return metadata !== 0 ? metadata : inode.sb.disk.flush(inode.disk);
}
