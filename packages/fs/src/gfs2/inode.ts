// struct gfs2_inode: a file on one node, between its glock, its page cache and its blocks on disk.

import { STUFFED_MAX } from "../disk/block-map.ts";
import type { DiskInode } from "../disk/disk.ts";
import { FileMapping, Inode } from "../vfs/inode.ts";
import { gfs2Aops } from "./aops.ts";
import type { Gfs2Holder, Glock } from "./glock.ts";
import { GLF_DIRTY } from "./glock.ts";
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
  /** Shared writable mappings were used: their entries must go before the lock does. Linux: GIF_SW_PAGED */
  swPaged = false;
  /** The holder between iomap_begin and iomap_end, where that is where the lock is taken: until 5.15. Linux: i_gh */
  iomapHolder: Gfs2Holder | null = null;
  /** Where the stuffed data stand. */
  #stuffedLoaded = false;

  constructor(sb: Gfs2Sbd, disk: DiskInode) {
    super(sb, disk.ino, disk.path.slice(sb.disk.root.length).replace(/^\/+/, ""));
    this.disk = disk;
    this.size = disk.size;
    this.mapping = new FileMapping(sb.mem, gfs2Aops, this, disk.ino, this.label);
    this.glock = sb.lockSpace.get(inodeGlops, disk.ino, this.label);
    this.glock.object = this;
  }

  override get isInline(): boolean {
    return this.disk.map.stuffed;
  }

  /** The data of a stuffed file, read from disk when first asked for. */
  loadStuffed(): Uint8Array {
    if (!this.#stuffedLoaded) {
      this.stuffedData.fill(0);
      this.sb.disk.readNow(this.disk, this.stuffedData, Math.min(this.disk.size, STUFFED_MAX));
      this.#stuffedLoaded = true;
    }
    return this.stuffedData;
  }

  /** Forget what was cached of the dinode: another node may have changed it. */
  dropMetadata(): void {
    this.#stuffedLoaded = false;
  }

  override markInlineDirty(): void {
    this.markDirty();
  }

  /** Metadata changed. Context: atomic; the glock is held exclusively. Linux: mark_inode_dirty() */
  markDirty(): void {
    this.metadataDirty = true;
    this.glock.flags |= GLF_DIRTY;
  }
}
