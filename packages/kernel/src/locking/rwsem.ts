// A sleeping lock for many readers or one writer (kernel/locking/rwsem.c). First come, first served: a
// writer that waits keeps out readers that come after it. That is what lets a third task turn two readers
// into a deadlock, so it is not simplified away.

import { partOf } from "../sched/access-log.ts";
import { type MaySleep, PREEMPT } from "../sched/context.ts";
import type { Task } from "../sched/task.ts";
import { wakeUpAll } from "../sched/wait.ts";
import type { World } from "../sched/world.ts";
import { bugNotHeld, Lock, lockAcquired, lockReleased } from "./lock.ts";

interface Waiter {
  readonly task: Task;
  readonly write: boolean;
}

export class RwSemaphore extends Lock {
  /** Written by the functions below only; one entry a hold. */
  readonly readers: Task[] = [];
  writer: Task | null = null;
  /** Tasks that wait, in the order they came. */
  readonly queue: Waiter[] = [];
  /** What a reader looks at before it comes in, as an object of its own for access logs: the line and the writer. */
  readonly line: number;

  constructor(world: World, lockClass: string, label: string = lockClass) {
    super(world.newId(label), lockClass, label);
    this.line = partOf(this.id, 1);
  }

  /** Ready when all who came before have had their turn and the lock allows it. */
  override isReady(task: Task): boolean {
    const { queue } = this;
    for (let i = 0; i < queue.length; i++) {
      if (queue[i].task !== task) {
        if (queue[i].write) return false;
      } else {
        return queue[i].write ? i === 0 && this.isFree() : this.writer === null;
      }
    }
    return this.writer === null;
  }

  override holders(task: Task): readonly Task[] {
    const before = this.queue.slice(
      0,
      this.queue.findIndex((waiter) => waiter.task === task),
    );
    const holding = this.writer === null ? this.readers : [this.writer];
    return [...holding.filter((holder) => holder !== task), ...before.map((waiter) => waiter.task)];
  }

  override wants(task: Task): string {
    return this.queue.find((waiter) => waiter.task === task)?.write === true ? "write" : "read";
  }

  isFree(): boolean {
    return this.writer === null && this.readers.length === 0;
  }
}

/** Take it for reading if nobody writes or waits. Context: atomic. Linux: down_read_trylock() */
export function downReadTrylock(task: Task, sem: RwSemaphore): boolean {
  return readNow(task, sem, true);
}

/** Take it for writing if it is free. Context: atomic. Linux: down_write_trylock() */
export function downWriteTrylock(task: Task, sem: RwSemaphore): boolean {
  return writeNow(task, sem, true);
}

/** The plain first try of downRead, which must follow if it fails. Context: atomic, where a lock may be waited for. */
export function downReadNow(task: Task, sem: RwSemaphore): boolean {
  return readNow(task, sem, false);
}

/** The plain first try of downWrite, which must follow if it fails. Context: atomic, where a lock may be waited for. */
export function downWriteNow(task: Task, sem: RwSemaphore): boolean {
  return writeNow(task, sem, false);
}

function readNow(task: Task, sem: RwSemaphore, tried: boolean): boolean {
  // Whether it works tells the task something, so an attempt is an event also when it fails.
  task.world.accesses?.read(sem.line);
  if (sem.writer !== null || sem.queue.length > 0) return false;
  takeRead(task, sem, tried);
  return true;
}

function writeNow(task: Task, sem: RwSemaphore, tried: boolean): boolean {
  task.world.accesses?.read(sem.line);
  task.world.accesses?.read(sem.id);
  if (!sem.isFree() || sem.queue.length > 0) return false;
  takeWrite(task, sem, tried);
  return true;
}

/** Take it for reading. Context: sleeps. Linux: down_read() */
export function* downRead(task: Task, sem: RwSemaphore): MaySleep<void> {
  if (task.world.preemptible) yield PREEMPT;
  if (readNow(task, sem, false)) return;
  yield* waitInLine(task, sem, false);
  takeRead(task, sem, false);
}

/** Take it for writing. Context: sleeps. Linux: down_write() */
export function* downWrite(task: Task, sem: RwSemaphore): MaySleep<void> {
  if (task.world.preemptible) yield PREEMPT;
  if (writeNow(task, sem, false)) return;
  yield* waitInLine(task, sem, true);
  takeWrite(task, sem, false);
}

/** Context: atomic. Linux: up_read() */
export function upRead(task: Task, sem: RwSemaphore): void {
  const { readers } = sem;
  const index = readers.lastIndexOf(task);
  if (index < 0) bugNotHeld(task, sem, " for reading");
  if (index === readers.length - 1) readers.pop();
  else readers.splice(index, 1);
  released(task, sem);
}

/** Context: atomic. Linux: up_write() */
export function upWrite(task: Task, sem: RwSemaphore): void {
  if (sem.writer !== task) bugNotHeld(task, sem, " for writing");
  sem.writer = null;
  task.world.accesses?.write(sem.line);
  released(task, sem);
}

/** Turn a write hold into a read hold; readers that wait may come in. Context: atomic. Linux: downgrade_write() */
export function downgradeWrite(task: Task, sem: RwSemaphore): void {
  upWrite(task, sem);
  takeRead(task, sem, true);
}

function* waitInLine(task: Task, sem: RwSemaphore, write: boolean): MaySleep<void> {
  const waiter = { task, write };
  sem.queue.push(waiter);
  // Joining the line changes who may come in: unlike with a mutex, waiting here is an event of its own.
  task.world.accesses?.write(sem.line);
  task.world.trace?.emit(task, "lock_contended", sem.id, write ? 1 : 0);
  while (!sem.isReady(task)) yield sem;
  sem.queue.splice(sem.queue.indexOf(waiter), 1);
  // Leaving it does too: whoever comes next may find nobody there.
  task.world.accesses?.write(sem.line);
  // Those behind may go on too: readers next to this reader.
  wakeUpAll(sem);
}

function takeRead(task: Task, sem: RwSemaphore, tried: boolean): void {
  sem.readers.push(task);
  task.world.accesses?.acquire(sem.id, false);
  lockAcquired(task, sem, "read", tried);
}

function takeWrite(task: Task, sem: RwSemaphore, tried: boolean): void {
  sem.writer = task;
  task.world.accesses?.write(sem.line);
  task.world.accesses?.acquire(sem.id, true);
  lockAcquired(task, sem, "write", tried);
}

function released(task: Task, sem: RwSemaphore): void {
  task.world.accesses?.release(sem.id);
  lockReleased(task, sem);
  wakeUpAll(sem);
}
