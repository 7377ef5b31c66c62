// The page fault exception (arch/x86/mm/fault.c): from a failed access to handle_mm_fault and back.
//
// A failed access leaves its address and kind in the task, as the CPU does in CR2 and the error code.
// With page faults disabled nothing below runs: the access simply falls short.

import {
  bugOn,
  downgradeWrite,
  downRead,
  downReadNow,
  downWrite,
  type MayFault,
  type MaySleep,
  PAGE_SIZE,
  PREEMPT,
  USER_FAULT,
  upRead,
} from "@faultline/kernel";
import { NEEDS_SLEEP } from "./anon-fault.ts";
import {
  FAULT_FLAG_DEFAULT,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_USER,
  FAULT_FLAG_WRITE,
  VM_FAULT_COMPLETED,
  VM_FAULT_ERROR,
  VM_FAULT_HWPOISON,
  VM_FAULT_MAJOR,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
} from "./fault-flags.ts";
import { handleMmFault, tryHandleMmFault } from "./memory.ts";
import { TASK_SIZE } from "./mm-struct.ts";
import { mmapReadLockNow, mmapWriteLockNow } from "./mmap-lock.ts";
import { PTE_PRESENT, PTE_RW } from "./pte.ts";
import { SIGBUS, SIGKILL, SIGSEGV } from "./signal.ts";
import { expandStack } from "./stack.ts";
import type { UserTask } from "./user-task.ts";
import { VM_EXEC, VM_GROWSDOWN, VM_READ, VM_WRITE, type Vma } from "./vma.ts";

// Page fault error code bits (X86_PF_*).
export const PF_PROT = 1;
export const PF_WRITE = 2;
export const PF_USER = 4;
/** Our own: a poisoned granule. */
const PF_POISON = 0x100;

/**
 * An access failed: note where and how, as the CPU does.
 *
 * `mode`: PF_USER when user space itself made the access.
 *
 * Context: atomic. Traces page_fault_kernel or page_fault_user.
 */
export function noteFault(task: UserTask, address: number, write: boolean, mode: number): void {
  task.faultAddress = address;
  task.faultErrorCode = (write ? PF_WRITE : 0) | mode;
  // Beyond the address space the CPU raises another exception, or the range check comes first.
  if (!inUserSpace(address)) return;
  const vpn = Math.floor(address / PAGE_SIZE);
  const entry = task.mm.pgd.get(vpn);
  // Finding nothing there is an event: somebody else may have mapped it, or not yet.
  task.world.accesses?.read(task.mm.entryId(vpn));
  if ((entry & PTE_PRESENT) !== 0) {
    task.faultErrorCode |= PF_PROT;
    // The entry permits it, so what refused is below the page: no handler can help.
    if (!write || (entry & PTE_RW) !== 0) task.faultErrorCode |= PF_POISON;
  }
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
  const { preemptible, lockdep } = task.world;
  const { faultAddress, faultErrorCode } = task;
  if (preemptible) yield USER_FAULT;
  lockdep?.enterFault(task);
  const signal = yield* doUserAddrFault(task, faultAddress, faultErrorCode);
  lockdep?.exitFault(task);
  // Before the access is made again, others may take away what the handler has just mapped.
  if (preemptible && signal === 0) yield PREEMPT;
  return signal;
}

/**
 * Handle the fault that an access of the kernel has just taken, unless page faults are disabled.
 *
 * Context: may fault. Returns: true when the access can be made again.
 */
export function* resolveFault(task: UserTask): MayFault<boolean> {
  return tryResolveFault(task) ?? (yield* handleFault(task)) === 0;
}

/** The plain first try of resolveFault. Context: atomic. Returns: as that, or null: it has to do it; nothing has happened then. */
export function tryResolveFault(task: UserTask): boolean | null {
  if (task.pagefaultDisabled > 0) return false;
  const signal = tryHandleFault(task);
  return signal === NEEDS_SLEEP ? null : signal === 0;
}

/**
 * The plain first try of handleFault: anonymous memory, copies on write, and accesses that nothing can help.
 *
 * Context: atomic; page faults enabled.
 * Returns: what handleFault would, or NEEDS_SLEEP when that has to do it; nothing has happened then.
 */
