// What every lock has in common: a class for lockdep, and the list of locks that each task holds, which
// deadlock reports print. Linux: struct lockdep_map, lock_acquired(), lock_release()

import { KernelBug } from "../bug.ts";
import type { HeldLock, Task } from "../sched/task.ts";
import { WaitChannel } from "../sched/wait.ts";

export abstract class Lock extends WaitChannel {
  /** Locks that follow one ordering rule share a class: "i_rwsem", "glock:inode". */
  readonly lockClass: string;
  /** Number of this lock within its world, for traces and for the exploration's access log. */
  readonly id: number;
  /** How it was taken last: mostly it is taken in the same way again. */
  lastHold: HeldLock | null = null;

  constructor(id: number, lockClass: string, label: string) {
    super(label);
    this.id = id;
    this.lockClass = lockClass;
  }
}

/**
 * Note that `task` now holds `lock`. `tried`: it would not have waited for it, so that no order follows.
 *
 * Context: atomic.
 */
export function lockAcquired(task: Task, lock: Lock, mode: string, tried = false): void {
  const { world } = task;
  if (world.lockdep !== null && !tried) world.lockdep.acquire(task, lock, mode);
  if (lock.lastHold?.mode !== mode) lock.lastHold = { lock, mode };
  task.held.push(lock.lastHold);
}

/** Note that `task` no longer holds `lock`; the latest hold goes first. Context: atomic. */
export function lockReleased(task: Task, lock: Lock): void {
  const { held } = task;
  for (let i = held.length - 1; i >= 0; i--) {
    if (held[i].lock !== lock) continue;
    if (i === held.length - 1) held.pop();
    else held.splice(i, 1);
    return;
  }
}

/** `task` lets go of a lock that it does not hold. Not bugOn: releasing is too frequent to build a message for. */
export function bugNotHeld(task: Task, lock: Lock, how = ""): never {
  throw new KernelBug(`${lock.label} is released by ${task.comm}, which does not hold it${how}`);
}
