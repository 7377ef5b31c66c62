// Glocks: cluster locks that a node keeps when nobody uses them (fs/gfs2/glock.c).
//
// Holders stand in one queue. Granted ones are at its head; a request waits behind all that came before it,
// compatible or not. Towards other nodes a glock has one state, which outlives its holders: it changes when a
// waiter needs another one, or when another node asks. A change that may have to wait is made by a worker.
//
// Lock order:
//   i_rwsem
//     glock of an inode (parents first, then by number)
//       page lock

import {
  GLOCK_STATE_NAMES,
  Lock,
  type MaySleep,
  type Status,
  type Task,
  WaitChannel,
  wakeUpAll,
} from "@faultline/kernel";
import type { UserTask } from "@faultline/mm";
import { HIF_WAIT, HolderQueue } from "./holder-queue.ts";
import { LM_ST_EXCLUSIVE, LM_ST_UNLOCKED } from "./lm.ts";
import type { LockSpace } from "./lock-space.ts";

// Glock flags.
/** A state change or promotion is under way. */
export const GLF_LOCK: number = 1 << 0;
export const GLF_DEMOTE: number = 1 << 1;
/** A demote request that waits until the lock was held long enough. */
export const GLF_PENDING_DEMOTE: number = 1 << 2;
export const GLF_DEMOTE_IN_PROGRESS: number = 1 << 3;
export const GLF_INVALIDATE_IN_PROGRESS: number = 1 << 4;
/** There is something to write back before the lock can go. */
export const GLF_DIRTY: number = 1 << 5;
/** The object must be read again before the lock is used. */
export const GLF_INSTANTIATE_NEEDED: number = 1 << 6;

/** Microseconds that a node keeps a lock before another node gets it. Linux: GL_GLOCK_DFT_HOLD, HZ / 5 */
const DEFAULT_HOLD_TIME = 200_000;

/** What a glock protects. Linux: struct gfs2_glock_operations */
export interface GlockOperations {
  /** Name of the type; only locks of inodes have a hold time. */
  readonly type: "inode" | "meta" | "flock";
  /** Write back what is dirty. Context: sleeps. Linux: go_sync */
  sync?(task: UserTask, glock: Glock): MaySleep<Status>;
  /** Drop what is cached; `metadata` too. Context: sleeps. Linux: go_inval */
  invalidate?(task: UserTask, glock: Glock, metadata: boolean): MaySleep<void>;
  /** Read the object again. Context: sleeps. Linux: go_instantiate */
  instantiate?(task: UserTask, glock: Glock): MaySleep<Status>;
  /** The lock was granted to a holder. Context: sleeps. Linux: go_held */
  held?(task: UserTask, holder: Gfs2Holder): MaySleep<void>;
  /** Would `held` have to wait? Context: atomic. */
  heldWaits?(holder: Gfs2Holder): boolean;
}

/** One request for a glock, waiting or granted. Linux: struct gfs2_holder */
export class Gfs2Holder {
  readonly glock: Glock;
  readonly state: number;
  /** LM_FLAG_* and GL_*. */
  readonly flags: number;
  /** The kernel function that asks, for reports. Linux: gh_ip */
  readonly ip: string;
  /** Who asks; null before it is queued, and once it is granted with GL_NOPID. */
  owner: Task | null = null;
  /** HIF_*. */
  iflags = 0;
  /** Why it was not granted: GLR_TRYFAILED, or an errno; 0 = it was, or nothing is known yet. */
  error = 0;
  /** What its task sleeps on; made for the first sleep. */
  answer: HolderAnswer | null = null;

  constructor(glock: Glock, state: number, flags: number, ip: string) {
    this.glock = glock;
    this.state = state;
    this.flags = flags;
    this.ip = ip;
  }

  /** The request is answered: whoever waits for that goes on. Context: atomic. Linux: gfs2_holder_wake() */
  wake(): void {
    this.iflags &= ~HIF_WAIT;
    if (this.answer !== null) wakeUpAll(this.answer);
  }
}

/** Ready when a request was answered, either way. */
export class HolderAnswer extends WaitChannel {
  readonly holder: Gfs2Holder;
  /** Of the lock that is waited for. */
  readonly lockClass: string;

  constructor(holder: Gfs2Holder) {
    super(holder.glock.label);
    this.holder = holder;
    this.lockClass = holder.glock.lockClass;
  }

  override isReady(): boolean {
    return (this.holder.iflags & HIF_WAIT) === 0;
  }

  override wants(): string {
    return GLOCK_STATE_NAMES[this.holder.state];
  }

  /** Those before it in the queue; when there are none, whoever keeps the state of the lock from changing. */
  override holders(): readonly Task[] {
    const { glock } = this.holder;
    const before = glock.queue.before(this.holder).flatMap(({ owner }) => owner ?? []);
    if (before.length > 0) return before;
    const here = glock.workedOnBy();
    return here.length > 0 ? here : glock.space.lm.blockers(glock);
  }
}

export interface GlockStats {
  /** Requests, and how many of them were granted without a wait. */
  queued: number;
  immediate: number;
  stateChanges: number;
  /** Times that another node took it. */
  demotes: number;
}

export class Glock extends Lock {
  readonly space: LockSpace;
  readonly number: number;
  readonly ops: GlockOperations;
  /** What it protects: an inode, for inode glocks. */
  object: object | null = null;
  /** Linux: gl_holders */
  readonly queue: HolderQueue = new HolderQueue();
  /** What the cluster has granted to this node. */
  state: number = LM_ST_UNLOCKED;
  /** What a state change under way is to lead to. */
  target: number = LM_ST_UNLOCKED;
  /** What another node wants it to become; LM_ST_EXCLUSIVE = nobody asked. */
  demoteState: number = LM_ST_EXCLUSIVE;
  /** GLF_*. */
  flags = 0;
  /** Microseconds that it stays after a state change before another node gets it; adapts. */
  holdTime: number = DEFAULT_HOLD_TIME;
  lastChange = 0;
  /** The lock manager's answer that a worker has to look at; -1 = none. */
  reply = -1;
  /** The kernel thread that works on it, and whether it has to look once more. */
  worker: Task | null = null;
  workAgain = false;
  /** When a worker is to look at it without being asked again; infinite = never. */
  workDue: number = Number.POSITIVE_INFINITY;
  readonly stats: GlockStats = { queued: 0, immediate: 0, stateChanges: 0, demotes: 0 };

  constructor(space: LockSpace, number: number, ops: GlockOperations, label: string) {
    super(space.world.newId(`glock ${label}`), `glock:${ops.type}`, `glock ${label}`);
    this.space = space;
    this.number = number;
    this.ops = ops;
  }

  /** Tasks that its worker waits for. */
  workedOnBy(): readonly Task[] {
    const channel = this.worker?.sleepingOn;
    return this.worker !== null && channel instanceof WaitChannel ? channel.holders(this.worker) : [];
  }

  /** Tasks of this node that keep the lock from leaving it. */
  heldBackBy(): readonly Task[] {
    const owners = this.queue.holders().flatMap(({ owner }) => owner ?? []);
    return owners.length > 0 ? owners : this.workedOnBy();
  }

  /** Nobody sleeps on the glock itself: each request has its own HolderAnswer. */
  override isReady(): boolean {
    return true;
  }
}
