// Copies between user memory and the kernel's (include/linux/uaccess.h, lib/usercopy.c).
//
// The kernel's side of a copy is a physical address: an offset into PhysMem.u8. All copies return the bytes
// that were NOT copied; what precedes the fault is copied exactly, and nothing after it.
//
//   ...Inatomic    plain: stops at the first byte that is not there; for sections with faults disabled
//   the others     handle the fault and go on
//
// Code that must work in both worlds takes a UserAccess: FAULTS_ENABLED, whose type says that it may fault,
// or FAULTS_DISABLED, whose type says that it cannot.

import {
  EFAULT,
  err,
  type Faulting,
  type MayFault,
  RetryGuard,
  type Sleep,
  type Status,
  type Uncopied,
  uncopied,
} from "@faultline/kernel";
import { NEEDS_SLEEP } from "./anon-fault.ts";
import { handleFault, noteFault, resolveFault, tryHandleFault, tryResolveFault } from "./fault.ts";
import { TASK_SIZE } from "./mm-struct.ts";
import { Direction, moveUser } from "./user-copy.ts";
import { pagefaultDisable, pagefaultEnable, type UserTask } from "./user-task.ts";

/**
 * May user space name this range at all? Says nothing about what is mapped there.
 *
 * Context: atomic. Linux: access_ok()
 */
export function accessOk(address: number, size: number): boolean {
  return address >= 0 && size >= 0 && address + size <= TASK_SIZE;
}

/**
 * Copy `size` bytes of user memory at `from` to physical address `to`, as far as they are there.
 *
 * Context: atomic. Returns: bytes NOT copied; the rest of the destination keeps what it held.
 * Linux:   __copy_from_user_inatomic()
 */
export function copyFromUserInatomic(task: UserTask, to: number, from: number, size: number): Uncopied {
  const left = moveUser(task, from, to, size, Direction.FromUser, 0);
  return left === 0 ? left : giveUp(task, size, left, Direction.FromUser);
}

/**
 * Copy `size` bytes at physical address `from` to user memory at `to`, as far as it is there.
 *
 * Context: atomic. Returns: bytes NOT copied.
 * Linux:   __copy_to_user_inatomic()
 */
export function copyToUserInatomic(task: UserTask, to: number, from: number, size: number): Uncopied {
  const left = moveUser(task, to, from, size, Direction.ToUser, 0);
  return left === 0 ? left : giveUp(task, size, left, Direction.ToUser);
}

/**
 * Zero `size` bytes of user memory at `to`, as far as it is there.
 *
 * Context: atomic. Returns: bytes NOT zeroed.
 * Linux:   __clear_user(), with page faults disabled
 */
export function clearUserInatomic(task: UserTask, to: number, size: number): Uncopied {
  const left = moveUser(task, to, 0, size, Direction.Clear, 0);
  return left === 0 ? left : giveUp(task, size, left, Direction.Clear);
}

/**
 * Copy from user memory; what could not be copied is zero in the destination.
 *
 * Context: may fault. Returns: bytes NOT copied.
 * Linux:   copy_from_user()
 */
export function* copyFromUser(task: UserTask, to: number, from: number, size: number): MayFault<Uncopied> {
  const left = accessOk(from, size) ? yield* FAULTS_ENABLED.copyFromUser(task, to, from, size) : uncopied(size);
  if (left > 0) task.mm.mem.u8.fill(0, to + size - left, to + size);
  return left;
}

/** Copy to user memory. Context: may fault. Returns: bytes NOT copied. Linux: copy_to_user() */
export function* copyToUser(task: UserTask, to: number, from: number, size: number): MayFault<Uncopied> {
  return accessOk(to, size) ? yield* FAULTS_ENABLED.copyToUser(task, to, from, size) : uncopied(size);
}

/** Zero user memory. Context: may fault. Returns: bytes NOT zeroed. Linux: clear_user() */
export function* clearUser(task: UserTask, to: number, size: number): MayFault<Uncopied> {
  return accessOk(to, size) ? yield* FAULTS_ENABLED.clearUser(task, to, size) : uncopied(size);
}

/**
 * Copy from user memory without faulting; all or -EFAULT.
 *
 * Context: atomic. Linux: copy_from_user_nofault()
 */
export function copyFromUserNofault(task: UserTask, to: number, from: number, size: number): Status {
  return withoutFaults(task, from, size, () => copyFromUserInatomic(task, to, from, size));
}

/**
 * Copy to user memory without faulting; all or -EFAULT.
 *
 * Context: atomic. Linux: copy_to_user_nofault()
 */
export function copyToUserNofault(task: UserTask, to: number, from: number, size: number): Status {
  return withoutFaults(task, to, size, () => copyToUserInatomic(task, to, from, size));
}

function withoutFaults(task: UserTask, address: number, size: number, copy: () => Uncopied): Status {
  if (!accessOk(address, size)) return err(EFAULT);
  pagefaultDisable(task);
  const left = copy();
  pagefaultEnable(task);
  return left === 0 ? 0 : err(EFAULT);
}

