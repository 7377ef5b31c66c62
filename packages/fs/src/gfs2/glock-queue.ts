// The glock queue at work (fs/gfs2/glock.c): asking, granting, changing state, letting go.

import {
  bugOn,
  ECHILD,
  EIO,
  err,
  GLOCK_STATE_NAMES,
  KernelBug,
  lockAcquired,
  lockReleased,
  type MaySleep,
  PREEMPT,
  type Status,
  wakeUpAll,
} from "@faultline/kernel";
import type { UserTask } from "@faultline/mm";
import {
  type Gfs2Holder,
  GLF_DEMOTE,
  GLF_DEMOTE_IN_PROGRESS,
  GLF_INSTANTIATE_NEEDED,
  GLF_INVALIDATE_IN_PROGRESS,
  GLF_LOCK,
  GLF_PENDING_DEMOTE,
  type Glock,
  HIF_HOLDER,
  HIF_MAY_DEMOTE,
  HIF_WAIT,
  HolderAnswer,
} from "./glock.ts";
import { dumpGlock } from "./glock-dump.ts";
import {
  GL_ASYNC,
  GL_EXACT,
  GL_NOBLOCK,
  GL_NOCACHE,
  GL_NOPID,
  GL_SKIP,
  GLR_TRYFAILED,
  LM_FLAG_ANY,
  LM_FLAG_NODE_SCOPE,
  LM_FLAG_NOEXP,
  LM_FLAG_TRY,
  LM_FLAG_TRY_1CB,
  LM_OUT_CANCELED,
  LM_OUT_ERROR,
  LM_OUT_ST_MASK,
  LM_ST_DEFERRED,
  LM_ST_EXCLUSIVE,
  LM_ST_SHARED,
  LM_ST_UNLOCKED,
} from "./lm.ts";

const TRY = LM_FLAG_TRY | LM_FLAG_TRY_1CB;

/** Smallest and largest hold time, and by how much it adapts, in microseconds. Linux: GL_GLOCK_*_HOLD */
const MIN_HOLD_TIME = 40_000;
const MAX_HOLD_TIME = 200_000;
const HOLD_DECREASE = 25_000;

/**
 * Ask for a glock, and wait for it unless GL_ASYNC.
 *
 * Context: sleeps. A task that is in the queue already is a BUG.
 * Returns: 0; GLR_TRYFAILED for a try that would have to wait; -ECHILD for GL_NOBLOCK; -EIO after a withdraw.
 * Linux:   gfs2_glock_nq()
 */
export function* gfs2GlockNq(task: UserTask, holder: Gfs2Holder): MaySleep<number> {
  if (task.world.preemptible) yield PREEMPT;
  if (tryNqNow(task, holder)) return 0;
  const { glock } = holder;
  if (glock.space.withdrawn && (holder.flags & LM_FLAG_NOEXP) === 0) return err(EIO);
  if ((holder.flags & GL_NOBLOCK) !== 0) return err(ECHILD);
  addToQueue(task, holder);
  yield* runQueue(task, glock, true);
  return (holder.flags & GL_ASYNC) !== 0 ? 0 : yield* gfs2GlockWait(task, holder);
}

/**
 * Ask for a glock and get it at once, if nobody is in the way: the shortcut for hot paths.
 *
 * Context: atomic. Returns: true when it is held; nothing has happened otherwise.
 */
export function gfs2GlockTryNq(task: UserTask, holder: Gfs2Holder): boolean {
  return !task.world.preemptible && tryNqNow(task, holder);
}

function tryNqNow(task: UserTask, holder: Gfs2Holder): boolean {
  const { glock } = holder;
  const { ops } = glock;
  if ((glock.flags & NOT_AT_ONCE) !== 0 || glock.space.withdrawn || (holder.flags & GL_ASYNC) !== 0) return false;
  if (glock.queue.length > 0 || !mayGrant(glock, null, holder)) return false;
  if (ops.heldWaits?.(holder) === true) return false;
  addToQueue(task, holder);
  promote(task, glock, holder);
  glock.stats.immediate++;
  if (holder.owner !== null) lockAcquired(task, glock, GLOCK_STATE_NAMES[holder.state]);
  return true;
}

