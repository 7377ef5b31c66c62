// cure:hold-references: keep references to the buffer's pages, so that they cannot go away before the second try.

import type { Pfn } from "@faultline/kernel";
import { type PhysMem, pageMapping, putUserPages } from "@faultline/mm";
import { GRAB_FAULTING, iovIterGetPages } from "@faultline/uio";
import { pinPages, unpinPages } from "../../../cache/page-pins.ts";
import { FileMapping } from "../../../vfs/inode.ts";
import { GFS2_6_12 } from "../kernels.ts";
import type { Cure } from "./cure.ts";
import { type Remedy, retrying } from "./retrying.ts";

/** Pages of one call at most: references keep memory from being reclaimed. */
const MAX_PAGES = 256;

function holding(): Remedy {
  const pages: Pfn[] = [];
  let files: readonly FileMapping[] = [];
  return {
    *between(task, iter) {
      // Once: pages that cannot go away have no reason to be missing a second time.
      if (pages.length > 0) return false;
      const got = yield* iovIterGetPages(task, iter, iter.count, MAX_PAGES, GRAB_FAULTING);
      pages.push(...got.pages);
      files = filesOf(task.mm.mem, pages);
      for (const file of files) pinPages(task, file);
      return got.bytes > 0;
    },
    end(task) {
      for (const file of files) unpinPages(task, file);
      putUserPages(task, pages, false);
    },
  };
}

/** The files that the pages belong to: if references pin, their locks cannot leave the node before these are gone. */
function filesOf(mem: PhysMem, pages: readonly Pfn[]): FileMapping[] {
  const mappings = new Set(pages.map((page) => pageMapping(mem, page)));
  return [...mappings].filter((mapping) => mapping instanceof FileMapping);
}

export const CURE_HOLD_REFERENCES: Cure = {
  ...GFS2_6_12,
  name: "cure:hold-references",
  title: "keep references to the buffer's pages across the second try",
  ...retrying(holding),
  story: {
    proposed:
      "Andreas Gruenbacher's series of 1 July 2021: when the copy falls short, iov_iter_get_pages_alloc takes " +
      "references to up to 256 pages of the buffer, once, and they are kept until the second try is over.",
    seemedRight: "A page with a reference cannot be freed, so the second try must find it. One retry is enough.",
    defeat:
      "The copy needs the entry in the page table, and no reference keeps that: another thread syncs the file behind the " +
      "buffer, its pages are write-protected again, and the call fails with -EFAULT on memory that is perfectly good. " +
      "What the thread held against it is another thing: references would keep the page in the cache, and so one file's " +
      "lock on the node while the task waits for another's. Then two nodes, each with references to the file that the " +
      "other writes, hang as they did on 5.10. Kernels do not wait for references, the page leaves the cache under them; " +
      "what they keep is a page that no longer belongs to the file. Either way, fault-in keeps no references.",
  },
};
