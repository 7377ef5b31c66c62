// Getting inodes to disk (fs/gfs2/super.c, log.c): size and stuffed data, as far as they differ.

import type { Status } from "@faultline/kernel";
import type { Gfs2Inode } from "./inode.ts";

/**
 * Write the dinode: its size, and the data of a stuffed file.
 *
 * Context: atomic; the glock is held exclusively, or is being given up. Returns: 0 or an error.
 * Linux: gfs2_write_inode(), gfs2_log_flush()
 */
export function writeDinode(inode: Gfs2Inode): Status {
  const { disk } = inode.sb;
  if (!inode.metadataDirty) return 0;
  if (inode.isInline) {
    const status = disk.writeNow(inode.disk, inode.loadStuffed(), inode.size);
    if (status !== 0) return status;
  }
  const status = disk.setSize(inode.disk, inode.size);
  if (status === 0) inode.metadataDirty = false;
  return status;
}
