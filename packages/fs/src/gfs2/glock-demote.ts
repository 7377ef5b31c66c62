// Requests to give a glock up (fs/gfs2/glock.c): from another node through the lock manager, or from ourselves.

import { GLF_DEMOTE, GLF_PENDING_DEMOTE, type Glock } from "./glock.ts";
import { type Actor, demoteIncompatHolders } from "./glock-promote.ts";
import { queueWork } from "./glock-xmote.ts";
import { LM_ST_EXCLUSIVE, LM_ST_SHARED, LM_ST_UNLOCKED } from "./lm.ts";

/** Nobody in particular: what a node does because another one asked. */
const ANOTHER_NODE: Actor = { pid: 0 };

/**
 * The lock is to become `state`; `delay` in microseconds: it may stay that long.
 *
 * Two who want different states, both short of exclusive, get the lock one after the other: it goes altogether.
 *
 * Context: atomic. Linux: request_demote(), handle_callback()
 */
export function requestDemote(by: Actor, glock: Glock, state: number, delay: number, remote: boolean): void {
  glock.flags |= delay > 0 ? GLF_PENDING_DEMOTE : GLF_DEMOTE;
  if (glock.demoteState === LM_ST_EXCLUSIVE) glock.demoteState = state;
  else if (glock.demoteState !== LM_ST_UNLOCKED && glock.demoteState !== state) glock.demoteState = LM_ST_UNLOCKED;
  glock.space.world.trace?.emit(by, "gfs2_demote_rq", glock.number, glock.demoteState, remote ? 1 : 0);
}

/**
 * The lock manager's call-back: another node waits for the lock, and would get it if it became `state` here.
 *
 * A lock that is in use, or was asked for, stays at least its hold time.
 *
 * Context: atomic. Linux: gfs2_glock_cb()
 */
export function gfs2GlockCb(glock: Glock, state: number): void {
  const { queue, space } = glock;
  if (space.dead) return;
  const keepUntil = glock.lastChange + glock.holdTime;
  let delay = 0;
  if (queue.length > 0 && glock.ops.type === "inode") {
    if (space.world.now < keepUntil) delay = keepUntil - space.world.now;
    if (glock.reply >= 0) delay = glock.holdTime;
  }
  // Those that can be taken away keep the lock until the last one that cannot is done with it.
  if (queue.firstStrongHolder === null) {
    demoteIncompatHolders(ANOTHER_NODE, glock, state === LM_ST_UNLOCKED ? LM_ST_EXCLUSIVE : state);
  }
  requestDemote(ANOTHER_NODE, glock, state, delay, true);
  queueWork(glock, delay);
}

/**
 * Ask the environment whether another node, of which nothing else is known, asks for the lock now: the choice
 * "remote-lock". Asked when a task is about to ask, to whom it makes no difference when exactly the lock went.
 *
 * Context: atomic.
 */
export function mayBeAskedFor(glock: Glock): void {
  const { space, state, demoteState } = glock;
  if (!space.mayBeAsked || glock.ops.type !== "inode" || demoteState !== LM_ST_EXCLUSIVE) return;
  space.world.accesses?.read(glock.id);
  if (state === LM_ST_UNLOCKED) return;
  // For writing; for reading, which takes nothing away from those who only read.
  const wanted = space.world.choose("remote-lock", state === LM_ST_EXCLUSIVE ? 3 : 2);
  if (wanted !== 0) gfs2GlockCb(glock, wanted === 1 ? LM_ST_UNLOCKED : LM_ST_SHARED);
}
