// Who gets a glock (fs/gfs2/glock.c): which requests may hold it together, and granting them in their order.

import { EIO, err, lockReleased } from "@faultline/kernel";
import type { Gfs2Holder, Glock } from "./glock.ts";
import { HIF_HOLDER, HIF_MAY_DEMOTE, HIF_WAIT } from "./holder-queue.ts";
import {
  GL_EXACT,
  GL_NOPID,
  GLR_TRYFAILED,
  LM_FLAG_ANY,
  LM_FLAG_NODE_SCOPE,
  LM_FLAG_TRY,
  LM_FLAG_TRY_1CB,
  LM_OUT_ERROR,
  LM_ST_DEFERRED,
  LM_ST_EXCLUSIVE,
  LM_ST_SHARED,
  LM_ST_UNLOCKED,
} from "./lm.ts";

/** On whose behalf something happens, for traces: a task, or the lock manager. */
export interface Actor {
  readonly pid: number;
}

/** Requests that fail instead of waiting. */
export const TRY: number = LM_FLAG_TRY | LM_FLAG_TRY_1CB;

/** May this request join the granted holders, without a change of state? Context: atomic. Linux: may_grant() */
export function mayGrant(glock: Glock, current: Gfs2Holder | null, holder: Gfs2Holder): boolean {
  if (current !== null) {
    if (holder.state !== current.state) return false;
    if (holder.state !== LM_ST_EXCLUSIVE) return true;
    return (current.flags & holder.flags & LM_FLAG_NODE_SCOPE) !== 0;
  }
  if (glock.state === holder.state) return true;
  if ((holder.flags & GL_EXACT) !== 0) return false;
  if (glock.state === LM_ST_EXCLUSIVE) return holder.state === LM_ST_SHARED || holder.state === LM_ST_DEFERRED;
  return (holder.flags & LM_FLAG_ANY) !== 0 && glock.state !== LM_ST_UNLOCKED;
}

/**
 * Grant what can be granted, from the head of the queue on; the first that cannot keeps out all behind it.
 *
 * Context: atomic. Returns: false when the head of the queue needs a change of state.
 * Linux: do_promote()
 */
export function doPromote(by: Actor, glock: Glock): boolean {
  const { queue } = glock;
  let current = queue.firstStrongHolder;
  for (let waiter = queue.firstWaiter; waiter !== null; waiter = queue.firstWaiter) {
    if (current === null) demoteIncompatHolders(by, glock, waiter.state);
    if (!mayGrant(glock, current, waiter)) {
      if (queue.firstHolder === null) return false;
      doError(glock, 0);
      return true;
    }
    promote(by, glock);
    current ??= waiter;
  }
  return true;
}

/** Grant the first waiter. Context: atomic. */
export function promote(by: Actor, glock: Glock): void {
  const { queue, space } = glock;
  const holder = queue.firstWaiter as Gfs2Holder;
  queue.grantFirstWaiter();
  // From here on it belongs to nobody.
  if ((holder.flags & GL_NOPID) !== 0) holder.owner = null;
  space.world.trace?.emit(by, "gfs2_promote", glock.number, holder.state);
  holder.wake();
}

/**
 * Holders whose task is faulting pages in make way for a request that they are in the way of.
 *
 * Context: atomic. Linux: demote_incompat_holders() (5.16, 5.17)
 */
export function demoteIncompatHolders(by: Actor, glock: Glock, wanted: number): void {
  for (const holder of glock.queue.holders()) {
    const compatible = holder.state === wanted && wanted !== LM_ST_EXCLUSIVE;
    if ((holder.iflags & HIF_MAY_DEMOTE) !== 0 && !compatible) removeHolder(by, holder);
  }
}

/** Answer waiters with an error; 0: only those that try, which have failed. Context: atomic. Linux: do_error() */
export function doError(glock: Glock, reply: number): void {
  const { queue } = glock;
  if (queue.firstWaiter === null) return;
  for (const holder of queue.waiters()) {
    if ((reply & LM_OUT_ERROR) !== 0) holder.error = err(EIO);
    else if ((holder.flags & TRY) !== 0) holder.error = GLR_TRYFAILED;
    else continue;
    queue.remove(holder);
    holder.wake();
  }
}

/** Take a holder out of the queue. Context: atomic. */
export function removeHolder(by: Actor, holder: Gfs2Holder): void {
  const { glock, owner } = holder;
  const { world } = glock.space;
  const granted = (holder.iflags & HIF_HOLDER) !== 0;
  glock.queue.remove(holder);
  holder.iflags &= ~HIF_WAIT;
  world.accesses?.write(glock.id);
  world.trace?.emit(by, "gfs2_glock_queue", glock.number, 0, holder.state);
  if (granted && owner !== null) lockReleased(owner, glock);
}
