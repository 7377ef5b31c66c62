// struct gfs2_sbd: one gfs2 mounted on one node.

import type { MaySleep, Status, Task, World } from "@faultline/kernel";
import type { PhysMem, UserTask } from "@faultline/mm";
import { dropAllPages } from "../cache/page-cache.ts";
import { DirtyPages } from "../cache/page-writeback.ts";
import type { ReadaheadRevision } from "../cache/readahead.ts";
import type { DiskSegment } from "../disk/bio.ts";
import type { Disk } from "../disk/disk.ts";
import type { DiskInode } from "../disk/disk-inode.ts";
import type { IomapRevision } from "../iomap/revision.ts";
import { mountLog } from "../log.ts";
import type { Inode } from "../vfs/inode.ts";
import { MAX_FILE_SIZE, type SuperBlock } from "../vfs/super.ts";
import { dropCache, inodeDioWait } from "./glops.ts";
import { Gfs2Inode } from "./inode.ts";
import { type LockManager, LockSpace } from "./lock-space.ts";
import type { Gfs2Revision } from "./revision.ts";

export interface MountOptions {
  /** The name of the node. */
  readonly node: string;
  readonly mem: PhysMem;
  readonly dirtyLimit?: number | undefined;
  readonly disk: Disk;
  readonly revision: Gfs2Revision;
  readonly lm: LockManager;
  startWorker(comm: string, body: (task: UserTask) => MaySleep<void>): Task;
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
  readonly referencesPin: boolean;
  /** Inodes whose dinodes were changed since the journal was last committed. */
  readonly journaled: Set<Gfs2Inode> = new Set();
  readonly #inodes = new Map<DiskInode, Gfs2Inode>();

  constructor({ node, mem, dirtyLimit, disk, revision, lm, startWorker }: MountOptions) {
    this.world = mem.world;
    this.mem = mem;
    this.disk = disk;
    this.revision = revision;
    this.lockSpace = new LockSpace({
      world: mem.world,
      node,
      lm,
      revision: revision.glock,
      startWorker,
      withdraw: (status) => this.#withdraw(status),
    });
    this.dirty = new DirtyPages(mem.world, dirtyLimit ?? Math.floor(mem.frames / 5));
    this.readahead = revision.readahead;
    this.iomap = revision.iomap;
    this.readBatch = revision.readBatch;
    this.referencesPin = revision.referencesPin;
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

  /**
   * If it has no name, and nobody has it open or mapped any more: its pages and blocks are free.
   *
   * Context: atomic. Linux: gfs2_evict_inode()
   */
  evictUnused(task: UserTask, inode: Gfs2Inode): void {
    if (inode.disk.links > 0 || inode.disk.openCount > 0 || inode.mapping.iMmap.size > 0) return;
    this.#inodes.delete(inode.disk);
    this.journaled.delete(inode);
    dropAllPages(task, inode.mapping);
    this.disk.evict(inode.disk);
  }

  /**
   * Write-back failed while another node waited: this one may neither keep the lock nor give it away. It drops
   * what it caches, stops writing, and leaves; others get its locks when its journal is recovered.
   */
  #withdraw(status: Status): void {
    const { node, lm, startWorker } = this.lockSpace;
    if (mountLog.enabled) mountLog("%s withdraws: error %d", node, status);
    const { disk, mem } = this;
    const inodes = [...this.#inodes.values()];
    const recover = (): void => this.recoverJournal();
    startWorker("gfs2_withdraw", function* (task): MaySleep<void> {
      disk.fence(mem);
      for (const inode of inodes) {
        yield* inodeDioWait(inode);
        yield* dropCache(task, inode);
      }
      lm.leave(recover);
    });
  }

  /** The node stops where it is, with all that is not on disk. Context: atomic. */
  crash(): void {
    const { node, lm } = this.lockSpace;
    if (mountLog.enabled) mountLog("%s crashes", node);
    this.lockSpace.dead = true;
    this.disk.fence(this.mem);
    lm.leave(() => this.recoverJournal());
  }

  /**
   * On behalf of a node that is gone: its files are as they were when it last wrote them out, and files without
   * a name that only it had open are free.
   *
   * Context: atomic. Linux: gfs2_recover_func()
   */
  recoverJournal(): void {
    if (mountLog.enabled) mountLog("%s: journal recovered", this.lockSpace.node);
    for (const inode of this.#inodes.values()) {
      if (inode.metadataDirty) this.disk.rollback(inode.disk);
      if (!this.lockSpace.dead) continue;
      inode.disk.openCount -= inode.openCount;
      if (inode.openCount > 0 && inode.disk.openCount === 0 && inode.disk.links === 0) this.disk.evict(inode.disk);
    }
  }

  submitRead(inode: Inode, position: number, segments: readonly DiskSegment[], endIo: (status: Status) => void): void {
    this.disk.submit({ inode: (inode as Gfs2Inode).disk, mem: this.mem, position, segments, write: false, endIo });
  }

  submitWrite(inode: Inode, position: number, segments: readonly DiskSegment[], endIo: (status: Status) => void): void {
    this.disk.submit({ inode: (inode as Gfs2Inode).disk, mem: this.mem, position, segments, write: true, endIo });
  }
}