/** With any of these set a request takes the long way. */
const NOT_AT_ONCE = GLF_LOCK | GLF_DEMOTE | GLF_PENDING_DEMOTE | GLF_INSTANTIATE_NEEDED;

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
    if (task.world.now - since > 1_000_000) glock.holdTime = Math.min(glock.holdTime + 50_000, MAX_HOLD_TIME);
  }
  task.world.accesses?.acquire(glock.id, true);
  if (holder.error !== 0) return holder.error;
  if (holder.owner !== null) lockAcquired(task, glock, GLOCK_STATE_NAMES[holder.state]);
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
  holder.owner = (holder.flags & GL_NOPID) !== 0 ? null : task;
  holder.error = 0;
  if (glock.ops.type !== "flock") {
    for (const other of glock.queue) {
      if (other.owner === task && (other.iflags & HIF_MAY_DEMOTE) === 0) trapRecursive(other, holder);
    }
  }
  const futile =
    (holder.flags & TRY) !== 0 &&
    ((glock.flags & GLF_INVALIDATE_IN_PROGRESS) !== 0 ||
      ((glock.flags & GLF_LOCK) !== 0 && !mayGrant(glock, firstStrongHolder(glock), holder)));
  if (futile) {
    holder.error = GLR_TRYFAILED;
    return;
  }
  holder.iflags |= HIF_WAIT;
  glock.queue.push(holder);
  glock.stats.queued++;
  task.world.accesses?.write(glock.id);
  task.world.trace?.emit(task, "gfs2_glock_queue", glock.number, 1, holder.state);
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

