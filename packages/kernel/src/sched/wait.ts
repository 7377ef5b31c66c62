// What tasks sleep on: a condition and the queue of those who wait for it (kernel/sched/wait.c).
//
// A sleeper loops in the kernel's way: `while (!channel.isReady(task)) yield channel;`. Whoever makes the
// condition true calls wakeUp() or wakeUpAll(). The run loop asks isReady() before it resumes a task, so
// a woken task that lost the race goes back to sleep without running.

import { partOf } from "./access-log.ts";
import type { MaySleep } from "./context.ts";
import type { Task } from "./task.ts";
import type { World } from "./world.ts";

export abstract class WaitChannel {
  /** What a report calls it: "glock a", "page 3 of a". */
  readonly label: string;
  /** In the order they came; emptied by wakeUp. Kept by the run loop. */
  readonly waiters: Task[] = [];

  constructor(label: string) {
    this.label = label;
  }

  /** May this task go on? Called by the run loop and by the sleeper itself; must not change anything. */
  abstract isReady(task: Task): boolean;

  /**
   * The lock that a task which goes on from here takes at once, in a race with whoever comes for it; as access
   * logs number it, 0 for none. A lock with a waiting line has none: there the race is for a place in the line.
   */
  get contended(): number {
    return 0;
  }

  /** The tasks that must act before `task` can go on, for the wait-for graph. */
  holders(_task: Task): readonly Task[] {
    return [];
  }

  /** Does a fatal signal end the sleep? Linux: TASK_KILLABLE, TASK_INTERRUPTIBLE */
  get killable(): boolean {
    return false;
  }

  /** What the task wants of it, for reports: "EX", "write". */
  wants(_task: Task): string {
    return "";
  }
}

/** Put the first waiter back in the run queue. Context: atomic. Linux: wake_up() on an exclusive waiter. */
export function wakeUp(channel: WaitChannel): void {
  if (channel.waiters.length === 0) return;
  const task = channel.waiters.shift();
  if (task !== undefined) task.world.makeRunnable(task);
}

/** Put every waiter back in the run queue. Context: atomic. Linux: wake_up_all() */
export function wakeUpAll(channel: WaitChannel): void {
  // Most of the time nobody waits, and emptying an array is not free, not even an empty one.
  if (channel.waiters.length === 0) return;
  for (const task of channel.waiters) task.world.makeRunnable(task);
  channel.waiters.length = 0;
}

/** A condition that somebody sets once: a completion, a finished I/O. Linux: struct completion */
export class Completion extends WaitChannel {
  readonly #world: World | null;
  readonly #id: number;
  #done = false;

  /** `world`: where to declare who waited for whom; without it schedules cannot be explored. */
  constructor(label: string, world: World | null = null) {
    super(label);
    this.#world = world;
    this.#id = world?.newId(label) ?? 0;
  }

  override isReady(): boolean {
    return this.#done;
  }

  /** Context: atomic. Linux: complete_all() */
  complete(): void {
    const accesses = this.#world?.accesses;
    // To whoever waits this is what a release is to whoever wants a lock; of several, the first has that effect.
    accesses?.write(partOf(this.#id, 1));
    if (!this.#done) accesses?.release(this.#id);
    this.#done = true;
    wakeUpAll(this);
  }

  /** Sleep until it is complete. Context: sleeps. Linux: wait_for_completion() */
  *wait(task: Task): MaySleep<void> {
    if (task.world.preemptible) yield this;
    while (!this.isReady()) yield this;
    this.#world?.accesses?.acquire(this.#id, false);
  }
}
