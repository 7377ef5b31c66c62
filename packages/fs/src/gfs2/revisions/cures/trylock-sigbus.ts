// cure:trylock-sigbus: a fault of a task that holds a glock only tries for the next one, and says SIGBUS when that
// fails; who copies takes it for -EFAULT, lets go, faults in the first page, and begins again.

import { EFAULT, err, PAGE_SIZE, RetryGuard } from "@faultline/kernel";
import { faultInIovIterReadable, faultInIovIterWriteable, userBackedIter } from "@faultline/uio";
import { bufferedRead510, bufferedWrite510, directRead510, directWrite510 } from "../../io/io-5.10.ts";
import type { Gfs2Io } from "../../revision.ts";
import { GFS2_6_12 } from "../kernels.ts";
import type { Cure } from "./cure.ts";

/** Begin again when nothing at all was copied, after the first page of the buffer was faulted in. */
const again = (io: Gfs2Io, ip: string): Gfs2Io =>
  function* (task, iocb, iter) {
    const guard = new RetryGuard(ip);
    for (;;) {
      const ret = yield* io(task, iocb, iter);
      if (ret !== err(EFAULT) || !userBackedIter(iter)) return ret;
      const size = Math.min(PAGE_SIZE, iter.count);
      const faultIn = iter.dataSource ? faultInIovIterReadable : faultInIovIterWriteable;
      if ((yield* faultIn(task, iter, size)) === size) return ret;
      guard.again(`${iter.count} left`);
    }
  };

export const CURE_TRYLOCK_SIGBUS: Cure = {
  ...GFS2_6_12,
  name: "cure:trylock-sigbus",
  title: "faults under a glock only try for the next one, and fail with SIGBUS",
  locksInIomap: true,
  faultTriesUnderGlock: true,
  bufferedRead: again(bufferedRead510, "gfs2_file_read_iter"),
  bufferedWrite: again(bufferedWrite510, "gfs2_file_buffered_write"),
  directRead: again(directRead510, "gfs2_file_direct_read"),
  directWrite: again(directWrite510, "gfs2_file_direct_write"),
  story: {
    proposed:
      "Andreas Gruenbacher's first two series (20 and 31 May 2021): recognise that the task holds the glock already, or " +
      "another one (the outer lock), and take the inner one with LM_FLAG_TRY; on failure return VM_FAULT_SIGBUS and " +
      "remember that the call needs a retry.",
    seemedRight:
      "Only the rare case pays. A trylock never waits, so it closes no ring; and a fault of the kernel's own copy " +
      "raises no signal, it goes to the exception table and becomes -EFAULT, which the caller can tell from a real one.",
    defeat:
      "The glock is not the only lock on the way. The fault takes mmap_lock before it tries anything: another thread " +
      "that faults holds it and waits for our glock, a third wants it for writing, and we wait behind both. Somebody " +
      "who copied a part gets a short result and no retry, for a buffer that has nothing wrong with it. A direct write " +
      "of a page onto itself goes round for ever. And whoever resolves the fault need not be the task that took it " +
      "(overlayfs, userfaultfd), so no task can know what is held on its behalf. Linus Torvalds: no recursion in the " +
      "first place.",
  },
};
