// Making a file durable (fs/gfs2/file.c: gfs2_fsync).

import { ignoreResult, type MaySleep, type Status } from "@faultline/kernel";
import type { UserTask } from "@faultline/mm";
import { filemapWriteAndWait } from "../cache/page-writeback.ts";
import type { File } from "../vfs/file.ts";
import type { Gfs2Inode } from "./inode.ts";
import { writeDinode } from "./super.ts";

/**
 * Write the range [start, end] and the dinode to disk, and wait.
 *
 * Context: sleeps. Returns: 0, -EIO or -ENOSPC; a write-back error is told once to each open file.
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
  const { mapping } = inode;
  ignoreResult(yield* filemapWriteAndWait(task, mapping, start, end), "the file is told below");
  // The dinode is a page of metadata that this task makes dirty when it commits the journal.
  if (inode.metadataDirty) task.nrDirtied++;
  const metadata = writeDinode(inode);
  const { error, next } = mapping.errseq.checkAndAdvance(file.wbErr);
  file.wbErr = next;
  if (error !== 0 || metadata !== 0) return error !== 0 ? error : metadata;
  return inode.sb.disk.flush(inode.disk);
}
