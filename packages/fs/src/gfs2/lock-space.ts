// All glocks of one mount, and the lock manager that they come from (struct gfs2_sbd, the lock_ part).

import type { MaySleep, Status, Task, World } from "@faultline/kernel";
import type { UserTask } from "@faultline/mm";
import { Glock, type GlockOperations } from "./glock.ts";

/** Where cluster locks come from. Linux: struct lm_lockops */
export interface LockManager {
  readonly name: string;
  /**
   * Ask for another state of a glock.
   *
   * Context: atomic.
   * Returns: the state, LM_OUT_* included, if the answer is known at once; -1 when `complete` will be called.
   */
  lock(glock: Glock, state: number, flags: number, complete: (reply: number) => void): number;
  /** Tasks of other nodes that stand in the way of a request. For reports. */
  blockers(glock: Glock): readonly Task[];
}

/** One node, nobody to ask. Linux: lock_nolock */
export const LOCK_NOLOCK: LockManager = {
  name: "lock_nolock",
  lock: (_glock, state) => state,
  blockers: () => [],
};

/** How the queue behaves, by version. */
export interface GlockRevision {
  /** fs/gfs2/glock.c line of the BUG that a recursive request runs into; 0 when it is not known. */
  readonly recursionBugLine: number;
}

export class LockSpace {
  readonly world: World;
  readonly lm: LockManager;
  readonly revision: GlockRevision;
  /** Gives a kernel thread a body to run: how glock workers are started. */
  readonly startWorker: (comm: string, body: (task: UserTask) => MaySleep<void>) => void;
  /** The node has withdrawn from the cluster: requests fail with -EIO. */
  withdrawn = false;
  readonly #glocks = new Map<string, Glock>();

  constructor(
    world: World,
    lm: LockManager,
    revision: GlockRevision,
    startWorker: (comm: string, body: (task: UserTask) => MaySleep<void>) => void,
  ) {
    this.world = world;
    this.lm = lm;
    this.revision = revision;
    this.startWorker = startWorker;
  }

  /** The glock of a type and number, made when it is first asked for. Linux: gfs2_glock_get() */
  get(ops: GlockOperations, number: number, label: string): Glock {
    const key = `${ops.type}:${number}`;
    let glock = this.#glocks.get(key);
    if (glock === undefined) {
      glock = new Glock(this, number, ops, label);
      this.#glocks.set(key, glock);
    }
    return glock;
  }

  /** Give up: write-back failed, and the node may no longer claim to have what it caches. Linux: gfs2_withdraw() */
  withdraw(_status: Status): void {
    this.withdrawn = true;
  }

  /** By the order in which they were made. */
  glocks(): IterableIterator<Glock> {
    return this.#glocks.values();
  }
}
