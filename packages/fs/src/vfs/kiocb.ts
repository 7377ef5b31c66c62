// struct kiocb: one read or write in progress. Flags as in include/linux/fs.h.

import type { File } from "./file.ts";

export const IOCB_HIPRI: number = 1 << 0;
export const IOCB_DSYNC: number = 1 << 1;
export const IOCB_SYNC: number = 1 << 2;
export const IOCB_NOWAIT: number = 1 << 3;
export const IOCB_APPEND: number = 1 << 4;
export const IOCB_DIRECT: number = 1 << 17;
/** Only what is in the page cache: start no I/O. */
export const IOCB_NOIO: number = 1 << 20;

export interface Kiocb {
  readonly file: File;
  /** Position in the file; the operation moves it by what it transfers. Linux: ki_pos */
  pos: number;
  /** IOCB_*. */
  flags: number;
}
