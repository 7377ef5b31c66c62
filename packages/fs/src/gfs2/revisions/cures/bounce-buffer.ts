// cure:bounce-buffer: user memory and the file never meet. Bytes go through pages of the kernel: into the file under
// the glock, into the buffer without it. This one works; it is here for what it costs.

import {
  EFAULT,
  EINVAL,
  ENOMEM,
  ENOTBLK,
  err,
  type MayFault,
  type MaySleep,
  PAGE_SIZE,
  type Pfn,
  pagesFor,
  type Ssize,
} from "@faultline/kernel";
import { allocPage, FAULTS_ENABLED, pageAddress, putPage, type UserTask } from "@faultline/mm";
import {
  copyFromIter,
  copyToIter,
  type IovIter,
  iovIterAlignment,
  iovIterBvec,
  iovIterRevert,
  userBackedIter,
} from "@faultline/uio";
import type { Kiocb } from "../../../vfs/kiocb.ts";
import type { Gfs2Inode } from "../../inode.ts";
import { directLocked, readLocked, writeLocked } from "../../io/nofault.ts";
import type { Gfs2Io } from "../../revision.ts";
import { GFS2_6_12 } from "../kernels.ts";
import type { Cure } from "./cure.ts";

/** Pages of the kernel that one call uses, at most. */
const MAX_PAGES = 16;
/** What direct I/O asks of a buffer, which would be lost on ours. */
const LOGICAL_BLOCK = 512;

/** Move bytes between the file and kernel memory. Context: sleeps. */
type Move = (task: UserTask, iocb: Kiocb, iter: IovIter) => MaySleep<Ssize>;

const read: Move = (task, iocb, to) => readLocked(task, iocb, to, iocb.file.inode as Gfs2Inode);
const write: Move = (task, iocb, from) => writeLocked(task, iocb, from, iocb.file.inode as Gfs2Inode);
const direct: Move = function* (task, iocb, iter) {
  const ip = iter.dataSource ? "gfs2_file_direct_write" : "gfs2_file_direct_read";
  const ret = yield* directLocked(task, iocb, iter, iocb.file.inode as Gfs2Inode, 0, ip);
  return ret === err(ENOTBLK) ? (0 as Ssize) : ret;
};

const bouncing = (move: Move, alignment: number): Gfs2Io =>
  function* (task, iocb, iter): MayFault<Ssize> {
    if (!userBackedIter(iter)) return yield* move(task, iocb, iter);
    if (iovIterAlignment(iter) % alignment !== 0) return err(EINVAL);
    const pages: Pfn[] = [];
    for (let wanted = Math.min(pagesFor(iter.count), MAX_PAGES); wanted > 0; wanted--) {
      const page = yield* allocPage(task, task.mm.mem, false);
      if (page === 0) break;
      pages.push(page);
    }
    let done = 0;
    let ret = (iter.count > 0 && pages.length === 0 ? err(ENOMEM) : 0) as Ssize;
    while (iter.count > 0 && pages.length > 0) {
      const size = Math.min(iter.count, pages.length * PAGE_SIZE);
      ret = yield* iter.dataSource
        ? writeRound(task, iocb, iter, pages, size, move)
        : readRound(task, iocb, iter, pages, size, move);
      if (ret > 0) done += ret;
      if (ret < size) break;
    }
    for (const page of pages) putPage(task.mm.mem, page);
    return (done > 0 ? done : ret) as Ssize;
  };

/** From the buffer into our pages, faults and all; then under the glock into the file. Returns: bytes, or an error. */
function* writeRound(
  task: UserTask,
  iocb: Kiocb,
  from: IovIter,
  pages: readonly Pfn[],
  size: number,
  move: Move,
): MayFault<Ssize> {
  const got = yield* copyPages(pages, size, (physical, bytes) =>
    copyFromIter(task, physical, bytes, from, FAULTS_ENABLED),
  );
  if (got === 0) return err(EFAULT);
  const ret = yield* move(task, iocb, kernelIter(from, pages, got));
  iovIterRevert(from, got - Math.max(ret, 0));
  return ret;
}

/** Under the glock from the file into our pages; then into the buffer. What it does not take was not read. */
function* readRound(
  task: UserTask,
  iocb: Kiocb,
  to: IovIter,
  pages: readonly Pfn[],
  size: number,
  move: Move,
): MayFault<Ssize> {
  const got = yield* move(task, iocb, kernelIter(to, pages, size));
  if (got <= 0) return got;
  const put = yield* copyPages(pages, got, (physical, bytes) => copyToIter(task, physical, bytes, to, FAULTS_ENABLED));
  iocb.pos -= got - put;
  return put > 0 ? (put as Ssize) : err(EFAULT);
}

function* copyPages(
  pages: readonly Pfn[],
  size: number,
  copy: (physical: number, bytes: number) => MayFault<number>,
): MayFault<number> {
  let done = 0;
  for (const page of pages) {
    const bytes = Math.min(PAGE_SIZE, size - done);
    const copied = yield* copy(pageAddress(page), bytes);
    done += copied;
    if (copied < bytes || done === size) break;
  }
  return done;
}

function kernelIter({ dataSource }: IovIter, pages: readonly Pfn[], size: number): IovIter {
  const vecs = pages.slice(0, pagesFor(size)).map((page, i) => ({
    page,
    offset: 0,
    len: Math.min(PAGE_SIZE, size - i * PAGE_SIZE),
  }));
  return iovIterBvec(dataSource, vecs, size);
}

export const CURE_BOUNCE_BUFFER: Cure = {
  ...GFS2_6_12,
  name: "cure:bounce-buffer",
  title: "copy through pages of the kernel: works, at the price of every byte copied twice",
  bufferedRead: bouncing(read, 1),
  bufferedWrite: bouncing(write, 1),
  directRead: bouncing(direct, LOGICAL_BLOCK),
  directWrite: bouncing(direct, LOGICAL_BLOCK),
  story: {
    proposed:
      "David Laight, 27 July 2021: extra code is needed to ensure progress, which might actually require the use of " +
      "bounce buffers for really problematic user requests.",
    seemedRight:
      "It is right. Kernel memory does not fault, so what runs under the glock cannot; what faults runs without it; " +
      "every round moves something, whatever happens to the buffer meanwhile.",
    defeat:
      "Every call pays for the rare one: up to 16 pages allocated, every byte copied twice, and direct I/O that is not " +
      "direct any more. The page cache is a bounce buffer already, and the fix uses it as one: a direct write that " +
      "makes no progress goes through it.",
  },
};
