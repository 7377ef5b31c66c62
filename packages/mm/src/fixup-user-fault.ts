// Faulting one page in by hand, without an access (mm/gup.c: fixup_user_fault).

import { downRead, EFAULT, EINTR, type Errno, err, type MayFault, type Status, USER_FAULT } from "@faultline/kernel";
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
import { VM_READ, VM_WRITE, type Vma } from "./vma.ts";

/**
 * Call the fault handler for one page, whether or not it is resident.
 *
 * Context: may fault; mmap_lock held for reading, and held again on return if it was dropped.
 * Returns: 0, -EFAULT, -ENOMEM or -EINTR.
 * Linux:   fixup_user_fault()
 */
export function* fixupUserFault(task: UserTask, address: number, faultFlags: number): MayFault<Status> {
  const status = tryFixupUserFault(task, address, faultFlags);
  return status === NEEDS_SLEEP ? yield* finishFixupUserFault(task, address, faultFlags) : (status as Status);
}

/**
 * The plain first try of fixupUserFault, for callers that walk many pages.
 *
 * Context: atomic; mmap_lock held for reading, and kept.
 * Returns: as fixupUserFault, or NEEDS_SLEEP: finishFixupUserFault must follow at once.
 */
export function tryFixupUserFault(task: UserTask, address: number, faultFlags: number): number {
  task.world.trace?.emit(task, "fixup_user_fault", address, faultFlags);
  if (task.world.preemptible) return NEEDS_SLEEP;
  const vma = areaToFix(task, address, faultFlags);
  let status: Status;
  if (typeof vma === "number") {
    status = vma;
  } else {
    const result = tryHandleMmFault(task, vma, address, faultFlags | FIXUP_FLAGS);
    if (result === NEEDS_SLEEP) return NEEDS_SLEEP;
    status = vmFaultToErrno(result, false);
  }
  task.world.trace?.emit(task, "fixup_user_fault_ret", status);
  return status;
}

/** Go on from a tryFixupUserFault with the same arguments that needs to sleep. Context, Returns: as fixupUserFault. */
export function* finishFixupUserFault(task: UserTask, address: number, faultFlags: number): MayFault<Status> {
  const status = yield* fixup(task, address, faultFlags | FIXUP_FLAGS);
  task.world.trace?.emit(task, "fixup_user_fault_ret", status);
  return status;
}

const FIXUP_FLAGS = FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE;

function* fixup(task: UserTask, address: number, faultFlags: number): MayFault<Status> {
  const { mm } = task;
  let flags = faultFlags;
  if (task.world.preemptible) yield USER_FAULT;
  for (;;) {
    const vma = areaToFix(task, address, flags);
    if (typeof vma === "number") return vma;
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

/** The area of the address, if it permits the access; or an error. */
function areaToFix(task: UserTask, address: number, flags: number): Vma | Errno {
  const vma = findExtendVma(task.mm, address);
  const needs = (flags & FAULT_FLAG_WRITE) !== 0 ? VM_WRITE : VM_READ;
  if (vma === null || (vma.flags & needs) === 0) return err(EFAULT);
  return task.fatalSignal ? err(EINTR) : vma;
}
