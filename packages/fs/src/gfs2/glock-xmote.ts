// Changing the state of a glock (fs/gfs2/glock.c): what the queue needs next is found by runQueue; getting ready
// for it, asking the lock manager and taking its answer may have to wait, and then a worker goes on.

import { bugOn, GLOCK_STATE_NAMES, type MaySleep } from "@faultline/kernel";
import type { UserTask } from "@faultline/mm";
import { glockLog } from "../log.ts";
import {
  type Gfs2Holder,
  GLF_DEMOTE,
  GLF_DEMOTE_IN_PROGRESS,
  GLF_INVALIDATE_IN_PROGRESS,
  GLF_LOCK,
  GLF_PENDING_DEMOTE,
  type Glock,
} from "./glock.ts";
import { doError, doPromote, TRY } from "./glock-promote.ts";
import {
  LM_FLAG_NOEXP,
  LM_OUT_CANCELED,
  LM_OUT_ERROR,
  LM_OUT_ST_MASK,
  LM_ST_DEFERRED,
  LM_ST_EXCLUSIVE,
  LM_ST_UNLOCKED,
} from "./lm.ts";

/** Smallest hold time, and by how much it shrinks, in microseconds. Linux: GL_GLOCK_MIN_HOLD, GL_GLOCK_HOLD_DECR */
const MIN_HOLD_TIME = 40_000;
const HOLD_DECREASE = 25_000;

/**
 * Do what the queue needs next: demote for another node, grant, or change state for the first waiter.
 *
 * Context: sleeps. `nonblock`: leave a demotion to the worker.
 * Linux: run_queue()
 */
export function* runQueue(task: UserTask, glock: Glock, nonblock: boolean): MaySleep<void> {
  const { queue } = glock;
  if ((glock.flags & GLF_LOCK) !== 0) return;
  if ((glock.flags & GLF_DEMOTE) !== 0 && glock.demoteState !== glock.state) {
    if (queue.firstHolder !== null) return;
    if (nonblock) {
      queueWork(glock, 0);
      return;
    }
    glock.flags |= GLF_LOCK | GLF_DEMOTE_IN_PROGRESS;
    glock.target = glock.demoteState;
    yield* doXmote(task, glock, null, glock.target);
    return;
  }
  if ((glock.flags & GLF_DEMOTE) !== 0) demoteDone(glock);
  if (doPromote(task, glock)) return;
  const waiter = queue.firstWaiter;
  if (waiter === null) return;
  glock.flags |= GLF_LOCK;
  glock.target = waiter.state;
  if ((waiter.flags & TRY) === 0) doError(glock, 0);
  yield* doXmote(task, glock, waiter, glock.target);
}

/** Get ready for another state, and ask the lock manager for it. Linux: do_xmote() */
function* doXmote(task: UserTask, glock: Glock, holder: Gfs2Holder | null, target: number): MaySleep<void> {
  const { ops, space } = glock;
  bugOn(target === glock.state, `${glock.label} is asked for the state it has`);
  const drops = (target === LM_ST_UNLOCKED || target === LM_ST_DEFERRED) && ops.invalidate !== undefined;
  if (drops) {
    glock.flags |= GLF_INVALIDATE_IN_PROGRESS;
    doError(glock, 0);
  }
  if (ops.sync !== undefined) {
    const status = yield* ops.sync(task, glock);
    // What could not be written must not be dropped, nor may others read the disk: the node leaves with its locks.
    if (status !== 0) space.withdraw(status);
  }
  if (space.withdrawn && ((holder?.flags ?? 0) & LM_FLAG_NOEXP) === 0) {
    glock.flags &= ~(GLF_INVALIDATE_IN_PROGRESS | GLF_LOCK);
    demoteDone(glock);
    doError(glock, LM_OUT_ERROR);
    return;
  }
  if (drops && ops.invalidate !== undefined) {
    yield* ops.invalidate(task, glock, target !== LM_ST_DEFERRED);
    glock.flags &= ~GLF_INVALIDATE_IN_PROGRESS;
  }
  const reply = space.lm.lock(glock, target, holder?.flags ?? 0, (late) => {
    glock.reply = late;
    queueWork(glock, 0);
  });
  if (reply >= 0) yield* finishXmote(task, glock, reply);
}

/** The lock manager has answered. Linux: finish_xmote() */
function* finishXmote(task: UserTask, glock: Glock, reply: number): MaySleep<void> {
  const state = reply & LM_OUT_ST_MASK;
  stateChange(task, glock, state);
  // Another node wanted it shared or deferred, and then all of it.
  const demoting = (glock.flags & GLF_DEMOTE_IN_PROGRESS) !== 0;
  if (demoting && state !== LM_ST_UNLOCKED && glock.demoteState === LM_ST_UNLOCKED) glock.target = LM_ST_UNLOCKED;
  if (state !== glock.target) {
    yield* notWhatWasWanted(task, glock, reply);
    return;
  }
  if (demoting) {
    glock.stats.demotes++;
    demoteDone(glock);
  }
  if (state !== LM_ST_UNLOCKED) doPromote(task, glock);
  endXmote(glock);
}

