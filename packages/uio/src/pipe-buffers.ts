// The buffers of a pipe as an iterator sees them (include/linux/pipe_fs_i.h). Whoever owns pipes implements
// PipeBuffers; until 6.4 a read could have one as its destination, which is how splice worked.

import { bugOn, type Pfn } from "@faultline/kernel";
import { type PhysMem, putPage } from "@faultline/mm";

/** One filled stretch of one page; the buffer holds a reference to the page. Linux: struct pipe_buffer */
export interface PipeBuffer {
  readonly page: Pfn;
  readonly offset: number;
  len: number;
  /** The page was allocated for this buffer, so more may be written to it; else it belongs to a file. */
  readonly anon: boolean;
}

/** The ring. All fields are protected by the pipe's mutex. Linux: struct pipe_inode_info */
export interface PipeBuffers {
  readonly mem: PhysMem;
  /** Slots; as many as a power of two. */
  readonly bufs: (PipeBuffer | null)[];
  /** Counts buffers filled; never wraps. The next one goes to slot head % bufs.length. */
  head: number;
  /** Counts buffers emptied. */
  readonly tail: number;
  /** Buffers that may be in use at once. */
  readonly maxUsage: number;
}

/** Linux: pipe_full() */
export function pipeFull(head: number, tail: number, limit: number): boolean {
  return head - tail >= limit;
}

/** The buffer that `head` counts; it must be in use. */
export function pipeBuf(pipe: PipeBuffers, head: number): PipeBuffer {
  const buf = pipe.bufs[head % pipe.bufs.length];
  bugOn(buf === null, "pipe buffer is not in use");
  return buf as PipeBuffer;
}

/** Give up a buffer and its reference. Context: atomic. Linux: pipe_buf_release() */
export function pipeBufRelease(pipe: PipeBuffers, head: number): void {
  const slot = head % pipe.bufs.length;
  putPage(pipe.mem, pipeBuf(pipe, head).page);
  pipe.bufs[slot] = null;
}