export function tryHandleFault(task: UserTask): number {
  bugOn(task.pagefaultDisabled > 0, "page fault handled while page faults are disabled");
  const { mm, faultAddress: address, faultErrorCode: errorCode } = task;
  if (task.world.preemptible || task.world.lockdep !== null) return NEEDS_SLEEP;
  if (!inUserSpace(address) || (errorCode & PF_POISON) !== 0) return SIGSEGV;
  if (!downReadNow(task, mm.mmapLock)) return NEEDS_SLEEP;
  const vma = mm.vmas.lookup(address);
  let signal = NEEDS_SLEEP;
  if (vma !== null) {
    if (accessError(vma, errorCode)) signal = SIGSEGV;
    else signal = signalOf(tryHandleMmFault(task, vma, address, faultFlags(errorCode)));
  }
  upRead(task, mm.mmapLock);
  return signal;
}

function* doUserAddrFault(task: UserTask, address: number, errorCode: number): MaySleep<number> {
  const { mm } = task;
  if (!inUserSpace(address) || (errorCode & PF_POISON) !== 0) return SIGSEGV;
  let flags = faultFlags(errorCode);
  let underAreaLock = mm.revision.userFaultsLockArea && (errorCode & PF_USER) !== 0;
  // The first time handleFault has just been a scheduling point.
  let locked = downReadNow(task, mm.mmapLock);
  for (;;) {
    if (!locked) yield* downRead(task, mm.mmapLock);
    const vma = mm.vmas.lookup(address) ?? (yield* findByExpanding(task, address));
    if (vma === null || accessError(vma, errorCode)) {
      upRead(task, mm.mmapLock);
      return SIGSEGV;
    }
    let result = tryHandleMmFault(task, vma, address, flags);
    if (result === NEEDS_SLEEP) result = yield* handleMmFault(task, vma, address, flags);
    if ((result & VM_FAULT_COMPLETED) !== 0) return 0;
    if ((result & VM_FAULT_RETRY) === 0) {
      upRead(task, mm.mmapLock);
      return signalOf(result);
    }
    if (task.fatalSignal) return SIGKILL;
    // Under the area's own lock a first try counts only if it went to the disk: the next is as good as a first.
    if (!underAreaLock || (result & VM_FAULT_MAJOR) !== 0) flags |= FAULT_FLAG_TRIED;
    underAreaLock = false;
    locked = mmapReadLockNow(task, mm);
  }
}

/**
 * Let a stack grow to the address. Since 6.5 that takes mmap_lock for writing.
 *
 * Context: sleeps; mmap_lock held for reading, before and after. Returns: the area, or null.
 * Linux:   lock_mm_and_find_vma()
 */
function* findByExpanding(task: UserTask, address: number): MaySleep<Vma | null> {
  const { mm } = task;
  const above = mm.vmas.find(address);
  if (above === null || (above.flags & VM_GROWSDOWN) === 0) return null;
  if (mm.revision.gupGrowsStack) return expandStack(mm, address);
  upRead(task, mm.mmapLock);
  if (!mmapWriteLockNow(task, mm)) yield* downWrite(task, mm.mmapLock);
  const vma = mm.vmas.lookup(address) ?? expandStack(mm, address);
  downgradeWrite(task, mm.mmapLock);
  return vma;
}

function inUserSpace(address: number): boolean {
  return address >= 0 && address < TASK_SIZE;
}

function faultFlags(errorCode: number): number {
  let flags = FAULT_FLAG_DEFAULT;
  if ((errorCode & PF_WRITE) !== 0) flags |= FAULT_FLAG_WRITE;
  if ((errorCode & PF_USER) !== 0) flags |= FAULT_FLAG_USER;
  return flags;
}

/** The signal that user space gets for a VM_FAULT_* result; 0 when the fault is resolved. Passes NEEDS_SLEEP on. */
function signalOf(result: number): number {
  if (result === NEEDS_SLEEP || (result & VM_FAULT_ERROR) === 0) return result === NEEDS_SLEEP ? NEEDS_SLEEP : 0;
  if ((result & VM_FAULT_OOM) !== 0) return SIGKILL;
  return (result & (VM_FAULT_SIGBUS | VM_FAULT_HWPOISON)) !== 0 ? SIGBUS : SIGSEGV;
}

/** Does the area forbid this access? Linux: access_error() */
function accessError(vma: Vma, errorCode: number): boolean {
  if ((errorCode & PF_WRITE) !== 0) return (vma.flags & VM_WRITE) === 0;
  return (vma.flags & (VM_READ | VM_WRITE | VM_EXEC)) === 0;
}
