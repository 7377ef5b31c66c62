// What an inode's glock does when its state changes (fs/gfs2/glops.c): write back before it is given up,
// drop what is cached, read the dinode again.

import type { MaySleep, Status } from "@faultline/kernel";
import { type UserTask, unmapMappingPages } from "@faultline/mm";
import { truncateInodePages } from "../cache/page-cache.ts";
import { filemapWriteAndWait, mappingSetError } from "../cache/page-writeback.ts";
import { type Gfs2Holder, GLF_DIRTY, GLF_INSTANTIATE_NEEDED, type Glock, type GlockOperations } from "./glock.ts";
import type { Gfs2Inode } from "./inode.ts";
import { LM_ST_DEFERRED } from "./lm.ts";
import { writeDinode } from "./super.ts";

export const inodeGlops: GlockOperations = {
  type: "inode",

  /** Linux: inode_go_sync() */
  *sync(task: UserTask, glock: Glock): MaySleep<Status> {
    const inode = glock.object as Gfs2Inode;
    if (inode.swPaged) {
      inode.swPaged = false;
      // The next store must fault, and ask for the lock again.
      unmapMappingPages(task, inode.mapping, 0, ALL_PAGES, false);
    }
    yield* inodeDioWait(inode);
    if ((glock.flags & GLF_DIRTY) === 0) return 0;
    glock.flags &= ~GLF_DIRTY;
    const data = yield* filemapWriteAndWait(task, inode.mapping, 0, Number.MAX_SAFE_INTEGER);
    // Nobody waits for it here: fsync is to tell.
    mappingSetError(inode.mapping, data);
    return data !== 0 ? data : writeDinode(inode);
  },

  /** Linux: inode_go_inval() */
  *invalidate(task: UserTask, glock: Glock, metadata: boolean): MaySleep<void> {
    const inode = glock.object as Gfs2Inode;
    if (metadata) {
      glock.flags |= GLF_INSTANTIATE_NEEDED;
    }
    yield* dropCache(task, inode);
  },

  /** Linux: inode_go_instantiate(), gfs2_inode_refresh() */
  *instantiate(_task: UserTask, glock: Glock): MaySleep<Status> {
    return (glock.object as Gfs2Inode).refresh();
  },

  /** Linux: inode_go_held() */
  *held(_task: UserTask, holder: Gfs2Holder): MaySleep<void> {
    if (holder.state !== LM_ST_DEFERRED) yield* inodeDioWait(holder.glock.object as Gfs2Inode);
  },

  heldWaits(holder: Gfs2Holder): boolean {
    return holder.state !== LM_ST_DEFERRED && (holder.glock.object as Gfs2Inode).dioCount > 0;
  },
};

const ALL_PAGES = 2 ** 32;

/**
 * Drop what this node caches of the file's data, and its entries in page tables.
 *
 * Whoever has references to the pages keeps them, and what they held at that moment: nobody waits for that, unless
 * the revision says that references pin the lock.
 *
 * Context: sleeps.
 */
export function* dropCache(task: UserTask, inode: Gfs2Inode): MaySleep<void> {
  const { mapping } = inode;
  unmapMappingPages(task, mapping, 0, ALL_PAGES, false);
  while (mapping.pins?.isReady() === false) yield mapping.pins;
  yield* truncateInodePages(task, mapping, 0, Number.MAX_SAFE_INTEGER);
}

/** Sleep until no direct I/O is in flight. Linux: inode_dio_wait() */
export function* inodeDioWait(inode: Gfs2Inode): MaySleep<void> {
  while (!inode.dioDone.isReady()) yield inode.dioDone;
}
