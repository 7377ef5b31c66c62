// cure:first-byte: the copy is tried again anyway, so make the first byte of what is left resident and no more.

import { faultInIovIterReadable, faultInIovIterWriteable } from "@faultline/uio";
import { GFS2_6_12 } from "../kernels.ts";
import type { Cure } from "./cure.ts";
import { retrying } from "./retrying.ts";

export const CURE_FIRST_BYTE: Cure = {
  ...GFS2_6_12,
  name: "cure:first-byte",
  title: "fault in the first byte only: a source that straddles two pages never comes in",
  // As iomap was when this was proposed: a page's worth of source is all there, or the write fails.
  iomap: { ...GFS2_6_12.iomap, prefault: "whole" },
  ...retrying(() => ({
    *between(task, iter) {
      const faultIn = iter.dataSource ? faultInIovIterReadable : faultInIovIterWriteable;
      return (yield* faultIn(task, iter, 1)) === 0;
    },
  })),
  story: {
    proposed:
      "David Laight asked on 27 July 2021 whether it is worth doing more than ensuring that the first byte of " +
      "the buffer is paged in before page faults are disabled. The first drafts of the gfs2 patches (20 and 31 May) " +
      "faulted in one page a round for the same reason.",
    seemedRight:
      "Most pages of a buffer are there, pages can go away again whatever one does, so a retry loop is needed " +
      "in any case; and a loop that gets one page further each time comes to an end.",
    defeat:
      "It need not get further. One page of the file may take its bytes from two pages of the buffer, and the " +
      "iomap of that time wants all bytes of a page of the file, or none: the first byte is there, the rest is not, " +
      "and every round is like the last. Where it does get further it takes a round, with its lock and its block " +
      "allocation, for every page: 16 rounds where the fix has one.",
  },
};