/** May this request join the granted holders, without a change of state? Linux: may_grant() */
function mayGrant(glock: Glock, current: Gfs2Holder | null, holder: Gfs2Holder): boolean {
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

function firstHolder(glock: Glock): Gfs2Holder | null {
  const first = glock.queue[0];
  return first !== undefined && (first.iflags & HIF_HOLDER) !== 0 ? first : null;
}

/** The first holder that cannot be taken away. Linux: find_first_strong_holder() */
function firstStrongHolder(glock: Glock): Gfs2Holder | null {
  const strong = glock.queue.find(({ iflags }) => (iflags & (HIF_HOLDER | HIF_MAY_DEMOTE)) === HIF_HOLDER);
  return strong ?? null;
}

function firstWaiter(glock: Glock): Gfs2Holder | null {
  return glock.queue.find(({ iflags }) => (iflags & HIF_HOLDER) === 0) ?? null;
}

function promote(task: UserTask, glock: Glock, holder: Gfs2Holder): void {
  holder.iflags |= HIF_HOLDER;
  task.world.trace?.emit(task, "gfs2_promote", glock.number, holder.state);
  answer(holder);
}

/** The request is answered: wake whoever waits. Linux: gfs2_holder_wake() */
function answer(holder: Gfs2Holder): void {
  holder.iflags &= ~HIF_WAIT;
  if (holder.answer !== null) wakeUpAll(holder.answer);
}

/**
 * Grant what can be granted, from the head of the queue on; the first that cannot keeps out all behind it.
 *
 * Context: atomic. Returns: false when the head of the queue needs a change of state.
 * Linux: do_promote()
 */
function doPromote(task: UserTask, glock: Glock): boolean {
  let current = firstStrongHolder(glock);
  for (const holder of [...glock.queue]) {
    if ((holder.iflags & HIF_HOLDER) !== 0) continue;
    if (current === null) demoteIncompatHolders(task, glock, holder.state);
    if (!mayGrant(glock, current, holder)) {
      if (firstHolder(glock) === null) return false;
      doError(glock, 0);
      return true;
    }
    promote(task, glock, holder);
    current ??= holder;
  }
  return true;
}

/** Holders whose task is faulting pages in make way for a request that they are in the way of. Linux: demote_incompat_holders() */
function demoteIncompatHolders(task: UserTask, glock: Glock, wanted: number): void {
  for (const holder of [...glock.queue]) {
    if ((holder.iflags & HIF_HOLDER) === 0) break;
    const compatible = holder.state === wanted && wanted !== LM_ST_EXCLUSIVE;
    if ((holder.iflags & HIF_MAY_DEMOTE) !== 0 && !compatible) removeHolder(task, holder);
  }
}

/** Answer waiters with an error; 0: only those that try, which have failed. Linux: do_error() */
function doError(glock: Glock, reply: number): void {
  for (const holder of [...glock.queue]) {
    if ((holder.iflags & HIF_HOLDER) !== 0) continue;
    if ((reply & LM_OUT_ERROR) !== 0) holder.error = err(EIO);
    else if ((holder.flags & TRY) !== 0) holder.error = GLR_TRYFAILED;
    else continue;
    glock.queue.splice(glock.queue.indexOf(holder), 1);
    answer(holder);
  }
}

/**
 * Do what the queue needs next: demote for another node, grant, or change state for the first waiter.
 *
 * Context: sleeps. `nonblock`: leave a demotion to the worker.
 * Linux: run_queue()
 */
function* runQueue(task: UserTask, glock: Glock, nonblock: boolean): MaySleep<void> {
  if ((glock.flags & GLF_LOCK) !== 0) return;
  if ((glock.flags & GLF_DEMOTE) !== 0 && glock.demoteState !== glock.state) {
    if (firstHolder(glock) !== null) return;
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
  const waiter = firstWaiter(glock);
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
    if (status !== 0) space.withdraw(status);
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
  const state = reply & LM_OUT_ST_MASK;
  let waiter = firstWaiter(glock);
  if (waiter !== null && (glock.flags & GLF_DEMOTE_IN_PROGRESS) === 0) {
    if ((reply & LM_OUT_CANCELED) !== 0) {
      // Somebody else's turn: to the end of the queue.
      glock.queue.push(...glock.queue.splice(glock.queue.indexOf(waiter), 1));
      waiter = firstWaiter(glock) as Gfs2Holder;
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
  if (firstWaiter(glock) !== null || (glock.flags & GLF_DEMOTE) !== 0) queueWork(glock, 0);
}

/** Linux: state_change() */
function stateChange(task: UserTask, glock: Glock, state: number): void {
  task.world.trace?.emit(task, "gfs2_glock_state_change", glock.number, state, glock.target);
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
 * Let a glock go. It stays cached in its state, unless another node waits for it or GL_NOCACHE.
 *
 * Context: atomic. Linux: gfs2_glock_dq()
 */
export function gfs2GlockDq(task: UserTask, holder: Gfs2Holder): void {
  const { glock } = holder;
  removeHolder(task, holder);
  if ((holder.flags & GL_NOCACHE) !== 0) handleCallback(task, glock, LM_ST_UNLOCKED, 0, false);
  const demoted = (glock.flags & (GLF_DEMOTE | GLF_PENDING_DEMOTE)) !== 0;
  // The last one that could not be taken away is gone: those that can be go too.
  if (demoted && firstStrongHolder(glock) === null) demoteIncompatHolders(task, glock, LM_ST_EXCLUSIVE);
  if (glock.queue.length === 0 && (glock.flags & (GLF_DEMOTE | GLF_PENDING_DEMOTE)) === 0) return;
  const pending = (glock.flags & (GLF_PENDING_DEMOTE | GLF_DEMOTE)) === GLF_PENDING_DEMOTE;
  queueWork(glock, pending ? glock.holdTime : 0);
}

function removeHolder(task: UserTask, holder: Gfs2Holder): void {
  const { glock } = holder;
  const { queue } = glock;
  if (queue[queue.length - 1] === holder) queue.pop();
  else queue.splice(queue.indexOf(holder), 1);
  holder.iflags &= ~HIF_HOLDER;
  task.world.accesses?.write(glock.id);
  task.world.trace?.emit(task, "gfs2_glock_queue", glock.number, 0, holder.state);
  if (holder.owner !== null) lockReleased(holder.owner, glock);
}

/** Is the holder still in possession, after its task allowed others to take it? Linux: gfs2_holder_queued() */
export function gfs2HolderQueued(holder: Gfs2Holder): boolean {
  return (holder.iflags & HIF_HOLDER) !== 0;
}

/** From here on the holder may be taken away. Context: atomic. Linux: gfs2_holder_allow_demote() (5.16, 5.17) */
export function gfs2HolderAllowDemote(holder: Gfs2Holder): void {
  holder.iflags |= HIF_MAY_DEMOTE;
}

/** Context: atomic. Linux: gfs2_holder_disallow_demote() */
export function gfs2HolderDisallowDemote(holder: Gfs2Holder): void {
  holder.iflags &= ~HIF_MAY_DEMOTE;
}

/**
 * Another node wants the lock in `state`, or we want to be rid of it.
 *
 * Context: atomic; `delay` in microseconds: it may stay that long.
 * Linux: request_demote(), handle_callback()
 */
export function handleCallback(
  task: { readonly pid: number },
  glock: Glock,
  state: number,
  delay: number,
  remote: boolean,
): void {
  glock.flags |= delay > 0 ? GLF_PENDING_DEMOTE : GLF_DEMOTE;
  if (glock.demoteState === LM_ST_EXCLUSIVE) glock.demoteState = state;
  else if (glock.demoteState !== LM_ST_UNLOCKED && glock.demoteState !== state) glock.demoteState = LM_ST_UNLOCKED;
  glock.space.world.trace?.emit(task, "gfs2_demote_rq", glock.number, glock.demoteState, remote ? 1 : 0);
}

/**
 * The lock manager's call-back: another node waits for the lock.
 *
 * Context: atomic. A lock that is in use stays at least its hold time. Linux: gfs2_glock_cb()
 */
export function gfs2GlockCallback(task: { readonly pid: number }, glock: Glock, state: number): void {
  const { world } = glock.space;
  const keepUntil = glock.lastChange + glock.holdTime;
  let delay = 0;
  if (glock.queue.length > 0 && glock.ops.type === "inode") {
    if (world.now < keepUntil) delay = keepUntil - world.now;
    if ((glock.flags & GLF_LOCK) !== 0) delay = glock.holdTime;
  }
  handleCallback(task, glock, state, delay, true);
  if (firstStrongHolder(glock) === null) {
    demoteIncompatHolders(task as UserTask, glock, state === LM_ST_UNLOCKED ? LM_ST_EXCLUSIVE : state);
  }
  queueWork(glock, delay);
}

/** Have a worker look at the glock, after `delay` microseconds. Context: atomic. Linux: gfs2_glock_queue_work() */
function queueWork(glock: Glock, delay: number): void {
  const { space } = glock;
  if (delay > 0) {
    space.world.after(delay, () => queueWork(glock, 0));
    return;
  }
  if (glock.working !== "no") {
    glock.working = "again";
    return;
  }
  glock.working = "yes";
  space.startWorker(`glock_workqueue ${glock.number}`, (task) => glockWorkFunc(task, glock));
}

/** Linux: glock_work_func() */
function* glockWorkFunc(task: UserTask, glock: Glock): MaySleep<void> {
  do {
    glock.working = "yes";
    if (glock.reply >= 0) {
      const { reply } = glock;
      glock.reply = -1;
      yield* finishXmote(task, glock, reply);
    }
    const pending = (glock.flags & GLF_PENDING_DEMOTE) !== 0;
    if (pending && glock.state !== LM_ST_UNLOCKED && glock.demoteState !== LM_ST_EXCLUSIVE) {
      const remaining = glock.lastChange + glock.holdTime - task.world.now;
      if (remaining > 0 && glock.queue.length > 0) {
        glock.working = "no";
        queueWork(glock, remaining);
        yield* runQueue(task, glock, false);
        return;
      }
      glock.flags = (glock.flags & ~GLF_PENDING_DEMOTE) | GLF_DEMOTE;
    }
    yield* runQueue(task, glock, false);
  } while (stillWanted(glock));
  glock.working = "no";
}

function stillWanted(glock: Glock): boolean {
  return glock.working === "again";
}
