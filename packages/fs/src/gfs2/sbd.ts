// struct gfs2_sbd: one gfs2 mounted on one node.

import type { MaySleep, Status, World } from "@faultline/kernel";
import type { PhysMem, UserTask } from "@faultline/mm";
import { dropAllPages } from "../cache/page-cache.ts";
import { DirtyPages } from "../cache/page-writeback.ts";
import type { ReadaheadRevision } from "../cache/readahead.ts";
import type { Disk, DiskInode, DiskSegment } from "../disk/disk.ts";
import type { IomapRevision } from "../iomap/revision.ts";
import type { Inode } from "../vfs/inode.ts";
import { MAX_FILE_SIZE, type SuperBlock } from "../vfs/super.ts";
import { Gfs2Inode } from "./inode.ts";
import { type LockManager, LockSpace } from "./lock-space.ts";
import type { Gfs2Revision } from "./revision.ts";

export interface MountOptions {
  readonly mem: PhysMem;
  readonly dirtyLimit?: number | undefined;
  readonly disk: Disk;
  readonly revision: Gfs2Revision;
  readonly lm: LockManager;
  readonly startWorker: (comm: string, body: (task: UserTask) => MaySleep<void>) => void;
}

export class Gfs2Sbd implements SuperBlock {
  readonly world: World;
  readonly mem: PhysMem;
  readonly disk: Disk;
  readonly revision: Gfs2Revision;
  readonly lockSpace: LockSpace;
  readonly maxBytes: number = MAX_FILE_SIZE;
  readonly dirty: DirtyPages;
  readonly readahead: ReadaheadRevision;
  readonly iomap: IomapRevision;
  readonly readBatch: number;
  readonly #inodes = new Map<DiskInode, Gfs2Inode>();

  constructor({ mem, dirtyLimit, disk, revision, lm, startWorker }: MountOptions) {
    this.world = mem.world;
    this.mem = mem;
    this.disk = disk;
    this.revision = revision;
    this.lockSpace = new LockSpace(mem.world, lm, revision.glock, startWorker);
    this.dirty = new DirtyPages(dirtyLimit ?? Math.floor(mem.frames / 5));
    this.readahead = revision.readahead;
    this.iomap = revision.iomap;
    this.readBatch = revision.readBatch;
  }

  /** The inode of a name; -ENOENT unless `create`. Context: atomic. */
  lookup(name: string, create: boolean): Gfs2Inode | Status {
    const disk = this.disk.lookup(name, create);
    if (typeof disk === "number") return disk;
    let inode = this.#inodes.get(disk);
    if (inode === undefined) {
      inode = new Gfs2Inode(this, disk);
      this.#inodes.set(disk, inode);
    }
    return inode;
  }

  /** The inodes that this node knows, by the order in which it met them. */
  inodes(): IterableIterator<Gfs2Inode> {
    return this.#inodes.values();
  }

  /** Nobody has an unlinked file open any more: its pages and blocks are free. Context: atomic. Linux: gfs2_evict_inode() */
  evict(task: UserTask, inode: Gfs2Inode): void {
    this.#inodes.delete(inode.disk);
    dropAllPages(task, inode.mapping);
    this.disk.evict(inode.disk);
  }

  submitRead(inode: Inode, position: number, segments: readonly DiskSegment[], endIo: (status: Status) => void): void {
    this.disk.submit({ inode: (inode as Gfs2Inode).disk, mem: this.mem, position, segments, write: false, endIo });
  }

  submitWrite(inode: Inode, position: number, segments: readonly DiskSegment[], endIo: (status: Status) => void): void {
    this.disk.submit({ inode: (inode as Gfs2Inode).disk, mem: this.mem, position, segments, write: true, endIo });
  }
}
