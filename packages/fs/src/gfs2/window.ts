// How much of the buffer to fault in before the next try (fs/gfs2/file.c: should_fault_in_pages).
//
// A window of many pages at first and after every progress; a single page when the last try came to
// nothing: then the pages went away again, and fewer of them are more likely to stay.

import { offsetInPage, PAGE_SIZE } from "@faultline/kernel";
import type { UserTask } from "@faultline/mm";
import { type IovIter, iterIsIovec, userBackedIter } from "@faultline/uio";
import type { Kiocb } from "../vfs/kiocb.ts";

/** What one call remembers between its tries. */
export interface FaultInWindow {
  /** Bytes that remained at the last try. */
  prevCount: number;
  /** Bytes to fault in; afterwards, how many could be had. */
  size: number;
}

/** Decide on the next window and set its size. Context: atomic. Returns: false when there is nothing to fault in. */
export type WindowRule = (task: UserTask, i: IovIter, iocb: Kiocb, window: FaultInWindow) => boolean;

const SZ_1M = 1024 * 1024;
/** Pages that a window has at least, however little the task may still dirty. */
const MIN_PAGES = 8;

/**
 * Since 5.18. The window is what the task may dirty before it has to look at the limits, up to a page border
 * of the file, and does not care how much of the buffer is left.
 */
export const shouldFaultInPages: WindowRule = (task, i, iocb, window) => {
  if (i.count === 0 || !userBackedIter(i)) return false;
  window.size = window.prevCount === i.count ? PAGE_SIZE - offsetInPage(iocb.pos) : windowAfterProgress(task, iocb.pos);
  window.prevCount = i.count;
  return true;
};

/** What shouldFaultInPages makes of a window when there was progress, or nothing was tried yet. Returns: bytes from `pos` on. */
export function windowAfterProgress(task: UserTask, pos: number): number {
  const pages = Math.max(task.nrDirtiedPause - task.nrDirtied, MIN_PAGES);
  return Math.min(SZ_1M, pages * PAGE_SIZE) - offsetInPage(pos);
}

/** 5.16 and 5.17: meant to be more, but a shadowed variable makes it one page, up to a page border of the buffer. */
export const shouldFaultInOnePage: WindowRule = (_task, i, _iocb, window) => {
  if (i.count === 0 || !iterIsIovec(i)) return false;
  const { base } = i.segments[i.segment];
  window.prevCount = i.count;
  window.size = PAGE_SIZE - offsetInPage(base + i.iovOffset);
  return true;
};
