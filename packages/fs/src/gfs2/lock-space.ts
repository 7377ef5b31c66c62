// All glocks of one mount, and the lock manager that they come from (struct gfs2_sbd, the lock_ part).

import type { MaySleep, Status, Task, World } from "@faultline/kernel";
import type { UserTask } from "@faultline/mm";
import { Glock, type GlockOperations } from "./glock.ts";

/** Where cluster locks come from. Linux: struct lm_lockops */
export interface LockManager {
  readonly name: string;
  /** Are there other nodes, which change files behind the back of this one? */
  readonly clustered: boolean;
  /**
   * Ask for another state of a glock.
   *
   * Context: atomic.
   * Returns: the state, LM_OUT_* included, if the answer is known at once; -1 when `complete` will be called.
   */
  lock(glock: Glock, state: number, flags: number, complete: (reply: number) => void): number;
  /** Tasks of other nodes that stand in the way of a request. For reports. */
  blockers(glock: Glock): readonly Task[];
  /** The node does no more I/O: let `recover` replay its journal, then give its locks to others. Context: atomic. */
  leave(recover: () => void): void;
}

/** One node, nobody to ask. Linux: lock_nolock */
export const LOCK_NOLOCK: LockManager = {
  name: "lock_nolock",
  clustered: false,
  lock: (_glock, state) => state,
  blockers: () => [],
  leave: (recover) => recover(),
};

/** How the queue behaves, by version. */
export interface GlockRevision {
  /** fs/gfs2/glock.c line of the BUG that a recursive request runs into; 0 when it is not known. */
  readonly recursionBugLine: number;
}

/** What a mount gives its locks. */
export interface LockSpaceOptions {
  readonly world: World;
  /** The name of the node. */
  readonly node: string;
  readonly lm: LockManager;
  readonly revision: GlockRevision;
  /** Gives a kernel thread a body to run: how glock workers are started. */
  startWorker(comm: string, body: (task: UserTask) => MaySleep<void>): Task;
  /** Write-back failed: see Gfs2Sbd.withdraw. */
  withdraw(status: Status): void;
}

export class LockSpace {
  readonly world: World;
  readonly node: string;
  readonly lm: LockManager;
  readonly revision: GlockRevision;
  readonly startWorker: LockSpaceOptions["startWorker"];
  /** May another node ask for a lock at any time, as the choice "remote-lock" of the environment? */
  readonly mayBeAsked: boolean;
  /** The node has withdrawn from the cluster: requests fail with -EIO. */
  withdrawn = false;
  /** The node is gone: nothing happens here any more. */
  dead = false;
  readonly #withdraw: (status: Status) => void;
  readonly #glocks = new Map<string, Glock>();

  constructor({ world, node, lm, revision, startWorker, withdraw }: LockSpaceOptions) {
    this.world = world;
    this.node = node;
    this.lm = lm;
    this.revision = revision;
    this.startWorker = startWorker;
    this.mayBeAsked = world.mayChoose("remote-lock");
    this.#withdraw = withdraw;
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
  withdraw(status: Status): void {
    if (this.withdrawn) return;
    this.withdrawn = true;
    this.#withdraw(status);
  }

  /** By the order in which they were made. */
  glocks(): IterableIterator<Glock> {
    return this.#glocks.values();
  }
}
