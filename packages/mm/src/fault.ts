// The page fault exception (arch/x86/mm/fault.c): from a failed access to handle_mm_fault and back.
//
// A failed access leaves its address and kind in the task, as the CPU does in CR2 and the error code.
// With page faults disabled nothing below runs: the access simply falls short.

import {
  bugOn,
  downRead,
  downReadTrylock,
  type MayFault,
  type MaySleep,
  PAGE_SIZE,
  USER_FAULT,
  upRead,
} from "@faultline/kernel";
import {
  FAULT_FLAG_DEFAULT,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_USER,
  FAULT_FLAG_WRITE,
  VM_FAULT_COMPLETED,
  VM_FAULT_ERROR,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
} from "./fault-flags.ts";
import { handleMmFault, NEEDS_SLEEP, tryHandleMmFault } from "./memory.ts";
import { TASK_SIZE } from "./mm-struct.ts";
import { PTE_PRESENT, PTE_RW } from "./pte.ts";
import { SIGBUS, SIGKILL, SIGSEGV } from "./signal.ts";
import { expandStack } from "./stack.ts";
import type { UserTask } from "./user-task.ts";
import { VM_EXEC, VM_READ, VM_WRITE, type Vma } from "./vma.ts";

// Page fault error code bits (X86_PF_*).
export const PF_PROT = 1;
export const PF_WRITE = 2;
export const PF_USER = 4;
/** Our own: a poisoned granule. */
export const PF_POISON = 0x100;

/**
 * An access failed: note where and how, as the CPU does.
 *
 * `mode`: PF_USER when user space itself made the access.
 *
 * Context: atomic. Traces page_fault_kernel or page_fault_user.
 */
export function noteFault(task: UserTask, address: number, write: boolean, mode: number): void {
  const entry = task.mm.pgd.get(Math.floor(address / PAGE_SIZE));
  task.faultAddress = address;
  task.faultErrorCode = (write ? PF_WRITE : 0) | mode;
  if ((entry & PTE_PRESENT) !== 0) {
    task.faultErrorCode |= PF_PROT;
    // The entry permits it, so what refused is below the page: no handler can help.
    if (!write || (entry & PTE_RW) !== 0) task.faultErrorCode |= PF_POISON;
  }
  // Beyond the address space the CPU raises another exception, or the range check comes first.
  if (address >= TASK_SIZE) return;
  const name = mode === PF_USER ? "page_fault_user" : "page_fault_kernel";
  task.world.trace?.emit(task, name, address, task.faultErrorCode);
}

/**
 * Handle the fault that the task's last access took, in user mode or in a copy of the kernel.
 *
 * Context: may fault; page faults enabled.
 * Returns: 0 when the access can be made again, or the signal that a user-mode access would get.
 * Linux:   do_user_addr_fault()
 */
export function* handleFault(task: UserTask): MayFault<number> {
  bugOn(task.pagefaultDisabled > 0, "page fault handled while page faults are disabled");
  if (task.world.preemptible) yield USER_FAULT;
  const { lockdep } = task.world;
  if (lockdep === null) return yield* doUserAddrFault(task, task.faultAddress, task.faultErrorCode);
  lockdep.enterFault(task);
  const signal = yield* doUserAddrFault(task, task.faultAddress, task.faultErrorCode);
  lockdep.exitFault(task);
  return signal;
}

function* doUserAddrFault(task: UserTask, address: number, errorCode: number): MaySleep<number> {
  const { mm } = task;
  if (address >= TASK_SIZE || (errorCode & PF_POISON) !== 0) return SIGSEGV;
  let flags = FAULT_FLAG_DEFAULT;
  if ((errorCode & PF_WRITE) !== 0) flags |= FAULT_FLAG_WRITE;
  if ((errorCode & PF_USER) !== 0) flags |= FAULT_FLAG_USER;
  for (;;) {
    if (!downReadTrylock(task, mm.mmapLock)) yield* downRead(task, mm.mmapLock);
    const vma = mm.vmas.lookup(address) ?? expandStack(mm, address);
    if (vma === null || accessError(vma, errorCode)) {
      upRead(task, mm.mmapLock);
      return SIGSEGV;
    }
    let result = tryHandleMmFault(task, vma, address, flags);
    if (result === NEEDS_SLEEP) result = yield* handleMmFault(task, vma, address, flags);
    if ((result & VM_FAULT_COMPLETED) !== 0) return 0;
    if ((result & VM_FAULT_RETRY) !== 0) {
      if (task.fatalSignal) return SIGKILL;
      flags |= FAULT_FLAG_TRIED;
      continue;
    }
    upRead(task, mm.mmapLock);
    if ((result & VM_FAULT_ERROR) === 0) return 0;
    if ((result & VM_FAULT_OOM) !== 0) return SIGKILL;
    return (result & VM_FAULT_SIGBUS) !== 0 ? SIGBUS : SIGSEGV;
  }
}

/** Does the area forbid this access? Linux: access_error() */
function accessError(vma: Vma, errorCode: number): boolean {
  if ((errorCode & PF_WRITE) !== 0) return (vma.flags & VM_WRITE) === 0;
  return (vma.flags & (VM_READ | VM_WRITE | VM_EXEC)) === 0;
}
