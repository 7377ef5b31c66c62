// Faulting one page in by hand, without an access (mm/gup.c: fixup_user_fault).

import { downRead, EFAULT, EINTR, err, type MayFault, type Status, USER_FAULT } from "@faultline/kernel";
import { NEEDS_SLEEP } from "./anon-fault.ts";
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_KILLABLE,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_WRITE,
  VM_FAULT_COMPLETED,
  VM_FAULT_ERROR,
  VM_FAULT_RETRY,
  vmFaultToErrno,
} from "./fault-flags.ts";
import { handleMmFault, tryHandleMmFault } from "./memory.ts";
import { findExtendVma } from "./stack.ts";
import type { UserTask } from "./user-task.ts";
import { VM_READ, VM_WRITE } from "./vma.ts";

/**
 * Call the fault handler for one page, whether or not it is resident.
 *
 * Context: may fault; mmap_lock held for reading, and held again on return if it was dropped.
 * Returns: 0, -EFAULT, -ENOMEM or -EINTR.
 * Linux:   fixup_user_fault()
 */
export function* fixupUserFault(task: UserTask, address: number, faultFlags: number): MayFault<Status> {
  task.world.trace?.emit(task, "fixup_user_fault", address, faultFlags);
  const status = yield* fixup(task, address, faultFlags | FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE);
  task.world.trace?.emit(task, "fixup_user_fault_ret", status);
  return status;
}

function* fixup(task: UserTask, address: number, faultFlags: number): MayFault<Status> {
  const { mm } = task;
  let flags = faultFlags;
  if (task.world.preemptible) yield USER_FAULT;
  for (;;) {
    const vma = findExtendVma(mm, address);
    const needs = (flags & FAULT_FLAG_WRITE) !== 0 ? VM_WRITE : VM_READ;
    if (vma === null || (vma.flags & needs) === 0) return err(EFAULT);
    if (task.fatalSignal) return err(EINTR);
    let result = tryHandleMmFault(task, vma, address, flags);
    if (result === NEEDS_SLEEP) result = yield* handleMmFault(task, vma, address, flags);
    if ((result & VM_FAULT_COMPLETED) !== 0) {
      yield* downRead(task, mm.mmapLock);
      return 0;
    }
    if ((result & VM_FAULT_ERROR) !== 0) return vmFaultToErrno(result, false);
    if ((result & VM_FAULT_RETRY) === 0) return 0;
    yield* downRead(task, mm.mmapLock);
    flags |= FAULT_FLAG_TRIED;
  }
}
