// struct task_struct: one thread of execution, run as a generator by its world.

import type { Lock } from "../locking/lock.ts";
import type { Faulting, Sleep } from "./context.ts";
import type { World } from "./world.ts";

/** The body of a task: any mix of sleeping and faulting is allowed at the top. */
export type TaskBody = Generator<Sleep | Faulting, unknown, void>;

/** A lock that a task holds, and how ("EX", "read"). */
export interface HeldLock {
  readonly lock: Lock;
  readonly mode: string;
}

export class Task {
  readonly world: World;
  readonly pid: number;
  /** The name that reports use. */
  readonly comm: string;
  /** A daemon (reclaim, a glock worker) may still sleep when a run completes. */
  readonly daemon: boolean;
  /** What it sleeps on; null while it runs, before its first step and after its last. Kept by the run loop. */
  sleepingOn: Sleep | Faulting | null = null;
  body: TaskBody | null = null;
  /** Its place among those who sleep on one channel; 0 when it has none. Kept by the run loop. */
  ticket = 0;
  /** The value its body returned. */
  result: unknown = undefined;
  /** Locks held, in the order they were taken. Kept by lockAcquired and lockReleased. */
  readonly held: HeldLock[] = [];
  /** How deep pagefault_disable() is nested (task_struct.pagefault_disabled). */
  pagefaultDisabled = 0;
  /** A fatal signal is pending: sleeps that are killable end with EINTR. */
  fatalSignal = false;

  constructor(world: World, pid: number, comm: string, daemon = false) {
    this.world = world;
    this.pid = pid;
    this.comm = comm;
    this.daemon = daemon;
  }

  get alive(): boolean {
    return this.body !== null;
  }
}
