// struct super_block: one mounted filesystem on one node, and the rules of its kernel that are not its own.

import type { Status, World } from "@faultline/kernel";
import type { PhysMem } from "@faultline/mm";
import type { DirtyPages } from "../cache/page-writeback.ts";
import type { ReadaheadRevision } from "../cache/readahead.ts";
import type { DiskSegment } from "../disk/bio.ts";
import type { IomapRevision } from "../iomap/revision.ts";
import type { Inode } from "./inode.ts";

/** Largest file: page cache indices are 32 bits. Linux: MAX_LFS_FILESIZE, which is larger. */
export const MAX_FILE_SIZE: number = 2 ** 44;

export interface SuperBlock {
  readonly world: World;
  readonly mem: PhysMem;
  /** Largest file position. Linux: s_maxbytes */
  readonly maxBytes: number;
  readonly dirty: DirtyPages;
  readonly readahead: ReadaheadRevision;
  readonly iomap: IomapRevision;
  /** Pages that a buffered read collects before it copies: 15, since 6.9 31. 1: page by page, as before 5.12. Linux: PAGEVEC_SIZE */
  readonly readBatch: number;
  /** See Gfs2Revision. */
  readonly referencesPin: boolean;
  /** Move bytes of a file from or to the disk; `endIo` is called when that is over. Context: atomic. */
  submitRead(inode: Inode, position: number, segments: readonly DiskSegment[], endIo: (status: Status) => void): void;
  submitWrite(inode: Inode, position: number, segments: readonly DiskSegment[], endIo: (status: Status) => void): void;
}
