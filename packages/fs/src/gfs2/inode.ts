// struct gfs2_inode: a file on one node, between its glock, its page cache and its blocks on disk.

import { ignoreResult, type Status } from "@faultline/kernel";
import { STUFFED_MAX } from "../disk/block-map.ts";
import type { DiskInode } from "../disk/disk-inode.ts";
import { FileMapping, Inode } from "../vfs/inode.ts";
import { gfs2Aops } from "./aops.ts";
import type { Gfs2Holder, Glock } from "./glock.ts";
import { GLF_DIRTY, GLF_INSTANTIATE_NEEDED } from "./glock.ts";
import { inodeGlops } from "./glops.ts";
import type { Gfs2Sbd } from "./sbd.ts";

export class Gfs2Inode extends Inode {
  declare readonly sb: Gfs2Sbd;
  readonly disk: DiskInode;
  readonly mapping: FileMapping;
  /** Cluster lock of the file. Linux: i_gl */
  readonly glock: Glock;
  /** The dinode's tail: the data of a stuffed file. Linux: the buffer of the dinode block */
  readonly stuffedData: Uint8Array = new Uint8Array(STUFFED_MAX);
  /** Size, times, blocks or stuffed data differ from the disk. Linux: I_DIRTY */
  metadataDirty = false;
  /** More of that than the times: what a program that reads back its data cannot do without. Linux: I_DIRTY_DATASYNC */
  datasyncDirty = false;
  /** Data were written through the page cache since the journal was last committed. Linux: GIF_ORDERED */
  ordered = false;
  /** Shared writable mappings were used: their entries must go before the lock does. Linux: GIF_SW_PAGED */
  swPaged = false;
  /** The holder between iomap_begin and iomap_end, where that is where the lock is taken: until 5.15. Linux: i_gh */
  iomapHolder: Gfs2Holder | null = null;

  constructor(sb: Gfs2Sbd, disk: DiskInode) {
    super(sb, disk.ino, disk.path.slice(sb.disk.root.length).replace(/^\/+/, ""));
    this.disk = disk;
    this.mapping = new FileMapping(sb.mem, gfs2Aops, this, disk.ino, this.label);
    this.glock = sb.lockSpace.get(inodeGlops, disk.ino, this.label);
    this.glock.object = this;
    this.glock.flags |= GLF_INSTANTIATE_NEEDED;
    ignoreResult(this.refresh(), "whoever locks it reads it again");
  }

  /** Take over what is on disk: size, time, stuffed data. Context: atomic. Returns: 0 or an error. Linux: gfs2_dinode_in() */
  refresh(): Status {
    this.size = this.disk.size;
    this.mtime = this.disk.mtime;
    return this.isInline ? this.sb.disk.readDinode(this.disk, this.stuffedData) : 0;
  }

  override get isInline(): boolean {
    return this.disk.map.stuffed;
  }

  override markInlineDirty(): void {
    this.markDirty();
  }

  /** Metadata changed. Context: atomic; the glock is held exclusively. Linux: mark_inode_dirty() */
  markDirty(): void {
    this.datasyncDirty = true;
    this.markTimesDirty();
  }

  /** The same when nothing but times changed. Linux: mark_inode_dirty_sync() */
  markTimesDirty(): void {
    this.metadataDirty = true;
    this.sb.journaled.add(this);
    this.glock.flags |= GLF_DIRTY;
  }
}
