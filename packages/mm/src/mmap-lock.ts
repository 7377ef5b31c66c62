// Taking mmap_lock on paths that are mostly not contended (include/linux/mmap_lock.h).
//
//   if (!mmapReadLockNow(task, mm)) yield* downRead(task, mm.mmapLock);
//
// costs no generator. In a preemptible world taking a lock is a scheduling point, and there is no short cut.

import { downReadNow, downWriteNow } from "@faultline/kernel";
import type { MmStruct } from "./mm-struct.ts";
import type { UserTask } from "./user-task.ts";

/** Take mmap_lock for reading if that needs no scheduling point. Context: atomic. Returns: true when it is held. */
export function mmapReadLockNow(task: UserTask, mm: MmStruct): boolean {
  return !task.world.preemptible && downReadNow(task, mm.mmapLock);
}

/** The same for writing. */
export function mmapWriteLockNow(task: UserTask, mm: MmStruct): boolean {
  return !task.world.preemptible && downWriteNow(task, mm.mmapLock);
}
