// Mapping a range of a file to the disk, one extent at a time (include/linux/iomap.h, fs/iomap/iter.c).
//
// The filesystem maps (`begin`), the actor works on what was mapped, the filesystem learns how far it came
// (`end`), and so on until the range is done or the actor stops.

import type { MaySleep, Status } from "@faultline/kernel";
import type { UserTask } from "@faultline/mm";
import type { Inode } from "../vfs/inode.ts";

export const IOMAP_HOLE = 0;
export const IOMAP_MAPPED = 2;
export const IOMAP_INLINE = 4;

export const IOMAP_F_NEW: number = 1 << 0;
export const IOMAP_F_SIZE_CHANGED: number = 1 << 8;

// Why a range is mapped.
export const IOMAP_READ = 0;
export const IOMAP_WRITE: number = 1 << 0;
export const IOMAP_ZERO: number = 1 << 1;
export const IOMAP_REPORT: number = 1 << 2;
export const IOMAP_DIRECT: number = 1 << 4;
export const IOMAP_NOWAIT: number = 1 << 5;

/** One extent, as the filesystem maps it. Linux: struct iomap */
export interface Iomap {
  type: number;
  /** First byte in the file, and bytes. */
  offset: number;
  length: number;
  /** Disk block of `offset`; 0 for holes and inline data. */
  addr: number;
  /** IOMAP_F_*. */
  flags: number;
  /** IOMAP_INLINE: the bytes, as the filesystem keeps them with its metadata. */
  inlineData: Uint8Array | null;
}

/** What a filesystem does at either end of an extent. Linux: struct iomap_ops */
export interface IomapOps {
  /**
   * Map the extent at `pos`; for writing, allocate what is missing.
   *
   * Context: sleeps. Returns: 0, or an error and nothing is held.
   */
  begin(task: UserTask, inode: Inode, pos: number, length: number, flags: number, iomap: Iomap): MaySleep<Status>;
  /** The actor is done with the extent, `written` bytes of `length`. Context: sleeps. */
  end?(
    task: UserTask,
    inode: Inode,
    pos: number,
    length: number,
    written: number,
    flags: number,
    iomap: Iomap,
  ): MaySleep<Status>;
}

/** A range on its way through its extents. Linux: struct iomap_iter */
export class IomapIter {
  readonly inode: Inode;
  readonly flags: number;
  readonly iomap: Iomap = { type: IOMAP_HOLE, offset: 0, length: 0, addr: 0, flags: 0, inlineData: null };
  pos: number;
  /** Bytes that are left of the range. */
  len: number;
  /** Bytes the actor did in this extent, or an error. */
  processed = 0;

  constructor(inode: Inode, pos: number, len: number, flags: number) {
    this.inode = inode;
    this.pos = pos;
    this.len = len;
    this.flags = flags;
  }

  /** Bytes of the range that the current extent covers. Linux: iomap_length() */
  get length(): number {
    return Math.min(this.len, this.iomap.offset + this.iomap.length - this.pos);
  }
}

/**
 * Finish the current extent, if there is one, and map the next.
 *
 * Context: sleeps. Returns: 1 when there is an extent to work on; 0 at the end; an error.
 * Linux:   iomap_iter()
 */
export function* iomapIter(task: UserTask, iter: IomapIter, ops: IomapOps): MaySleep<number> {
  const { iomap } = iter;
  if (iomap.length > 0) {
    const { processed } = iter;
    const written = Math.max(processed, 0);
    if (ops.end !== undefined) {
      const status = yield* ops.end(task, iter.inode, iter.pos, iter.length, written, iter.flags, iomap);
      if (status < 0 && processed === 0) return status;
    }
    iter.pos += written;
    iter.len -= written;
    iter.processed = 0;
    iomap.length = 0;
    if (processed <= 0 || iter.len === 0) return Math.min(processed, 0);
  }
  iomap.flags = 0;
  const status = yield* ops.begin(task, iter.inode, iter.pos, iter.len, iter.flags, iomap);
  return status < 0 ? status : 1;
}
