// Is a machine at rest? No lock, reference or pin outlives the call that took it: at a moment when no task is in
// the middle of anything, all must be free, and everything that is kept twice must agree.

import type { Pfn } from "@faultline/kernel";
import { checkMm, PG_DIRTY, PG_LOCKED, PG_UPTODATE, PG_WRITEBACK } from "@faultline/mm";
import { HIF_HOLDER } from "./gfs2/holder-queue.ts";
import type { Gfs2Inode } from "./gfs2/inode.ts";
import type { Machine } from "./machine.ts";
import type { FsTask } from "./sys/fs-task.ts";
import { pipeOf } from "./vfs/pipe.ts";

/**
 * Look for what was left behind.
 *
 * `tasks`: all that map memory or made calls. `held`: references that the caller keeps on purpose, by frame.
 *
 * Context: atomic. Returns: a sentence for each finding; none when all is well.
 */
export function checkMachine(machine: Machine, tasks: readonly FsTask[], held: ReadonlyMap<number, number>): string[] {
  const problems: string[] = [];
  const claim = (wrong: boolean, sentence: string): void => {
    if (wrong) problems.push(sentence);
  };
  const kept = new Map(held);
  for (const page of pagesInPipes(tasks)) kept.set(page, (kept.get(page) ?? 0) + 1);
  for (const { sbd, mem } of machine.nodes) {
    let dirty = 0;
    for (const inode of sbd.inodes()) {
      checkInode(inode, claim);
      dirty += inode.mapping.nrDirty;
    }
    claim(mem.pins.size > 0, `${mem.pins.size} pages are pinned`);
    claim(dirty !== sbd.dirty.count, `files have ${dirty} dirty pages, the node counts ${sbd.dirty.count}`);
    for (const { label, queue } of sbd.lockSpace.glocks()) {
      for (const { iflags, ip } of queue) {
        claim(true, `${ip} is in the queue of ${label}${(iflags & HIF_HOLDER) !== 0 ? " and holds it" : ""}`);
      }
    }
    const spaces = [...new Set(tasks.map(({ mm }) => mm))].filter((mm) => mm.mem === mem);
    for (const mm of spaces) claim(!mm.mmapLock.isFree(), "mmap_lock is held");
    problems.push(...checkMm(spaces, kept));
  }
  for (const task of tasks) {
    claim(task.held.length > 0, `${task.comm} holds ${task.held.map(({ lock }) => lock.label).join(", ")}`);
    claim(task.pagefaultDisabled !== 0, `${task.comm} has page faults disabled`);
    claim(task.nrDirtied < 0, `${task.comm} has dirtied ${task.nrDirtied} pages`);
  }
  return problems;
}

/** What was written into pipes that are open, and not read yet. */
function pagesInPipes(tasks: readonly FsTask[]): Pfn[] {
  const files = new Set(tasks.map((task) => task.files));
  const pipes = new Set([...files].flatMap((each) => [...each.open()].map(pipeOf)));
  return [...pipes].flatMap((pipe) => pipe?.slots.map(({ page }) => page) ?? []);
}

function checkInode(
  { rwsem, mapping, label, dioCount, iomapHolder }: Gfs2Inode,
  claim: (wrong: boolean, sentence: string) => void,
): void {
  const { mem } = mapping;
  let [dirty, writeback] = [0, 0];
  claim(!rwsem.isFree(), `i_rwsem of ${label} is held`);
  claim(dioCount !== 0, `${label} has ${dioCount} direct requests in flight`);
  claim(iomapHolder !== null, `${label} is still mapped for writing`);
  claim(mapping.pins?.isReady() === false, `pages of ${label} are kept from other nodes`);
  mapping.pages.forEach(0, Number.POSITIVE_INFINITY, (index, frame) => {
    const flags = mem.flags[frame];
    claim((flags & PG_LOCKED) !== 0, `page ${index} of ${label} is locked`);
    claim((flags & (PG_DIRTY | PG_UPTODATE)) === PG_DIRTY, `page ${index} of ${label} is dirty, but not uptodate`);
    if ((flags & PG_DIRTY) !== 0) dirty++;
    if ((flags & PG_WRITEBACK) !== 0) writeback++;
  });
  claim(dirty !== mapping.nrDirty, `${label} has ${dirty} dirty pages, nrDirty says ${mapping.nrDirty}`);
  claim(
    writeback !== mapping.nrWriteback,
    `${label} has ${writeback} pages under write-back, nrWriteback says ${mapping.nrWriteback}`,
  );
}