/** The answer differs from the request: a try that failed, an error, or a conversion that has to start over. */
function* notWhatWasWanted(task: UserTask, glock: Glock, reply: number): MaySleep<void> {
  const { queue } = glock;
  const state = reply & LM_OUT_ST_MASK;
  let waiter = queue.firstWaiter;
  if (waiter !== null && (glock.flags & GLF_DEMOTE_IN_PROGRESS) === 0) {
    if ((reply & LM_OUT_CANCELED) !== 0) {
      // Somebody else's turn.
      queue.firstWaiterToEnd();
      waiter = queue.firstWaiter as Gfs2Holder;
      glock.target = waiter.state;
      if (doPromote(task, glock)) {
        endXmote(glock);
        return;
      }
    } else if ((reply & LM_OUT_ERROR) !== 0 || (waiter.flags & TRY) !== 0) {
      glock.target = glock.state;
      doError(glock, reply);
      endXmote(glock);
      return;
    }
  }
  yield* doXmote(task, glock, waiter, state === LM_ST_UNLOCKED ? glock.target : LM_ST_UNLOCKED);
}

function endXmote(glock: Glock): void {
  glock.flags &= ~GLF_LOCK;
  if (glock.queue.firstWaiter !== null || (glock.flags & GLF_DEMOTE) !== 0) queueWork(glock, 0);
}

/** Linux: state_change() */
function stateChange(task: UserTask, glock: Glock, state: number): void {
  const { space } = glock;
  task.world.trace?.emit(task, "gfs2_glock_state_change", glock.number, state, glock.target);
  if (glockLog.enabled) {
    const [from, to] = [GLOCK_STATE_NAMES[glock.state], GLOCK_STATE_NAMES[state]];
    glockLog("%s: %s goes from %s to %s", space.node, glock.label, from, to);
  }
  if (state !== glock.target) glock.holdTime = Math.max(glock.holdTime - HOLD_DECREASE, MIN_HOLD_TIME);
  glock.state = state;
  glock.lastChange = task.world.now;
  glock.stats.stateChanges++;
  task.world.accesses?.write(glock.id);
}

function demoteDone(glock: Glock): void {
  glock.demoteState = LM_ST_EXCLUSIVE;
  glock.flags &= ~(GLF_DEMOTE | GLF_DEMOTE_IN_PROGRESS);
}

/**
 * Have a worker look at the glock, after `delay` microseconds.
 *
 * Context: atomic. Linux: gfs2_glock_queue_work()
 * Differs: work that is due later does not keep out work that is due now.
 */
export function queueWork(glock: Glock, delay: number): void {
  const { space } = glock;
  space.world.accesses?.write(glock.id);
  if (space.dead) return;
  if (delay > 0) {
    workLater(glock, space.world.now + delay);
  } else if (glock.worker !== null) {
    glock.workAgain = true;
  } else {
    glock.worker = space.startWorker(`glock_workqueue ${glock.number}`, (task) => glockWorkFunc(task, glock));
  }
}

/** One timer for each glock is enough: whoever looks sees what is left to wait for. */
function workLater(glock: Glock, due: number): void {
  const { world } = glock.space;
  if (glock.workDue <= due) return;
  glock.workDue = due;
  world.after(due - world.now, () => {
    if (glock.workDue !== due) return;
    glock.workDue = Number.POSITIVE_INFINITY;
    queueWork(glock, 0);
  });
}

/** Linux: glock_work_func() */
function* glockWorkFunc(task: UserTask, glock: Glock): MaySleep<void> {
  do {
    glock.workAgain = false;
    task.world.accesses?.write(glock.id);
    if (glock.reply >= 0) {
      const { reply } = glock;
      glock.reply = -1;
      yield* finishXmote(task, glock, reply);
    }
    const pending = (glock.flags & GLF_PENDING_DEMOTE) !== 0;
    if (pending && glock.state !== LM_ST_UNLOCKED && glock.demoteState !== LM_ST_EXCLUSIVE) {
      const remaining = glock.ops.type === "inode" ? glock.lastChange + glock.holdTime - task.world.now : 0;
      if (remaining > 0) workLater(glock, task.world.now + remaining);
      else glock.flags = (glock.flags & ~GLF_PENDING_DEMOTE) | GLF_DEMOTE;
    }
    yield* runQueue(task, glock, false);
    task.world.accesses?.write(glock.id);
  } while (askedAgain(glock));
  glock.worker = null;
}

/** A function, so that the compiler does not think it knows. */
function askedAgain(glock: Glock): boolean {
  return glock.workAgain;
}
