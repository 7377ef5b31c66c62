// cure:keep-glock: faults are disabled while bytes move, but the glock is kept while the buffer is faulted in.

import {
  EFAULT,
  ENOTBLK,
  err,
  type MayFault,
  type MaySleep,
  RetryGuard,
  type Ssize,
  type Uncopied,
} from "@faultline/kernel";
import { FAULTS_DISABLED, pagefaultDisable, pagefaultEnable, type UserTask } from "@faultline/mm";
import { faultInIovIterReadable, faultInIovIterWriteable, type IovIter, userBackedIter } from "@faultline/uio";
import { genericFileReadIter } from "../../../cache/generic-read-iter.ts";
import { iomapFileBufferedWrite } from "../../../iomap/buffered-write.ts";
import { IOMAP_DIO_PARTIAL, iomapDioRw } from "../../../iomap/direct-io.ts";
import type { Kiocb } from "../../../vfs/kiocb.ts";
import { gfs2IomapOps } from "../../bmap.ts";
import { Gfs2Holder } from "../../glock.ts";
import { gfs2GlockDq, gfs2GlockNq } from "../../glock-queue.ts";
import type { Gfs2Inode } from "../../inode.ts";
import { DIO_NOFAULT } from "../../io/dio-access.ts";
import { LM_ST_DEFERRED, LM_ST_EXCLUSIVE, LM_ST_SHARED } from "../../lm.ts";
import type { Gfs2Io } from "../../revision.ts";
import { GFS2_6_12 } from "../kernels.ts";
import type { Cure } from "./cure.ts";

/** Move what the buffer has. Context: sleeps; faults disabled, the glock held. */
type Move = (task: UserTask, iocb: Kiocb, iter: IovIter) => MaySleep<Ssize>;

const read: Move = (task, iocb, to) => genericFileReadIter(task, iocb, to, FAULTS_DISABLED);
const write: Move = (task, iocb, from) => iomapFileBufferedWrite(task, iocb, from, gfs2IomapOps, FAULTS_DISABLED);
const direct: Move = function* (task, iocb, iter) {
  if (iter.dataSource && iocb.pos + iter.count > iocb.file.inode.size) return 0 as Ssize;
  iter.nofault = true;
  const ret = yield* iomapDioRw(task, iocb, iter, gfs2IomapOps, IOMAP_DIO_PARTIAL, DIO_NOFAULT, 0);
  iter.nofault = false;
  return ret;
};

/** Take the glock once, for all tries and for what happens between them. */
const keeping = (state: number, ip: string, move: Move): Gfs2Io =>
  function* (task, iocb, iter): MayFault<Ssize> {
    const holder = new Gfs2Holder((iocb.file.inode as Gfs2Inode).glock, state, 0, ip);
    const status = yield* gfs2GlockNq(task, holder);
    if (status !== 0) return status as Ssize;
    const ret = yield* moveAll(task, iocb, iter, move, new RetryGuard(ip));
    gfs2GlockDq(task, holder);
    return ret === err(ENOTBLK) ? (0 as Ssize) : ret;
  };

function* moveAll(task: UserTask, iocb: Kiocb, iter: IovIter, move: Move, guard: RetryGuard): MayFault<Ssize> {
  let done = 0;
  for (;;) {
    pagefaultDisable(task);
    const ret = yield* move(task, iocb, iter);
    pagefaultEnable(task);
    if (ret > 0) done += ret;
    const short = iter.count > 0 && (ret > 0 || ret === err(EFAULT)) && userBackedIter(iter);
    if (!short || (yield* faultIn(task, iter)) === iter.count) return (done > 0 ? done : ret) as Ssize;
    guard.again(`${done} bytes done, ${iter.count} left`);
  }
}

/** The mistake: a fault on a file of this filesystem asks for a glock, and this task has one. */
function faultIn(task: UserTask, iter: IovIter): MayFault<Uncopied> {
  return (iter.dataSource ? faultInIovIterReadable : faultInIovIterWriteable)(task, iter, iter.count);
}

export const CURE_KEEP_GLOCK: Cure = {
  ...GFS2_6_12,
  name: "cure:keep-glock",
  title: "disable faults for the copy, and fault in by hand without dropping the glock",
  bufferedRead: keeping(LM_ST_SHARED, "gfs2_file_read_iter", read),
  bufferedWrite: keeping(LM_ST_EXCLUSIVE, "gfs2_file_buffered_write", write),
  directRead: keeping(LM_ST_DEFERRED, "gfs2_file_direct_read", direct),
  directWrite: keeping(LM_ST_DEFERRED, "gfs2_file_direct_write", direct),
  story: {
    proposed:
      "The first reading of pagefault_disable(): what is wrong is the fault in the middle of the copy, so disable it " +
      "there, and call fault_in when the copy falls short. 5.16 and 5.17 kept the glock, too, but let others take it " +
      "away meanwhile (HIF_MAY_DEMOTE).",
    seemedRight:
      "Reads and writes stay atomic as they were: nobody can get in between two parts of one call, no mixture of two " +
      "writes is ever read, and the lock is not fetched from the cluster again and again.",
    defeat:
      "It moves the fault by a few lines and not out of the lock. The same file: the task meets itself in the glock's " +
      "queue, which is a BUG. Two files crossed by two tasks: each holds what the other's fault wants.",
  },
};
