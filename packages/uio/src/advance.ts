// Moving an iterator without copying: advance, revert, truncate, save and restore (lib/iov_iter.c).

import { bugOn, checkInteger, MAX_RW_COUNT } from "@faultline/kernel";
import type { FolioQueue } from "./folio-queue.ts";
import type { IovIter } from "./iov-iter.ts";
import { pipeAdvance, pipeRevert } from "./pipe-iter.ts";

/**
 * Skip `size` bytes, or all that remain. Empty segments right behind them are skipped, too.
 *
 * A pipe iterator also gives back what was put into the pipe beyond its new position.
 *
 * Context: atomic. Linux: iov_iter_advance()
 */
export function iovIterAdvance(i: IovIter, size: number): void {
  const n = Math.min(checkInteger(size, "size", 0), i.count);
  if (i.kind === "ubuf" || i.kind === "xarray") {
    i.iovOffset += n;
    i.count -= n;
  } else if (i.kind === "pipe") {
    pipeAdvance(i, n);
  } else if (i.kind === "discard") {
    i.count -= n;
  } else if (i.count > 0) {
    i.count -= n;
    if (i.kind === "folioq") folioqAdvance(i, n);
    else vecAdvance(i, n);
  }
}

function vecAdvance(i: IovIter, size: number): void {
  const { segments } = i;
  let n = size + i.iovOffset;
  while (i.segment < segments.length && n >= segments[i.segment].len) {
    n -= segments[i.segment].len;
    i.segment++;
  }
  bugOn(i.segment === segments.length && n > 0, "iterator has fewer bytes than its count says");
  i.iovOffset = n;
}

function folioqAdvance(i: IovIter, size: number): void {
  enterNextBatch(i);
  let n = size + i.iovOffset;
  while (n > 0 && n >= folioSize(i)) {
    n -= folioSize(i);
    i.segment++;
    if (atEndOfBatch(i) && (i.folioq as FolioQueue).next !== null) enterNextBatch(i);
  }
  i.iovOffset = n;
}

/** Has the iterator used up its batch of folios? More may have been linked behind it since. */
export function atEndOfBatch(i: IovIter): boolean {
  return i.segment >= (i.folioq as FolioQueue).folios.length;
}

/** If it has, go to the next batch. */
export function enterNextBatch(i: IovIter): void {
  if (!atEndOfBatch(i)) return;
  const { next } = i.folioq as FolioQueue;
  if (next === null) return;
  i.folioq = next;
  i.segment = 0;
}

/** Bytes of the current folio. */
export function folioSize(i: IovIter): number {
  bugOn(atEndOfBatch(i), "iterator has fewer bytes than its count says");
  return (i.folioq as FolioQueue).folios[i.segment].size;
}

/**
 * Go back by `unroll` bytes, no further than to where the iterator began.
 *
 * Context: atomic. Linux: iov_iter_revert()
 */
export function iovIterRevert(i: IovIter, unroll: number): void {
  checkInteger(unroll, "unroll", 0);
  // Linux warns about more than that, and leaves the iterator alone.
  if (unroll === 0 || unroll > MAX_RW_COUNT) return;
  if (i.kind === "pipe") {
    pipeRevert(i, unroll);
    return;
  }
  const within = i.kind === "discard" || unroll <= i.iovOffset;
  bugOn(!within && (i.kind === "ubuf" || i.kind === "xarray"), "iov_iter_revert beyond the start");
  i.count += unroll;
  if (i.kind === "discard") return;
  if (within) i.iovOffset -= unroll;
  else if (i.kind === "folioq") folioqRevert(i, unroll - i.iovOffset);
  else vecRevert(i, unroll - i.iovOffset);
}

function vecRevert(i: IovIter, unroll: number): void {
  let n = unroll;
  for (;;) {
    bugOn(i.segment === 0, "iov_iter_revert beyond the start");
    const { len } = i.segments[--i.segment];
    if (n <= len) {
      i.iovOffset = len - n;
      return;
    }
    n -= len;
  }
}

function folioqRevert(i: IovIter, unroll: number): void {
  let n = unroll;
  for (;;) {
    if (i.segment === 0) {
      const prev: FolioQueue | null = (i.folioq as FolioQueue).prev;
      bugOn(prev === null, "iov_iter_revert beyond the start");
      i.folioq = prev;
      i.segment = (prev as FolioQueue).folios.length;
    }
    i.segment--;
    const size = folioSize(i);
    if (n <= size) {
      i.iovOffset = size - n;
      return;
    }
    n -= size;
  }
}

/** Let at most `count` bytes remain; segments stay as they are. Context: atomic. Linux: iov_iter_truncate() */
export function iovIterTruncate(i: IovIter, count: number): void {
  if (i.count > checkInteger(count, "count", 0)) i.count = count;
}

/**
 * Undo a truncate: `count` bytes remain again, less what was done since. Not checked.
 *
 * Context: atomic. Linux: iov_iter_reexpand()
 */
export function iovIterReexpand(i: IovIter, count: number): void {
  i.count = checkInteger(count, "count", 0);
}

/** A position to come back to. Linux: struct iov_iter_state */
export interface IovIterState {
  readonly iovOffset: number;
  readonly count: number;
  readonly nrSegs: number;
}

/** Context: atomic. Linux: iov_iter_save_state() */
export function iovIterSaveState(i: IovIter): IovIterState {
  return { iovOffset: i.iovOffset, count: i.count, nrSegs: i.nrSegs };
}

/**
 * Go back, or forth, to a saved position. Only ubuf, iovec, kvec and bvec can; others are left alone.
 *
 * Context: atomic. Linux: iov_iter_restore()
 */
export function iovIterRestore(i: IovIter, state: IovIterState): void {
  const { kind } = i;
  if (kind !== "ubuf" && kind !== "iovec" && kind !== "kvec" && kind !== "bvec") return;
  i.iovOffset = state.iovOffset;
  i.count = state.count;
  if (kind !== "ubuf") i.segment = i.segments.length - state.nrSegs;
}
