// The end of a task.

import { leakDirtied } from "../cache/page-writeback.ts";
import type { FsTask } from "./fs-task.ts";

/**
 * A thread ends: what it has dirtied since its last look at the limits is left to others.
 *
 * Context: atomic; the task makes no more system calls. Linux: do_exit()
 * Differs: memory and open files stay; whoever wants them gone says munmap and close.
 */
export function doExit(task: FsTask): void {
  leakDirtied(task, task.root.dirty);
}
