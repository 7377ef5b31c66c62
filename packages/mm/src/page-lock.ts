// The page lock and the end of write-back: one bit each in the page's flags, and a queue for those who
// sleep until it clears (mm/filemap.c: folio_lock, folio_unlock, folio_wait_writeback).

import { bugOn, type MaySleep, type Pfn, PREEMPT, type Task, WaitChannel, wakeUpAll } from "@faultline/kernel";
import { PG_LOCKED, PG_WAITERS, PG_WRITEBACK } from "./page-flags.ts";
import { type PhysMem, pageMapping, waitKey } from "./physmem.ts";

/** Sleepers on one bit of one page; made for the first of them and kept until the page is freed. */
export class PageBit extends WaitChannel {
  readonly mem: PhysMem;
  readonly frame: Pfn;
  readonly bit: number;

  constructor(mem: PhysMem, frame: Pfn, bit: number) {
    super(`${bit === PG_LOCKED ? "lock" : "write-back"} of ${describePage(mem, frame)}`);
    this.mem = mem;
    this.frame = frame;
    this.bit = bit;
  }

  override isReady(): boolean {
    return (this.mem.flags[this.frame] & this.bit) === 0;
  }

  override holders(task: Task): readonly Task[] {
    const owner = this.bit === PG_LOCKED ? this.mem.lockOwner[this.frame] : 0;
    return owner === 0 ? [] : task.world.live.filter((other) => (other.pid & 0xffff) === owner);
  }
}

/** "page 3 of inode 7", for reports. */
export function describePage(mem: PhysMem, frame: Pfn): string {
  const mapping = pageMapping(mem, frame);
  return mapping === null ? `frame ${frame}` : `page ${mem.index[frame]} of ${mapping.label}`;
}

/** Lock the page if nobody has. Context: atomic. Returns: true when it was locked. Linux: folio_trylock() */
export function trylockPage(task: Task, mem: PhysMem, frame: Pfn): boolean {
  if ((mem.flags[frame] & PG_LOCKED) !== 0) return false;
  mem.flags[frame] |= PG_LOCKED;
  mem.lockOwner[frame] = task.pid;
  task.world.accesses?.acquire(mem.pageId(frame), true);
  return true;
}

/** Lock the page. Context: sleeps. Linux: folio_lock() */
export function* lockPage(task: Task, mem: PhysMem, frame: Pfn): MaySleep<void> {
  if (task.world.preemptible) yield PREEMPT;
  if (trylockPage(task, mem, frame)) return;
  const bit = sleeperOn(mem, frame, PG_LOCKED);
  do {
    while (!bit.isReady()) yield bit;
  } while (!trylockPage(task, mem, frame));
}

/** Context: atomic. Linux: folio_unlock() */
export function unlockPage(mem: PhysMem, frame: Pfn): void {
  bugOn((mem.flags[frame] & PG_LOCKED) === 0, "unlock of a page that is not locked");
  mem.lockOwner[frame] = 0;
  mem.world.accesses?.release(mem.pageId(frame));
  clearAndWake(mem, frame, PG_LOCKED);
}

/** Sleep until the page is not locked; it may be locked again at once. Linux: folio_wait_locked() */
export function* waitOnPageLocked(mem: PhysMem, frame: Pfn): MaySleep<void> {
  const bit = sleeperOn(mem, frame, PG_LOCKED);
  while (!bit.isReady()) yield bit;
}

/** Sleep until the page is not under write-back. Linux: folio_wait_writeback() */
export function* waitOnPageWriteback(mem: PhysMem, frame: Pfn): MaySleep<void> {
  if ((mem.flags[frame] & PG_WRITEBACK) === 0) return;
  const bit = sleeperOn(mem, frame, PG_WRITEBACK);
  while (!bit.isReady()) yield bit;
}

/** Write-back of the page is over. Context: atomic. Linux: folio_end_writeback() */
export function endPageWriteback(mem: PhysMem, frame: Pfn): void {
  bugOn((mem.flags[frame] & PG_WRITEBACK) === 0, "end of a write-back that never began");
  clearAndWake(mem, frame, PG_WRITEBACK);
}

function clearAndWake(mem: PhysMem, frame: Pfn, bit: number): void {
  mem.flags[frame] &= ~bit;
  if ((mem.flags[frame] & PG_WAITERS) === 0) return;
  const sleepers = mem.pageWaiters.get(waitKey(frame, bit));
  if (sleepers !== undefined) wakeUpAll(sleepers);
}

function sleeperOn(mem: PhysMem, frame: Pfn, bit: number): PageBit {
  const key = waitKey(frame, bit);
  let sleepers = mem.pageWaiters.get(key);
  if (sleepers === undefined) {
    sleepers = new PageBit(mem, frame, bit);
    mem.pageWaiters.set(key, sleepers);
    mem.flags[frame] |= PG_WAITERS;
  }
  return sleepers;
}
