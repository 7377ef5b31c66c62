// Bugs planted in the fix, one to a revision. Whoever claims that the fix has no bug must have been able to find
// these in the same way: a search that misses one of them has shown nothing.

import { EFAULT, err, type MayFault, type Ssize } from "@faultline/kernel";
import type { UserTask } from "@faultline/mm";
import { faultInIovIterReadable, type IovIter } from "@faultline/uio";
import { SHORT_COPIES } from "../../iomap/revision.ts";
import type { Kiocb } from "../../vfs/kiocb.ts";
import type { Gfs2Inode } from "../inode.ts";
import { writeLocked } from "../io/nofault.ts";
import type { Gfs2Revision } from "../revision.ts";
import { type FaultInWindow, shouldFaultInPages } from "../window.ts";
import { CURE_KEEP_GLOCK } from "./cures/keep-glock.ts";
import { GFS2_6_1, GFS2_6_12, GFS2_7_2 } from "./kernels.ts";
import { GFS2_5_18 } from "./unrecorded.ts";

/** The mutants of a revision; none but for those that have the fix. */
export function mutantsOf(revision: Gfs2Revision): Gfs2Revision[] {
  if (![GFS2_5_18, GFS2_6_1, GFS2_6_12, GFS2_7_2].includes(revision)) return [];
  const { bufferedRead, bufferedWrite } = CURE_KEEP_GLOCK;
  const mutant = (title: string, changes: Partial<Gfs2Revision>): Gfs2Revision => {
    return { ...revision, ...changes, name: `${revision.name}, ${title}`, title };
  };
  const iomap = (changes: Partial<typeof SHORT_COPIES>): Partial<Gfs2Revision> => {
    return { iomap: { ...revision.iomap, shortCopies: { ...SHORT_COPIES, ...changes } } };
  };
  return [
    mutant("drops the retry", { bufferedWrite: writeOnce }),
    mutant("skips the revert", iomap({ revert: () => {} })),
    mutant("holds the glock across fault-in", { bufferedRead, bufferedWrite }),
    mutant("ignores a short copy", iomap({ counts: (bytes) => bytes })),
    mutant("forgets the window's cap", { bufferedWrite: writeUncapped }),
  ];
}

/** One window, one try. */
function* writeOnce(task: UserTask, iocb: Kiocb, from: IovIter): MayFault<Ssize> {
  const window: FaultInWindow = { prevCount: 0, size: 0 };
  if (shouldFaultInPages(task, from, iocb, window)) yield* faultInAll(task, from, window);
  return yield* writeLocked(task, iocb, from, iocb.file.inode as Gfs2Inode);
}

/** Each try is for all that is left, whatever was faulted in. */
function* writeUncapped(task: UserTask, iocb: Kiocb, from: IovIter): MayFault<Ssize> {
  const inode = iocb.file.inode as Gfs2Inode;
  const window: FaultInWindow = { prevCount: 0, size: 0 };
  let written = 0;
  while (shouldFaultInPages(task, from, iocb, window)) {
    if (!(yield* faultInAll(task, from, window))) return (written > 0 ? written : err(EFAULT)) as Ssize;
    const ret = yield* writeLocked(task, iocb, from, inode);
    if (ret > 0) written += ret;
    else if (ret !== err(EFAULT)) return (written > 0 ? written : ret) as Ssize;
  }
  return written as Ssize;
}

/** Returns: false when nothing could be had. */
function* faultInAll(task: UserTask, from: IovIter, window: FaultInWindow): MayFault<boolean> {
  window.size -= yield* faultInIovIterReadable(task, from, window.size);
  return window.size > 0;
}
