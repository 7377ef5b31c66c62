// A sleeping lock for one task at a time (kernel/locking/mutex.c). Not fair: a task that comes while the
// lock is free takes it, even when others were woken for it.

import type { MaySleep } from "../sched/context.ts";
import type { Task } from "../sched/task.ts";
import { wakeUp } from "../sched/wait.ts";
import type { World } from "../sched/world.ts";
import { bugNotHeld, Lock, lockAcquired, lockReleased } from "./lock.ts";

export class Mutex extends Lock {
  /** Written by the functions below only. */
  owner: Task | null = null;

  constructor(world: World, lockClass: string, label: string = lockClass) {
    super(world.newId(label), lockClass, label);
  }

  override isReady(): boolean {
    return this.owner === null;
  }

  override get contended(): number {
    return this.id;
  }

  override holders(): readonly Task[] {
    return this.owner === null ? [] : [this.owner];
  }
}

/**
 * Take the mutex if it is free. Context: atomic.
 *
 * Returns: true when it was taken.
 * Linux: mutex_trylock()
 */
export function mutexTrylock(task: Task, mutex: Mutex): boolean {
  return lockNow(task, mutex, true);
}

/** The plain first try of mutexLock, which must follow if it fails. Context: atomic, where a lock may be waited for. */
export function mutexLockNow(task: Task, mutex: Mutex): boolean {
  return lockNow(task, mutex, false);
}

function lockNow(task: Task, mutex: Mutex, tried: boolean): boolean {
  // Whether it works tells the task something, so an attempt is an event also when it fails.
  task.world.accesses?.read(mutex.id);
  if (mutex.owner !== null) return false;
  take(task, mutex, tried);
  return true;
}

/**
 * Take the mutex.
 *
 * Context: sleeps.
 * Linux:   mutex_lock()
 */
export function* mutexLock(task: Task, mutex: Mutex): MaySleep<void> {
  // The scheduling point is the mutex itself: a task is not resumed only to find that it has to wait.
  if (task.world.preemptible) yield mutex;
  while (!mutex.isReady()) yield mutex;
  take(task, mutex, false);
}

/** Let the mutex go. Context: atomic. Linux: mutex_unlock() */
export function mutexUnlock(task: Task, mutex: Mutex): void {
  if (mutex.owner !== task) bugNotHeld(task, mutex);
  mutex.owner = null;
  task.world.accesses?.release(mutex.id);
  lockReleased(task, mutex);
  wakeUp(mutex);
}

function take(task: Task, mutex: Mutex, tried: boolean): void {
  mutex.owner = task;
  task.world.accesses?.acquire(mutex.id, true);
  lockAcquired(task, mutex, "", tried);
}
