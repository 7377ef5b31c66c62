// struct file: an open file, its flags, position and read-ahead state.

import {
  type Faulting,
  type MaySleep,
  Mutex,
  partOf,
  type Sleep,
  type Ssize,
  type Status,
  type World,
} from "@faultline/kernel";
import type { UserTask, VmaBacking } from "@faultline/mm";
import type { IovIter } from "@faultline/uio";
import type { Inode } from "./inode.ts";
import type { Kiocb } from "./kiocb.ts";

// include/uapi/asm-generic/fcntl.h
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NONBLOCK = 0o4000;
export const O_DSYNC = 0o10000;
export const O_DIRECT = 0o40000;
/** O_SYNC includes O_DSYNC. */
export const O_SYNC: number = 0o4000000 | O_DSYNC;

/** What O_RDONLY, O_WRONLY and O_RDWR are one less than; with 3, which is none of them, a file can do neither. */
const FMODE_READ = 1;
const FMODE_WRITE = 2;

/** What is known about how a file is being read, in pages. Linux: struct file_ra_state */
export interface FileRaState {
  /** What the access log calls it: readers of one open file change it under each other. */
  readonly id: number;
  /** Where the current window starts, how long it is, and how much of it was read ahead of need. */
  start: number;
  size: number;
  asyncSize: number;
  /** Largest window. */
  raPages: number;
  /** Misses in mappings; too many turn read-around off. */
  mmapMiss: number;
  /** Position where the last read ended; -1 before the first. */
  prevPos: number;
  /** Reads will be at random places: read what is asked for and no more. Linux: FMODE_RANDOM */
  random: boolean;
}

/** What a file can do. `Y`: what a read or write may yield besides sleeping; Faulting on kernels before the fix. */
export interface FileOperations<Y = never> {
  readIter(task: UserTask, iocb: Kiocb, to: IovIter): Generator<Sleep | Y, Ssize, void>;
  writeIter(task: UserTask, iocb: Kiocb, from: IovIter): Generator<Sleep | Y, Ssize, void>;
  /**
   * The same two for one range of user memory, when nothing is missing and nothing has to be waited for.
   *
   * Context: atomic. Returns: all bytes, or null; nothing has happened then.
   */
  readNow?(task: UserTask, iocb: Kiocb, buf: number, count: number): Ssize | null;
  writeNow?(task: UserTask, iocb: Kiocb, buf: number, count: number): Ssize | null;
  llseek?(task: UserTask, file: File, offset: number, whence: number): MaySleep<number>;
  fsync?(task: UserTask, file: File, start: number, end: number, datasync: boolean): MaySleep<Status>;
  /** What mmap of the file maps, or an error. */
  mmap?(task: UserTask, file: File): MaySleep<VmaBacking | Status>;
  /** The last user is gone. Context: atomic. */
  release(task: UserTask, file: File): void;
}

/** What open leaves behind: one open file description. */
export class File {
  /** Null for pipes; their operations never look at it, and those of files always have one. */
  readonly inode: Inode;
  readonly fOp: FileOperations<Faulting>;
  /** O_*. */
  readonly flags: number;
  /** Does it have a position? */
  readonly seekable: boolean;
  /** Does it honour RWF_NOWAIT? gfs2 does not say so, though its reads do; pipes do since 6.4. Linux: FMODE_NOWAIT */
  readonly nowait: boolean;
  /** The position that read() and write() move. */
  pos = 0;
  /** Held by read() and write() while they use `pos`. Linux: f_pos_lock */
  readonly posLock: Mutex;
  readonly ra: FileRaState;
  /** Write-back errors that it was told of. Linux: f_wb_err */
  wbErr: number;
  /** Descriptors and mappings that refer to it. */
  count = 1;

  constructor(world: World, fOp: FileOperations<Faulting>, flags: number, inode: Inode | null, nowait = false) {
    this.inode = inode as Inode;
    this.fOp = fOp;
    this.flags = flags;
    this.seekable = inode !== null;
    this.nowait = nowait;
    this.posLock = new Mutex(world, "f_pos_lock", `f_pos_lock ${inode?.label ?? "pipe"}`);
    this.wbErr = inode?.mapping.errseq.sample() ?? 0;
    const raPages = inode?.sb.readahead.raPages ?? 0;
    const id = partOf(this.posLock.id, 1);
    this.ra = { id, start: 0, size: 0, asyncSize: 0, raPages, mmapMiss: 0, prevPos: -1, random: false };
  }

  get readable(): boolean {
    return ((this.flags + 1) & FMODE_READ) !== 0;
  }

  get writable(): boolean {
    return ((this.flags + 1) & FMODE_WRITE) !== 0;
  }
}

/** One more user. Linux: get_file() */
export function getFile(file: File): File {
  file.count++;
  return file;
}

/** One user fewer; the last one closes it. Context: atomic. Linux: fput() */
export function fput(task: UserTask, file: File): void {
  if (--file.count === 0) file.fOp.release(task, file);
}
