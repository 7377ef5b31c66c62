// The page lock and the end of write-back: one bit each in the page's flags, and a queue for those who
// sleep until it clears (mm/filemap.c: folio_lock, folio_unlock, folio_wait_writeback).

import { bugOn, type MaySleep, type Pfn, type Task, WaitChannel, wakeUpAll } from "@faultline/kernel";
import { PG_LOCKED, PG_READAHEAD, PG_WAITERS, PG_WRITEBACK } from "./page-flags.ts";
import { type PhysMem, pageMapping, waitKey } from "./physmem.ts";

/** What somebody sleeps for: to have the lock, to see it free, to see the end of write-back. */
export const PageWait = { Lock: 0, Unlocked: 1, Writeback: 2 } as const;
export type PageWait = (typeof PageWait)[keyof typeof PageWait];

/** Sleepers on one bit of one page; made for the first of them and kept until the page is freed. */
export class PageBit extends WaitChannel {
  readonly mem: PhysMem;
  readonly frame: Pfn;
  readonly wait: PageWait;
  readonly bit: number;

  constructor(mem: PhysMem, frame: Pfn, wait: PageWait) {
    super(`${wait === PageWait.Writeback ? "write-back" : "lock"} of ${describePage(mem, frame)}`);
    this.mem = mem;
    this.frame = frame;
    this.wait = wait;
    this.bit = wait === PageWait.Writeback ? PG_WRITEBACK : PG_LOCKED;
  }

  override isReady(): boolean {
    return (this.mem.flags[this.frame] & this.bit) === 0;
  }

  override get contended(): number {
    return this.wait === PageWait.Lock ? this.mem.pageId(this.frame) : 0;
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
  // Whether it works tells the task something, so an attempt is an event also when it fails.
  task.world.accesses?.read(mem.pageId(frame));
  return lockNow(task, mem, frame);
}

function lockNow(task: Task, mem: PhysMem, frame: Pfn): boolean {
  if ((mem.flags[frame] & PG_LOCKED) !== 0) return false;
  mem.flags[frame] |= PG_LOCKED;
  mem.lockOwner[frame] = task.pid;
  task.world.accesses?.acquire(mem.pageId(frame), true);
  return true;
}

/** Lock the page. Context: sleeps. Linux: folio_lock() */
export function* lockPage(task: Task, mem: PhysMem, frame: Pfn): MaySleep<void> {
  // The scheduling point is the lock itself: a task is not resumed only to find that it has to wait.
  if (task.world.preemptible) yield sleeperOn(mem, frame, PageWait.Lock);
  if (lockNow(task, mem, frame)) return;
  const bit = sleeperOn(mem, frame, PageWait.Lock);
  do {
    while (!bit.isReady()) yield bit;
  } while (!lockNow(task, mem, frame));
}

/** Context: atomic. Linux: folio_unlock() */
export function unlockPage(mem: PhysMem, frame: Pfn): void {
  bugOn((mem.flags[frame] & PG_LOCKED) === 0, "unlock of a page that is not locked");
  mem.lockOwner[frame] = 0;
  mem.world.accesses?.release(mem.pageId(frame));
  clearAndWake(mem, frame, PG_LOCKED);
}

/** The page stays locked until its request is over: no task holds it meanwhile. Context: atomic. */
export function leaveLockToRequest(mem: PhysMem, frame: Pfn): void {
  mem.lockOwner[frame] = 0;
}

/** Sleep until the page is not locked; it may be locked again at once. Linux: folio_wait_locked() */
export function* waitOnPageLocked(mem: PhysMem, frame: Pfn): MaySleep<void> {
  const bit = sleeperOn(mem, frame, PageWait.Unlocked);
  while (!bit.isReady()) yield bit;
  // Behind the unlocking, and not in a race with it: to whoever waits it is what a lock's release is.
  mem.world.accesses?.acquire(mem.pageId(frame), false);
}

/** Sleep until the page is not under write-back. Linux: folio_wait_writeback() */
export function* waitOnPageWriteback(mem: PhysMem, frame: Pfn): MaySleep<void> {
  mem.world.accesses?.read(mem.pageId(frame));
  if ((mem.flags[frame] & PG_WRITEBACK) === 0) return;
  const bit = sleeperOn(mem, frame, PageWait.Writeback);
  while (!bit.isReady()) yield bit;
  mem.world.accesses?.read(mem.pageId(frame));
}

/** Write-back of the page is over. Context: atomic. Linux: folio_end_writeback() */
export function endPageWriteback(mem: PhysMem, frame: Pfn): void {
  bugOn((mem.flags[frame] & PG_WRITEBACK) === 0, "end of a write-back that never began");
  mem.world.accesses?.write(mem.pageId(frame));
  // The mark of read-ahead is the bit by which reclaim knows what it has written.
  mem.flags[frame] &= ~PG_READAHEAD;
  clearAndWake(mem, frame, PG_WRITEBACK);
}

function clearAndWake(mem: PhysMem, frame: Pfn, bit: number): void {
  mem.flags[frame] &= ~bit;
  if ((mem.flags[frame] & PG_WAITERS) === 0) return;
  for (const wait of bit === PG_LOCKED ? [PageWait.Lock, PageWait.Unlocked] : [PageWait.Writeback]) {
    const sleepers = mem.pageWaiters.get(waitKey(frame, wait));
    if (sleepers !== undefined) wakeUpAll(sleepers);
  }
}

function sleeperOn(mem: PhysMem, frame: Pfn, wait: PageWait): PageBit {
  const key = waitKey(frame, wait);
  let sleepers = mem.pageWaiters.get(key);
  if (sleepers === undefined) {
    sleepers = new PageBit(mem, frame, wait);
    mem.pageWaiters.set(key, sleepers);
    mem.flags[frame] |= PG_WAITERS;
  }
  return sleepers;
}
