// The way into reading through the page cache (mm/filemap.c): generic_file_read_iter.

import type { Sleep, Ssize } from "@faultline/kernel";
import type { UserAccess, UserTask } from "@faultline/mm";
import type { IovIter } from "@faultline/uio";
import type { Kiocb } from "../vfs/kiocb.ts";
import { genericFileBufferedRead } from "./buffered-read-old.ts";
import { filemapRead } from "./filemap-read.ts";

/**
 * Buffered read with its trace; direct reads are the file system's own business.
 *
 * Linux: generic_file_read_iter()
 */
export function* genericFileReadIter<Y>(
  task: UserTask,
  iocb: Kiocb,
  to: IovIter,
  user: UserAccess<Y>,
): Generator<Sleep | Y, Ssize, void> {
  const { trace } = task.world;
  const { inode } = iocb.file;
  trace?.emit(task, "generic_file_read_iter", inode.ino);
  let ret = 0 as Ssize;
  if (to.count > 0) {
    trace?.emit(task, "filemap_read", inode.ino);
    ret =
      inode.sb.readBatch === 1
        ? yield* genericFileBufferedRead(task, iocb, to, user)
        : yield* filemapRead(task, iocb, to, user);
    trace?.emit(task, "filemap_read_ret", ret);
  }
  trace?.emit(task, "generic_file_read_iter_ret", ret);
  return ret;
}
