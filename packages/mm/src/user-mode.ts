// What user space does to its own memory: loads and stores that fault in user mode, where a fault that
// cannot be resolved is a signal.

import { type MayFault, PREEMPT, RetryGuard, type Uncopied, uncopied } from "@faultline/kernel";
import { NEEDS_SLEEP } from "./anon-fault.ts";
import { handleFault, PF_USER, tryHandleFault } from "./fault.ts";
import { SIGKILL } from "./signal.ts";
import { Direction, moveUser } from "./user-copy.ts";
import type { UserTask } from "./user-task.ts";

/** How far a user-mode access came. */
export interface UserAccessResult {
  /** Bytes NOT accessed; 0 = all. */
  readonly left: Uncopied;
  /** The signal that ended it; 0 = none. */
  readonly signal: number;
}

const ALL: UserAccessResult = { left: uncopied(0), signal: 0 };

/**
 * User space loads `size` bytes at `address`; they arrive at physical address `to`.
 *
 * Context: may fault; a handler in task.sigaction may repair the mapping.
 */
export function userLoad(task: UserTask, to: number, address: number, size: number): MayFault<UserAccessResult> {
  return userMove(task, address, to, size, Direction.FromUser);
}

/** User space stores the `size` bytes at physical address `from` to `address`. Context: may fault. */
export function userStore(task: UserTask, address: number, from: number, size: number): MayFault<UserAccessResult> {
  return userMove(task, address, from, size, Direction.ToUser);
}

function* userMove(
  task: UserTask,
  user: number,
  kernel: number,
  size: number,
  direction: Direction,
): MayFault<UserAccessResult> {
  if (task.world.preemptible) yield PREEMPT;
  let left: number = moveUser(task, user, kernel, size, direction, PF_USER);
  if (left === 0) return ALL;
  let guard: RetryGuard | null = null;
  while (left > 0) {
    let signal = tryHandleFault(task);
    if (signal !== 0) {
      guard ??= new RetryGuard("exc_page_fault");
      guard.again(`${left} bytes left`);
      if (signal === NEEDS_SLEEP) signal = yield* handleFault(task);
      if (signal !== 0 && !(yield* deliver(task, signal))) return { left: uncopied(left), signal };
    }
    left = moveUser(task, user + size - left, kernel + size - left, left, direction, PF_USER);
  }
  return ALL;
}

/** Run the handler, if there is one. Returns: true when the access is to be made again. */
function* deliver(task: UserTask, signo: number): MayFault<boolean> {
  const address = task.faultAddress;
  task.world.trace?.emit(task, "signal_deliver", signo, address);
  const handler = signo === SIGKILL ? undefined : task.sigaction.get(signo);
  return handler === undefined ? false : yield* handler(task, { signo, address });
}
