// What user space does to its own memory: loads and stores that fault in user mode, where a fault that
// cannot be resolved is a signal.

import { type MayFault, type Uncopied, uncopied } from "@faultline/kernel";
import { handleFault, PF_USER } from "./fault.ts";
import { Direction, moveUser } from "./uaccess.ts";
import type { UserTask } from "./user-task.ts";

/** How far a user-mode access came. */
export interface UserAccessResult {
  /** Bytes NOT accessed; 0 = all. */
  readonly left: Uncopied;
  /** The signal that ended it; 0 = none. */
  readonly signal: number;
}

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
  let left: number = size;
  while (left > 0) {
    left = moveUser(task, user + size - left, kernel + size - left, left, direction, PF_USER);
    if (left === 0) break;
    const signal = yield* handleFault(task);
    if (signal !== 0 && !(yield* deliver(task, signal))) return { left: uncopied(left), signal };
  }
  return { left: uncopied(0), signal: 0 };
}

/** Run the handler, if there is one. Returns: true when the access is to be made again. */
function* deliver(task: UserTask, signo: number): MayFault<boolean> {
  const address = task.faultAddress;
  task.world.trace?.emit(task, "signal_deliver", signo, address);
  const handler = task.sigaction.get(signo);
  return handler === undefined ? false : yield* handler(task, { signo, address });
}
