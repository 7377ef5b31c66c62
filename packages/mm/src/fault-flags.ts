// What a fault may do and what became of it (include/linux/mm_types.h).

import { EFAULT, EHWPOISON, ENOMEM, err, type Status } from "@faultline/kernel";

export const FAULT_FLAG_WRITE: number = 1 << 0;
export const FAULT_FLAG_MKWRITE: number = 1 << 1;
export const FAULT_FLAG_ALLOW_RETRY: number = 1 << 2;
export const FAULT_FLAG_RETRY_NOWAIT: number = 1 << 3;
export const FAULT_FLAG_KILLABLE: number = 1 << 4;
export const FAULT_FLAG_TRIED: number = 1 << 5;
export const FAULT_FLAG_USER: number = 1 << 6;
export const FAULT_FLAG_REMOTE: number = 1 << 7;
export const FAULT_FLAG_INTERRUPTIBLE: number = 1 << 9;
/** Make an anonymous page our own without making it writable: somebody is about to pin it. */
export const FAULT_FLAG_UNSHARE: number = 1 << 10;
export const FAULT_FLAG_DEFAULT: number = FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE | FAULT_FLAG_INTERRUPTIBLE;

export const VM_FAULT_OOM = 0x1;
export const VM_FAULT_SIGBUS = 0x2;
export const VM_FAULT_MAJOR = 0x4;
/** A write fault was resolved by reuse or copy; reported until 6.1. */
export const VM_FAULT_WRITE = 0x8;
export const VM_FAULT_HWPOISON = 0x10;
export const VM_FAULT_SIGSEGV = 0x40;
export const VM_FAULT_NOPAGE = 0x100;
export const VM_FAULT_LOCKED = 0x200;
/** mmap_lock was dropped (unless RETRY_NOWAIT): look the area up again and repeat. */
export const VM_FAULT_RETRY = 0x400;
export const VM_FAULT_FALLBACK = 0x800;
export const VM_FAULT_DONE_COW = 0x1000;
/** The fault is resolved and mmap_lock was dropped. */
export const VM_FAULT_COMPLETED = 0x4000;
export const VM_FAULT_ERROR: number =
  VM_FAULT_OOM | VM_FAULT_SIGBUS | VM_FAULT_SIGSEGV | VM_FAULT_HWPOISON | VM_FAULT_FALLBACK;

/** May the handler drop mmap_lock: a retry is allowed and this is the first try. Linux: fault_flag_allow_retry_first() */
export function faultFlagAllowRetryFirst(flags: number): boolean {
  return (flags & (FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_TRIED)) === FAULT_FLAG_ALLOW_RETRY;
}

/** The error that a fault's result means to the kernel; 0 when it is none. Linux: vm_fault_to_errno() */
export function vmFaultToErrno(result: number, tellsHwpoison: boolean): Status {
  if ((result & VM_FAULT_OOM) !== 0) return err(ENOMEM);
  if ((result & VM_FAULT_HWPOISON) !== 0 && tellsHwpoison) return err(EHWPOISON);
  return (result & VM_FAULT_ERROR) !== 0 ? err(EFAULT) : 0;
}
