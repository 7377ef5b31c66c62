// Asking for a glock, waiting for it, and letting it go (fs/gfs2/glock.c).

import {
  ECHILD,
  EIO,
  err,
  GLOCK_STATE_NAMES,
  KernelBug,
  lockAcquired,
  type MaySleep,
  PREEMPT,
  type Status,
} from "@faultline/kernel";
import type { UserTask } from "@faultline/mm";
import {
  type Gfs2Holder,
  GLF_DEMOTE,
  GLF_INSTANTIATE_NEEDED,
  GLF_INVALIDATE_IN_PROGRESS,
  GLF_LOCK,
  GLF_PENDING_DEMOTE,
  HolderAnswer,
} from "./glock.ts";
import { mayBeAskedFor, requestDemote } from "./glock-demote.ts";
import { dumpGlock } from "./glock-dump.ts";
import { demoteIncompatHolders, mayGrant, promote, removeHolder, TRY } from "./glock-promote.ts";
import { queueWork, runQueue } from "./glock-xmote.ts";
import { HIF_HOLDER, HIF_MAY_DEMOTE, HIF_WAIT } from "./holder-queue.ts";
import {
  GL_ASYNC,
  GL_NOBLOCK,
  GL_NOCACHE,
  GL_SKIP,
  GLR_TRYFAILED,
  LM_FLAG_NOEXP,
  LM_ST_EXCLUSIVE,
  LM_ST_UNLOCKED,
} from "./lm.ts";

/** Largest hold time, and by how much a long wait makes it grow, in microseconds. Linux: GL_GLOCK_*_HOLD, HOLD_INCR */
const MAX_HOLD_TIME = 200_000;
const HOLD_INCREASE = 50_000;
/** A wait that is so long lets the next holder keep the lock longer. */
const LONG_WAIT = 1_000_000;

/**
 * Ask for a glock, and wait for it unless GL_ASYNC.
 *
 * Context: sleeps. A task that is in the queue already is a BUG.
 * Returns: 0; GLR_TRYFAILED for a try that would have to wait; -ECHILD for GL_NOBLOCK; -EIO after a withdraw.
 * Linux:   gfs2_glock_nq()
 */
export function* gfs2GlockNq(task: UserTask, holder: Gfs2Holder): MaySleep<number> {
  if (task.world.preemptible) yield PREEMPT;
  mayBeAskedFor(holder.glock);
  // Others may line up, or go on, before the holder does anything.
  const { interrupts } = task.world;
  if (tryNqNow(task, holder)) {
    if (interrupts) yield PREEMPT;
    return 0;
  }
  const { glock } = holder;
  if (glock.space.withdrawn && (holder.flags & LM_FLAG_NOEXP) === 0) return err(EIO);
  if ((holder.flags & GL_NOBLOCK) !== 0) return err(ECHILD);
  addToQueue(task, holder);
  yield* runQueue(task, glock, true);
  if (interrupts && (holder.iflags & HIF_WAIT) === 0) yield PREEMPT;
  return (holder.flags & GL_ASYNC) !== 0 ? 0 : yield* gfs2GlockWait(task, holder);
}

/**
 * Ask for a glock and get it at once, if nobody is in the way: the shortcut for hot paths.
 *
 * Context: atomic. Returns: true when it is held; nothing has happened otherwise.
 */
export function gfs2GlockTryNq(task: UserTask, holder: Gfs2Holder): boolean {
  const { preemptible } = task.world;
  return !preemptible && !holder.glock.space.mayBeAsked && tryNqNow(task, holder);
}

function tryNqNow(task: UserTask, holder: Gfs2Holder): boolean {
  const { glock } = holder;
  const { ops } = glock;
  if ((glock.flags & NOT_AT_ONCE) !== 0 || glock.space.withdrawn || (holder.flags & GL_ASYNC) !== 0) return false;
  if (glock.queue.length > 0 || !mayGrant(glock, null, holder)) return false;
  if (ops.heldWaits?.(holder) === true) return false;
  addToQueue(task, holder);
  promote(task, glock);
  glock.stats.immediate++;
  if (holder.owner !== null) lockAcquired(task, glock, GLOCK_STATE_NAMES[holder.state], (holder.flags & TRY) !== 0);
  return true;
}

/** With any of these set a request takes the long way. */
const NOT_AT_ONCE = GLF_LOCK | GLF_DEMOTE | GLF_PENDING_DEMOTE | GLF_INSTANTIATE_NEEDED;

/** Was a request that was queued with GL_ASYNC answered? Context: atomic. Linux: gfs2_glock_poll() */
export function gfs2GlockPoll(holder: Gfs2Holder): boolean {
  return (holder.iflags & HIF_WAIT) === 0;
}

/**
 * Wait for a request that was queued with GL_ASYNC.
 *
 * Context: sleeps. Returns: as gfs2GlockNq. Linux: gfs2_glock_wait()
 */
