// A file as it is on disk: what all nodes agree on while they hold its glock.

import { BlockMap } from "./block-map.ts";
import type { RequestQueue } from "./request-queue.ts";

export class DiskInode {
  readonly ino: number;
  /** Where the volume has it; reports use it as the file's name. */
  readonly path: string;
  /** The volume's file descriptor, open as long as anybody knows the inode. */
  readonly fd: number;
  /** Size and time of the last change as last written to disk. */
  size: number;
  mtime = 0;
  /** As the node that holds the glock exclusively has it; see Disk.commit and Disk.rollback. */
  readonly map: BlockMap = new BlockMap();
  /** Blocks given back since the last commit: until then their bytes must stay. */
  readonly freed: Set<number> = new Set();
  /** Names in directories; 0 once unlinked. */
  links = 1;
  /** Open files, on all nodes. */
  openCount = 0;
  /** Its requests, where the disk is a task of its own. */
  queue: RequestQueue | null = null;
  /** It is gone: unlinked, and nobody has it open. What still comes for it is void. */
  evicted = false;

  constructor(ino: number, path: string, fd: number, size: number) {
    this.ino = ino;
    this.path = path;
    this.fd = fd;
    this.size = size;
  }
}
