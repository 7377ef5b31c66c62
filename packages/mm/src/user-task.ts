// A task with user memory: the part of task_struct that mm and the filesystems keep.

import { bugOn, checkInstance, Task, type World } from "@faultline/kernel";
import { MmStruct } from "./mm-struct.ts";
import type { SignalHandler } from "./signal.ts";

/** Pages that a new task may dirty before it must look at the throttle: 128 KiB (mm/page-writeback.c). */
export const INIT_NR_DIRTIED_PAUSE = 32;

export class UserTask extends Task {
  readonly mm: MmStruct;
  /** Faults that needed no I/O, and those that did (getrusage). */
  minFlt = 0;
  majFlt = 0;
  /** Pages dirtied since the last look at the throttle, and how many are allowed before the next. */
  nrDirtied = 0;
  nrDirtiedPause: number = INIT_NR_DIRTIED_PAUSE;
  /** Address and kind of the access that failed last: what the CPU leaves in CR2 and the error code. */
  faultAddress = 0;
  faultErrorCode = 0;
  /** Longest file that the task may make (RLIMIT_FSIZE). */
  fileSizeLimit: number = Number.POSITIVE_INFINITY;
  /** Signals sent to the task that are not about a memory access: SIGPIPE, SIGXFSZ. */
  readonly pendingSignals: Set<number> = new Set();
  /** User-mode handlers by signal number. Linux: sighand */
  readonly sigaction: Map<number, SignalHandler> = new Map();

  constructor(world: World, comm: string, mm: MmStruct, options: { readonly daemon?: boolean } = {}) {
    super(world, world.newPid(), comm, options.daemon);
    this.mm = checkInstance(mm, MmStruct, "mm");
    mm.users++;
  }
}

/**
 * From here on a fault of this task is not handled: the access that takes it falls short. Nests.
 *
 * Context: atomic. Linux: pagefault_disable()
 */
export function pagefaultDisable(task: Task): void {
  task.pagefaultDisabled++;
}

/** Context: atomic. Linux: pagefault_enable() */
export function pagefaultEnable(task: Task): void {
  bugOn(task.pagefaultDisabled <= 0, "page faults are enabled more often than they were disabled");
  task.pagefaultDisabled--;
}
