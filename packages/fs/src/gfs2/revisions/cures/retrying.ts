// What most cures have in common: try under the glock with page faults disabled, drop the glock, do something
// about the buffer, try again. They differ in what they do about the buffer.

import { EAGAIN, EFAULT, ENOTBLK, err, type MayFault, type MaySleep, RetryGuard, type Ssize } from "@faultline/kernel";
import { FAULTS_DISABLED, pagefaultDisable, pagefaultEnable, type UserTask } from "@faultline/mm";
import { type IovIter, userBackedIter } from "@faultline/uio";
import { genericFileReadIter } from "../../../cache/generic-read-iter.ts";
import { IOCB_NOIO, IOCB_NOWAIT, type Kiocb } from "../../../vfs/kiocb.ts";
import type { Gfs2Inode } from "../../inode.ts";
import { directLocked, readLocked, writeLocked } from "../../io/nofault.ts";
import type { Gfs2Io, Gfs2Revision } from "../../revision.ts";

/** What a cure does about the buffer of one call. */
export interface Remedy {
  /**
   * The last try fell short.
   *
   * Context: may fault; no glock held. Returns: false when another try would be in vain.
   */
  between(task: UserTask, iter: IovIter): MayFault<boolean>;
  /** The call is over. Context: atomic. */
  end?(task: UserTask): void;
}

/** The four ways to move bytes, with a remedy made anew for each call. */
export function retrying(
  remedy: () => Remedy,
): Pick<Gfs2Revision, "bufferedRead" | "bufferedWrite" | "directRead" | "directWrite"> {
  return {
    *bufferedRead(task, iocb, to) {
      const cached = yield* readCached(task, iocb, to);
      if (cached >= 0 && to.count === 0) return cached;
      if (cached < 0 && cached !== err(EFAULT) && (cached !== err(EAGAIN) || (iocb.flags & IOCB_NOWAIT) !== 0))
        return cached;
      return yield* retry(task, to, Math.max(cached, 0), remedy(), "gfs2_file_read_iter", () =>
        readLocked(task, iocb, to, inodeOf(iocb)),
      );
    },
    bufferedWrite: (task, iocb, from) =>
      retry(task, from, 0, remedy(), "gfs2_file_buffered_write", () => writeLocked(task, iocb, from, inodeOf(iocb))),
    directRead: direct(remedy, "gfs2_file_direct_read"),
    directWrite: direct(remedy, "gfs2_file_direct_write"),
  };
}

const direct =
  (remedy: () => Remedy, ip: string): Gfs2Io =>
  (task, iocb, iter) =>
    retry(task, iter, 0, remedy(), ip, () => directLocked(task, iocb, iter, inodeOf(iocb), 0, ip));

/** What is cached, without the glock and without faults. */
function* readCached(task: UserTask, iocb: Kiocb, to: IovIter): MaySleep<Ssize> {
  pagefaultDisable(task);
  iocb.flags |= IOCB_NOIO;
  const ret = yield* genericFileReadIter(task, iocb, to, FAULTS_DISABLED);
  iocb.flags &= ~IOCB_NOIO;
  pagefaultEnable(task);
  return ret;
}

function inodeOf({ file }: Kiocb): Gfs2Inode {
  return file.inode as Gfs2Inode;
}

/** Returns: bytes, `before` included; an error if there are none. */
function* retry(
  task: UserTask,
  iter: IovIter,
  before: number,
  remedy: Remedy,
  ip: string,
  attempt: () => MaySleep<Ssize>,
): MayFault<Ssize> {
  const guard = new RetryGuard(ip);
  let done = before;
  let ret: Ssize;
  for (;;) {
    ret = yield* attempt();
    if (ret > 0) done += ret;
    if (ret <= 0 && ret !== err(EFAULT)) break;
    if (iter.count === 0 || !userBackedIter(iter) || !(yield* remedy.between(task, iter))) break;
    guard.again(`${done} bytes done, ${iter.count} left`);
  }
  remedy.end?.(task);
  if (done > 0) return done as Ssize;
  return ret === err(ENOTBLK) ? (0 as Ssize) : ret;
}
