// Making a file durable (fs/gfs2/file.c: gfs2_fsync).

import { ignoreResult, type MaySleep, type Status } from "@faultline/kernel";
import type { UserTask } from "@faultline/mm";
import { filemapFdatawait, filemapFdatawrite, filemapWriteAndWait } from "../cache/page-writeback.ts";
import type { File } from "../vfs/file.ts";
import type { Gfs2Inode } from "./inode.ts";
import { writeDinode } from "./super.ts";

/**
 * If the dinode is in the journal, commit the journal. The data of all files go to disk first, so that no block is
 * reached before its bytes are there; what was stored by mappings alone may wait. Then every dinode in the journal
 * becomes a dirty page of metadata, and the task that commits has made it dirty.
 *
 * Context: sleeps. Linux: gfs2_log_flush(), gfs2_ordered_write(), gfs2_unpin()
 */
function* commitJournal(task: UserTask, inode: Gfs2Inode): MaySleep<void> {
  const { journaled } = inode.sb;
  if (!journaled.has(inode)) return;
  for (const other of [...inode.sb.inodes()]) {
    const { mapping } = other;
    task.world.accesses?.write(mapping.dirtyId);
    if (!other.ordered) continue;
    other.ordered = false;
    ignoreResult(
      yield* filemapWriteAndWait(task, mapping, 0, Number.MAX_SAFE_INTEGER),
      "whoever has that file open is told",
    );
  }
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
  yield* filemapFdatawrite(task, mapping, start, end);
  const committing = inode.datasyncDirty || !datasync;
  if (committing) yield* commitJournal(task, inode);
  ignoreResult(yield* filemapFdatawait(mapping, start, end), "the file is told below");
  const metadata = committing ? writeDinode(inode) : 0;
  const { error, next } = mapping.errseq.checkAndAdvance(file.wbErr);
  file.wbErr = next;
  if (error !== 0 || metadata !== 0) return error !== 0 ? error : metadata;
  return inode.sb.disk.flush(inode.disk);
}
