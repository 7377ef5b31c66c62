// Whatever a program does not determine is one call to a Chooser: which task runs next, and every choice
// of the environment by name ("evict", "alloc-fail", "disk-error"). A run is a function of its choices.

import type { Task } from "./task.ts";

export interface Chooser {
  /**
   * true: every scheduling point is a choice among all tasks that can run.
   * false: tasks run until they sleep, in the order in which they were woken; pickTask is not called.
   */
  readonly preemptive: boolean;

  /**
   * true: time passes while tasks run, too. At every scheduling point it is a choice, "timer", whether what
   * waits for time next happens now; what looks at the clock may find that it has ticked, "tick"; and what looks at
   * one page after the other may be interrupted by the disk, "interrupt". So are other circumstances of a real machine:
   * on which of its processors a task meets the dirty throttle ("throttle") or ends ("exit"), and what others have left
   * there to be charged with ("debt").
   * false, or not given: time passes only when no task can run.
   */
  readonly interrupts?: boolean;

  /**
   * Pick who runs next. Called only with two tasks or more.
   *
   * `runnable` begins with the task that ran last, if it can go on; the rest follow by pid.
   * Returns: an index, or STOP to abandon the run.
   */
  pickTask(runnable: readonly Task[]): number;

  /**
   * Settle a choice of the environment: a number below `count`. 0 is always "nothing special happens".
   *
   * `about`: what it is about, for whoever knows more than the choice's name.
   */
  choose(choice: string, count: number, about?: string): number;
}

/** What pickTask returns to end the run with the verdict "limit". */
export const STOP: number = -1;

/** First come, first served; nothing special ever happens. The fastest chooser, and the default. */
export class FifoChooser implements Chooser {
  readonly preemptive = false;

  pickTask(): number {
    return 0;
  }

  choose(): number {
    return 0;
  }
}
