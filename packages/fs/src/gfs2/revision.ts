// What differs between versions of gfs2 and of what it stands on. A revision is one object; a mount has one.

import type { Faulting, Sleep, Ssize } from "@faultline/kernel";
import type { MmRevision, UserTask } from "@faultline/mm";
import type { IovIter, UioRevision } from "@faultline/uio";
import type { ReadaheadRevision } from "../cache/readahead.ts";
import type { IomapRevision } from "../iomap/revision.ts";
import type { Kiocb } from "../vfs/kiocb.ts";
import type { Gfs2Fiemap } from "./fiemap.ts";
import type { GlockRevision } from "./lock-space.ts";

/** One of gfs2's four ways to move bytes. At its widest: on some revisions it faults, on others it only sleeps. */
export interface Gfs2Io {
  (task: UserTask, iocb: Kiocb, iter: IovIter): Generator<Sleep | Faulting, Ssize, void>;
  /** Its shortcut, if it has one. */
  readonly whenResident?: ResidentIo;
}

/**
 * The same for `count` bytes of user memory at `buf`, when nothing is missing and nothing has to be waited for.
 *
 * Context: atomic. Returns: all bytes, or null; nothing has happened then.
 */
export type ResidentIo = (task: UserTask, iocb: Kiocb, buf: number, count: number) => Ssize | null;

export interface Gfs2Revision {
  /** As on the command line: "5.10", "v4", "cure:keep-glock". */
  readonly name: string;
  /** One sentence: what it is. */
  readonly title: string;
  readonly mm: MmRevision;
  readonly uio: UioRevision;
  readonly readahead: ReadaheadRevision;
  readonly iomap: IomapRevision;
  readonly glock: GlockRevision;
  /** See SuperBlock. */
  readonly readBatch: number;
  /**
   * References to pages that a task keeps while it may fault hold the lock on the node, as the patches of 2021 and 2022 say.
   * False in every kernel: taking pages out of the cache does not wait for references.
   */
  readonly referencesPin: boolean;
  /** Buffered writes take the glock in iomap_begin, extent by extent: until 5.15. */
  readonly locksInIomap: boolean;
  /** A short write gives back all the blocks that it did not use: 5.18 on. */
  readonly freesWholeTail: boolean;
  /** Unstuffing leaves a page in the cache also when there are no data to put into it: since 5.14. */
  readonly unstuffsEmptyPage: boolean;
  /** Truncating and punching zero the rest of a block also where it lies behind the end of the file (7.2 does not). */
  readonly zeroesBeyondEof: boolean;
  /** Direct writes do not update the time stamps beforehand: 6.12 on, and not yet in 6.1. */
  readonly directKeepsTimes: boolean;
  /** write() knows RWF_NOAPPEND (6.9 on), RWF_ATOMIC and RWF_DONTCACHE (6.11, 6.14 on). */
  readonly rwfFlags: number;
  /** A fault of a task that holds a glock only tries for the next one; `cure:trylock-sigbus` alone. */
  readonly faultTriesUnderGlock: boolean;
  /** Pipes: what a write leaves in a slot whose copy failed (7.2 differs). */
  readonly pipeKeepsEmptySlot: boolean;
  /** Pipes honour RWF_NOWAIT: 6.4 on. */
  readonly pipesKnowNowait: boolean;
  /** Telling extents; does the copy to user memory take faults under the glock? */
  readonly fiemap: Gfs2Fiemap;
  readonly bufferedRead: Gfs2Io;
  readonly bufferedWrite: Gfs2Io;
  readonly directRead: Gfs2Io;
  readonly directWrite: Gfs2Io;
}
