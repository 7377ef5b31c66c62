// copy_file_range between two files (fs/read_write.c, fs/splice.c): through pages of the kernel, as many at a
// time as a pipe holds.

import { EBADF, EINVAL, ENOMEM, err, type MayFault, PAGE_SIZE, type Pfn } from "@faultline/kernel";
import { allocPage, putPage } from "@faultline/mm";
import { type BioVec, ITER_DEST, ITER_SOURCE, iovIterBvec } from "@faultline/uio";
import { type File, O_APPEND } from "../vfs/file.ts";
import { checkTask, checkWhole } from "./arguments.ts";
import type { FsTask } from "./fs-task.ts";
import { newSyncKiocb } from "./read-write.ts";

/** Pages that one step moves: the slots of a pipe. */
const STEP_PAGES = 16;

/**
 * Copy bytes between files without user memory.
 *
 * Context: may fault in type only: no user memory is touched. Returns: bytes, -EBADF, -EINVAL (overlap in one file), ...
 * Linux: copy_file_range(), generic_copy_file_range()
 */
export function* sysCopyFileRange(
  task: FsTask,
  fdIn: number,
  posIn: number,
  fdOut: number,
  posOut: number,
  length: number,
): MayFault<number> {
  checkTask(task);
  for (const [name, value] of Object.entries({ fdIn, posIn, fdOut, posOut, length })) checkWhole(value, name);
  const from = task.files.get(fdIn);
  const to = task.files.get(fdOut);
  if (from === null || to === null) return err(EBADF);
  if (!from.seekable || !to.seekable) return err(EINVAL);
  if (!from.readable || !to.writable || (to.flags & O_APPEND) !== 0) return err(EBADF);
  if (posIn < 0 || posOut < 0 || length < 0) return err(EINVAL);
  const wanted = Math.min(length, Math.max(0, from.inode.size - posIn));
  if (from.inode === to.inode && posOut + wanted > posIn && posOut < posIn + wanted) return err(EINVAL);
  const pages: Pfn[] = [];
  for (let i = 0; i < Math.min(STEP_PAGES, Math.ceil(wanted / PAGE_SIZE)); i++) {
    const page = yield* allocPage(task, task.root.mem, false);
    if (page === 0) break;
    pages.push(page);
  }
  let done = 0;
  let error = pages.length === 0 && wanted > 0 ? err(ENOMEM) : 0;
  while (done < wanted && error === 0) {
    const step = yield* copyStep(
      task,
      from,
      posIn + done,
      to,
      posOut + done,
      Math.min(wanted - done, pages.length * PAGE_SIZE),
      pages,
    );
    if (step <= 0) error = step as never;
    else done += step;
    if (step === 0) break;
  }
  for (const page of pages) putPage(task.root.mem, page);
  return done > 0 ? done : error;
}

function* copyStep(
  task: FsTask,
  from: File,
  posIn: number,
  to: File,
  posOut: number,
  length: number,
  pages: readonly Pfn[],
): MayFault<number> {
  const got = yield* from.fOp.readIter(
    task,
    newSyncKiocb(from, posIn),
    iovIterBvec(ITER_DEST, vectors(pages, length), length),
  );
  if (got <= 0) return got;
  const source = iovIterBvec(ITER_SOURCE, vectors(pages, got), got);
  return yield* to.fOp.writeIter(task, newSyncKiocb(to, posOut), source);
}

function vectors(pages: readonly Pfn[], length: number): BioVec[] {
  const vecs: BioVec[] = [];
  for (let i = 0; i * PAGE_SIZE < length; i++) {
    vecs.push({ page: pages[i], offset: 0, len: Math.min(PAGE_SIZE, length - i * PAGE_SIZE) });
  }
  return vecs;
}
