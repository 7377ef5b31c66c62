// cure:prefault-and-hope: fault the whole buffer in before the glock is taken; then copy as 5.10 did.

import { EFAULT, err, type MayFault, type Uncopied } from "@faultline/kernel";
import type { UserTask } from "@faultline/mm";
import { faultInIovIterReadable, faultInIovIterWriteable, type IovIter } from "@faultline/uio";
import { bufferedRead510, bufferedWrite510, directRead510, directWrite510 } from "../../io/io-5.10.ts";
import type { Gfs2Io } from "../../revision.ts";
import { GFS2_6_12 } from "../kernels.ts";
import type { Cure } from "./cure.ts";

type FaultIn = (task: UserTask, iter: IovIter, size: number) => MayFault<Uncopied>;

/** A way to move bytes, with the buffer faulted in first. What goes away again is faulted in under the glock. */
const prefaulted = (faultIn: FaultIn, io: Gfs2Io): Gfs2Io =>
  function* (task, iocb, iter) {
    const left = yield* faultIn(task, iter, iter.count);
    return left > 0 && left === iter.count ? err(EFAULT) : yield* io(task, iocb, iter);
  };

export const CURE_PREFAULT_AND_HOPE: Cure = {
  ...GFS2_6_12,
  name: "cure:prefault-and-hope",
  title: "fault the whole buffer in first, and hope that it stays",
  locksInIomap: true,
  bufferedRead: prefaulted(faultInIovIterWriteable, bufferedRead510),
  bufferedWrite: prefaulted(faultInIovIterReadable, bufferedWrite510),
  directRead: prefaulted(faultInIovIterWriteable, directRead510),
  directWrite: prefaulted(faultInIovIterReadable, directWrite510),
  story: {
    proposed:
      "What filesystems had always done: generic_perform_write and iomap touch the source before they lock the " +
      "page. Doing the same once before the glock looks like the smallest possible patch.",
    seemedRight: "A page that was touched a microsecond ago is there. No test that is not looking for it sees it go.",
    defeat:
      "Nothing holds the pages. Reclaim takes them, another thread takes them with madvise, and for direct I/O the " +
      "glock itself takes them: deferred mode drops what is cached of the file, the source included, and the fault " +
      "that follows asks for the glock that the task holds. Al Viro: fully successful fault-in does not guarantee " +
      "anything whatsoever. There has to be a way back from under the lock.",
  },
};
