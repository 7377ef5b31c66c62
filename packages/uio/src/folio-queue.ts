// struct folio_queue: folios in batches that are linked both ways, so that one end can be filled while an
// iterator walks the other (include/linux/folio_queue.h).

import { bugOn, checkInteger, PAGE_SIZE, type Pfn } from "@faultline/kernel";

/** Folios that one batch holds. Linux: PAGEVEC_SIZE */
export const FOLIO_QUEUE_SLOTS = 31;

/** Physically adjacent pages that count as one. Linux: struct folio */
export interface Folio {
  /** Its first page. */
  readonly page: Pfn;
  /** Bytes, whole pages. */
  readonly size: number;
}

export class FolioQueue {
  readonly folios: Folio[] = [];
  next: FolioQueue | null = null;
  prev: FolioQueue | null = null;
}

/** Context: atomic. Linux: folioq_full() */
export function folioqFull(queue: FolioQueue): boolean {
  return queue.folios.length === FOLIO_QUEUE_SLOTS;
}

/** Put a folio into the next slot. Context: atomic. Returns: the slot. Linux: folioq_append() */
export function folioqAppend(queue: FolioQueue, page: Pfn, size: number = PAGE_SIZE): number {
  checkInteger(page, "page", 1);
  checkInteger(size, "size", PAGE_SIZE);
  if (size % PAGE_SIZE !== 0) throw new RangeError(`size must be a multiple of ${PAGE_SIZE}, not ${size}`);
  bugOn(folioqFull(queue), "folioq_append to a full batch");
  queue.folios.push({ page, size });
  return queue.folios.length - 1;
}

/** Link an empty batch behind the last one. Context: atomic. Returns: the new batch. */
export function folioqExtend(queue: FolioQueue): FolioQueue {
  bugOn(queue.next !== null, "the batch has a successor");
  const next = new FolioQueue();
  queue.next = next;
  next.prev = queue;
  return next;
}
