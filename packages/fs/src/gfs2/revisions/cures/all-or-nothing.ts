// cure:all-or-nothing: if the buffer cannot be had as a whole, the call fails.

import { faultInIovIterReadable, faultInIovIterWriteable } from "@faultline/uio";
import { GFS2_6_12 } from "../kernels.ts";
import type { Cure } from "./cure.ts";
import { retrying } from "./retrying.ts";

export const CURE_ALL_OR_NOTHING: Cure = {
  ...GFS2_6_12,
  name: "cure:all-or-nothing",
  title: "fault in everything or fail: a good first page is no longer a short read",
  ...retrying(() => ({
    *between(task, iter) {
      const faultIn = iter.dataSource ? faultInIovIterReadable : faultInIovIterWriteable;
      return (yield* faultIn(task, iter, iter.count)) === 0;
    },
  })),
  story: {
    proposed:
      "Andreas Gruenbacher's fourth series (July 2021): iov_iter_fault_in_writeable returned -EFAULT unless all of " +
      "the buffer could be faulted in. The existing iov_iter_fault_in_readable had always done so.",
    seemedRight:
      "Nearly all callers want to know one thing: is everything good. A yes or no is easy to check and hard to " +
      "misread, and nobody had complained about the readable one.",
    defeat:
      "A read of eight pages into a buffer whose last four do not exist must return four pages; here it returns " +
      "-EFAULT. Linus Torvalds: any user can and should only care about at least part of the area being writable. " +
      "What a caller needs is how much is missing.",
  },
};
