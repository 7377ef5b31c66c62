// Making a file durable (fs/gfs2/file.c: gfs2_fsync).

import { ignoreResult, type MaySleep, type Status } from "@faultline/kernel";
import type { UserTask } from "@faultline/mm";
import { filemapWriteAndWait } from "../cache/page-writeback.ts";
import type { File } from "../vfs/file.ts";
import type { Gfs2Inode } from "./inode.ts";
import { writeDinode } from "./super.ts";

/**
 * If the dinode is in the journal, commit the journal: every dinode in it becomes a dirty page of metadata, and
 * the task that commits has made it dirty.
 *
 * Context: atomic. Linux: gfs2_log_flush(), gfs2_unpin()
 */
function commitJournal(task: UserTask, inode: Gfs2Inode): void {
  const { journaled } = inode.sb;
  if (!journaled.has(inode)) return;
  task.nrDirtied += journaled.size;
  journaled.clear();
}

/**
 * Write the range [start, end] and the dinode to disk, and wait. With `datasync` a dinode stays where nothing but
 * its times have changed.
 *
 * Context: sleeps. Returns: 0, -EIO or -ENOSPC; a write-back error is told once to each open file.
 * Linux: gfs2_fsync()
 */
export function* gfs2Fsync(
  task: UserTask,
  file: File,
  start: number,
  end: number,
  datasync: boolean,
): MaySleep<Status> {
  const inode = file.inode as Gfs2Inode;
  const { mapping } = inode;
  ignoreResult(yield* filemapWriteAndWait(task, mapping, start, end), "the file is told below");
  const committing = inode.datasyncDirty || !datasync;
  if (committing) commitJournal(task, inode);
  const metadata = committing ? writeDinode(inode) : 0;
  const { error, next } = mapping.errseq.checkAndAdvance(file.wbErr);
  file.wbErr = next;
  if (error !== 0 || metadata !== 0) return error !== 0 ? error : metadata;
  return inode.sb.disk.flush(inode.disk);
}
