// Getting inodes to disk (fs/gfs2/super.c, log.c): size and stuffed data, as far as they differ.

import { EIO, err, type Status } from "@faultline/kernel";
import type { Gfs2Inode } from "./inode.ts";

/**
 * Write the dinode: its size, and the data of a stuffed file.
 *
 * Context: atomic; the glock is held exclusively, or is being given up. Returns: 0 or an error.
 * Linux: gfs2_write_inode(), gfs2_log_flush()
 */
export function writeDinode(inode: Gfs2Inode): Status {
  const { disk, lockSpace } = inode.sb;
  if (!inode.metadataDirty) return 0;
  if (lockSpace.withdrawn) return err(EIO);
  const status = disk.commit(inode.disk, inode.size, inode.mtime, inode.isInline ? inode.stuffedData : null);
  if (status === 0) {
    inode.metadataDirty = false;
    inode.datasyncDirty = false;
  }
  return status;
}
