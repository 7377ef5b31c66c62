// Signals that memory accesses raise, and user-mode handlers that may repair the mapping.

import type { MayFault } from "@faultline/kernel";
import type { UserTask } from "./user-task.ts";

export const SIGBUS = 7;
export const SIGKILL = 9;
export const SIGSEGV = 11;

/** A signal as the handler sees it. Linux: siginfo_t */
export interface SigInfo {
  readonly signo: number;
  /** The address whose access raised it. */
  readonly address: number;
}

/**
 * A user-mode handler: it may call mprotect, mmap, anything; when it returns true the access is made
 * again, and false leaves it undone, as a handler does that jumps away.
 */
export type SignalHandler = (task: UserTask, info: SigInfo) => MayFault<boolean>;