export function* gfs2GlockWait(task: UserTask, holder: Gfs2Holder): MaySleep<number> {
  const { glock } = holder;
  if ((holder.iflags & HIF_WAIT) !== 0) {
    const since = task.world.now;
    holder.answer ??= new HolderAnswer(holder);
    while (!holder.answer.isReady()) yield holder.answer;
    if (task.world.now - since > LONG_WAIT) glock.holdTime = Math.min(glock.holdTime + HOLD_INCREASE, MAX_HOLD_TIME);
  }
  task.world.accesses?.acquire(glock.id, true);
  if (holder.error !== 0) return holder.error;
  if (holder.owner !== null) lockAcquired(task, glock, GLOCK_STATE_NAMES[holder.state], (holder.flags & TRY) !== 0);
  return (holder.flags & GL_SKIP) !== 0 ? 0 : yield* gfs2Instantiate(task, holder);
}

/** Read the object again if its metadata were dropped; then tell it that it is held. Linux: gfs2_instantiate() */
function* gfs2Instantiate(task: UserTask, holder: Gfs2Holder): MaySleep<Status> {
  const { glock } = holder;
  const { ops } = glock;
  if ((glock.flags & GLF_INSTANTIATE_NEEDED) !== 0 && ops.instantiate !== undefined) {
    const status = yield* ops.instantiate(task, glock);
    if (status !== 0) {
      gfs2GlockDq(task, holder);
      return status;
    }
    glock.flags &= ~GLF_INSTANTIATE_NEEDED;
  }
  if (ops.held !== undefined) yield* ops.held(task, holder);
  return 0;
}

/** Put a request at the end of the queue. Context: atomic. Linux: add_to_queue() */
function addToQueue(task: UserTask, holder: Gfs2Holder): void {
  const { glock } = holder;
  holder.owner = task;
  holder.error = 0;
  if (glock.queue.length > 0 && glock.ops.type !== "flock") {
    for (const other of glock.queue) {
      if (other.owner === task && (other.iflags & HIF_MAY_DEMOTE) === 0) trapRecursive(other, holder);
    }
  }
  if ((holder.flags & TRY) !== 0 && isFutile(holder)) {
    holder.error = GLR_TRYFAILED;
    return;
  }
  holder.iflags |= HIF_WAIT;
  glock.queue.add(holder);
  glock.stats.queued++;
  task.world.accesses?.write(glock.id);
  task.world.trace?.emit(task, "gfs2_glock_queue", glock.number, 1, holder.state);
}

/** Would a request that does not want to wait have to, behind others that do? */
function isFutile(holder: Gfs2Holder): boolean {
  const { flags, queue } = holder.glock;
  if ((flags & GLF_INVALIDATE_IN_PROGRESS) !== 0) return true;
  if ((flags & GLF_LOCK) === 0 || mayGrant(holder.glock, queue.firstStrongHolder, holder)) return false;
  for (const other of queue) if ((other.flags & TRY) === 0) return true;
  return false;
}

/** The same task twice in one queue would wait for itself: the kernel stops here. */
function trapRecursive(held: Gfs2Holder, asked: Gfs2Holder): never {
  const { glock } = held;
  const { recursionBugLine } = glock.space.revision;
  const line = recursionBugLine === 0 ? "" : `:${recursionBugLine}`;
  const describe = (word: string, holder: Gfs2Holder): string[] => [
    `${word}: ${holder.ip}`,
    `pid: ${holder.owner?.pid ?? 0}`,
    `lock type: ${glock.ops.type} req lock state: ${GLOCK_STATE_NAMES[holder.state]}`,
  ];
  throw new KernelBug(`kernel BUG at fs/gfs2/glock.c${line}!`, {
    rip: "gfs2_glock_nq",
    dump: [...describe("original", held), ...describe("new", asked), ...dumpGlock(glock)],
  });
}

/**
 * Let a glock go. It stays cached in its state, unless another node waits for it or GL_NOCACHE.
 *
 * Context: atomic. Linux: gfs2_glock_dq()
 */
export function gfs2GlockDq(task: UserTask, holder: Gfs2Holder): void {
  const { glock } = holder;
  const { queue } = glock;
  removeHolder(task, holder);
  if ((holder.flags & GL_NOCACHE) !== 0) requestDemote(task, glock, LM_ST_UNLOCKED, 0, false);
  const demoted = (glock.flags & (GLF_DEMOTE | GLF_PENDING_DEMOTE)) !== 0;
  // The last one that could not be taken away is gone: those that can be go too.
  if (demoted && queue.firstStrongHolder === null) demoteIncompatHolders(task, glock, LM_ST_EXCLUSIVE);
  if (!demoted && queue.length === 0) return;
  const pending = (glock.flags & (GLF_PENDING_DEMOTE | GLF_DEMOTE)) === GLF_PENDING_DEMOTE;
  queueWork(glock, pending && glock.ops.type === "inode" ? glock.holdTime : 0);
}

/** Is the holder still in possession, after its task allowed others to take it? Linux: gfs2_holder_queued() */
export function gfs2HolderQueued(holder: Gfs2Holder): boolean {
  return (holder.iflags & HIF_HOLDER) !== 0;
}

/** From here on the holder may be taken away. Context: atomic. Linux: gfs2_holder_allow_demote() (5.16, 5.17) */
export function gfs2HolderAllowDemote(holder: Gfs2Holder): void {
  holder.iflags |= HIF_MAY_DEMOTE;
}

/** Context: atomic. Linux: gfs2_holder_disallow_demote() (5.16, 5.17) */
export function gfs2HolderDisallowDemote(holder: Gfs2Holder): void {
  holder.iflags &= ~HIF_MAY_DEMOTE;
}