/**
 * How a section of code reaches user memory; `Y` is what it may yield besides sleeping.
 *
 * Copies return bytes NOT done, and never touch the destination beyond what they did.
 */
export interface UserAccess<Y> {
  /** false: a fault ends the copy, and the methods below do no more than the ...Inatomic functions. */
  readonly faults: boolean;
  copyFromUser(task: UserTask, to: number, from: number, size: number): Generator<Sleep | Y, Uncopied, void>;
  copyToUser(task: UserTask, to: number, from: number, size: number): Generator<Sleep | Y, Uncopied, void>;
  clearUser(task: UserTask, to: number, size: number): Generator<Sleep | Y, Uncopied, void>;
  /** Handle the fault of the last access. Returns: true when the access can be made again. */
  resolve(task: UserTask): Generator<Sleep | Y, boolean, void>;
  /** The plain first try of `resolve`. Returns: as that, or null: it has to do it; nothing has happened then. */
  tryResolve(task: UserTask): boolean | null;
  /**
   * Go on with a move that moveUser has just left short, and whose fault nobody has handled: for hot paths
   * that want no generator as long as the memory is there. `size` is that of the whole move.
   */
  finish(
    task: UserTask,
    user: number,
    kernel: number,
    size: number,
    left: Uncopied,
    direction: Direction,
  ): Generator<Sleep | Y, Uncopied, void>;
}

/** User memory with page faults enabled. Linux: raw_copy_from_user() and kin */
export const FAULTS_ENABLED: UserAccess<Faulting> = {
  faults: true,
  copyFromUser: (task, to, from, size) => moveUserFaulting(task, from, to, size, Direction.FromUser),
  copyToUser: (task, to, from, size) => moveUserFaulting(task, to, from, size, Direction.ToUser),
  clearUser: (task, to, size) => moveUserFaulting(task, to, 0, size, Direction.Clear),
  resolve: resolveFault,
  tryResolve: tryResolveFault,
  finish: finishFaulting,
};

/** User memory inside pagefault_disable(). */
export const FAULTS_DISABLED: UserAccess<never> = {
  faults: false,
  *copyFromUser(task, to, from, size) {
    return copyFromUserInatomic(task, to, from, size);
  },
  *copyToUser(task, to, from, size) {
    return copyToUserInatomic(task, to, from, size);
  },
  *clearUser(task, to, size) {
    return clearUserInatomic(task, to, size);
  },
  *resolve() {
    return false;
  },
  tryResolve: () => false,
  *finish(task, _user, _kernel, size, left, direction) {
    return left === 0 ? left : giveUp(task, size, left, direction);
  },
};

/** Move bytes, and handle each fault on the way until one cannot be resolved. */
function* moveUserFaulting(
  task: UserTask,
  user: number,
  kernel: number,
  size: number,
  direction: Direction,
): MayFault<Uncopied> {
  task.world.lockdep?.mightFault(task);
  const left = moveUser(task, user, kernel, size, direction, 0);
  return left === 0 ? left : yield* finishFaulting(task, user, kernel, size, left, direction);
}

function* finishFaulting(
  task: UserTask,
  user: number,
  kernel: number,
  size: number,
  short: Uncopied,
  direction: Direction,
): MayFault<Uncopied> {
  // Somebody who disabled page faults and copies all the same gets what the CPU would give.
  if (task.pagefaultDisabled > 0) return giveUp(task, size, short, direction);
  let guard: RetryGuard | null = null;
  let left: number = short;
  let inTail = false;
  while (left > 0) {
    let signal = tryHandleFault(task);
    if (signal === NEEDS_SLEEP) {
      signal = yield* handleFault(task);
      guard ??= new RetryGuard("exc_page_fault");
      guard.again(`${left} bytes left`);
    }
    if (signal !== 0) {
      if (inTail || !triesAgain(task, size, size - left, direction)) break;
      inTail = true;
    }
    left = moveUser(task, user + size - left, kernel + size - left, left, direction, 0);
  }
  return uncopied(left);
}

/** A copy stays short because nobody handles its fault; it may have met that fault twice. Returns: `left`. */
function giveUp(task: UserTask, size: number, left: Uncopied, direction: Direction): Uncopied {
  if (triesAgain(task, size, size - left, direction)) {
    noteFault(task, task.faultAddress, direction !== Direction.FromUser, 0);
  }
  return left;
}

/**
 * Does the routine that copies or clears try byte `done` of `size` again when a fault there was not resolved?
 *
 * Linux: arch/x86/lib/copy_user_64.S: .Lcopy_user_handle_tail until 6.3, .Lcopy_user_tail since;
 *        arch/x86/lib/clear_page_64.S: .Lclear_user_tail since 6.4
 */
function triesAgain(task: UserTask, size: number, done: number, direction: Direction): boolean {
  if (task.mm.revision.copyTail === "always") return direction !== Direction.Clear;
  const inWord = done - (done % WORD) + WORD <= size;
  return inWord && (direction === Direction.Clear || size < WORDS_BELOW);
}

/** Shorter copies move words; longer ones are one string instruction, which is exact by itself. Clearing moves words. */
const WORDS_BELOW = 64;
const WORD = 8;
