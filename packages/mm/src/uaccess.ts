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
  type Sleep,
  type Status,
  type Uncopied,
  uncopied,
} from "@faultline/kernel";
import { handleFault, noteFault } from "./fault.ts";
import { TASK_SIZE } from "./mm-struct.ts";
import { pageOf } from "./physmem.ts";
import { bytesBeforePoison } from "./poison.ts";
import { PMD_SIZE, PTE_ACCESSED, PTE_DIRTY, PTE_PRESENT, PTE_RW } from "./pte.ts";
import { pagefaultDisable, pagefaultEnable, type UserTask } from "./user-task.ts";

/**
 * May user space name this range at all? Says nothing about what is mapped there.
 *
 * Context: atomic. Linux: access_ok()
 */
export function accessOk(address: number, size: number): boolean {
  return address >= 0 && address + size <= TASK_SIZE;
}

/**
 * Copy `size` bytes of user memory at `from` to physical address `to`, as far as they are there.
 *
 * Context: atomic. Returns: bytes NOT copied; the rest of the destination keeps what it held.
 * Linux:   __copy_from_user_inatomic()
 */
export function copyFromUserInatomic(task: UserTask, to: number, from: number, size: number): Uncopied {
  return giveUp(task, size, moveUser(task, from, to, size, Direction.FromUser, 0), false);
}

/**
 * Copy `size` bytes at physical address `from` to user memory at `to`, as far as it is there.
 *
 * Context: atomic. Returns: bytes NOT copied.
 * Linux:   __copy_to_user_inatomic()
 */
export function copyToUserInatomic(task: UserTask, to: number, from: number, size: number): Uncopied {
  return giveUp(task, size, moveUser(task, to, from, size, Direction.ToUser, 0), true);
}

/**
 * Zero `size` bytes of user memory at `to`, as far as it is there.
 *
 * Context: atomic. Returns: bytes NOT zeroed.
 * Linux:   __clear_user(), with page faults disabled
 */
export function clearUserInatomic(task: UserTask, to: number, size: number): Uncopied {
  return moveUser(task, to, 0, size, Direction.Clear, 0);
}

/**
 * Copy from user memory; what could not be copied is zero in the destination.
 *
 * Context: may fault. Returns: bytes NOT copied.
 * Linux:   copy_from_user()
 */
export function* copyFromUser(task: UserTask, to: number, from: number, size: number): MayFault<Uncopied> {
  const left = accessOk(from, size) ? yield* FAULTS_ENABLED.copyFromUser(task, to, from, size) : uncopied(size);
  task.mm.mem.u8.fill(0, to + size - left, to + size);
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
 * Read one byte of user memory.
 *
 * Context: may fault, unless `user` says that faults are disabled. Returns: the byte, or -EFAULT.
 * Linux:   get_user(), for an unsigned char
 */
export function* getUser<Y = Faulting>(
  task: UserTask,
  address: number,
  user: UserAccess<Y> = FAULTS_ENABLED as UserAccess<Y>,
): Generator<Sleep | Y, number, void> {
  if (!accessOk(address, 1)) return err(EFAULT);
  while (moveUser(task, address, SCRATCH, 1, Direction.FromUser, 0) !== 0) {
    if (!(yield* user.resolve(task))) return err(EFAULT);
  }
  return task.mm.mem.u8[SCRATCH];
}

/** Write one byte of user memory. Context: may fault. Returns: 0 or -EFAULT. Linux: put_user() */
export function* putUser(task: UserTask, address: number, value: number): MayFault<Status> {
  if (!accessOk(address, 1)) return err(EFAULT);
  for (;;) {
    // Each time: other tasks use the scratch byte while this one sleeps in the fault.
    task.mm.mem.u8[SCRATCH] = value;
    if (moveUser(task, address, SCRATCH, 1, Direction.ToUser, 0) === 0) return 0;
    if ((yield* handleFault(task)) !== 0) return err(EFAULT);
  }
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
  *resolve(task) {
    return (yield* handleFault(task)) === 0;
  },
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
  *finish(task, _user, _kernel, size, left, direction) {
    return direction === Direction.Clear ? left : giveUp(task, size, left, direction === Direction.ToUser);
  },
};

/** What `moveUser` does: copy out of user memory, copy into it, or zero it. */
export const Direction = { FromUser: 0, ToUser: 1, Clear: 2 } as const;
export type Direction = (typeof Direction)[keyof typeof Direction];

/** Frame 0 belongs to nobody: its first byte is where single bytes pass through. */
const SCRATCH = 0;

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
  let left: number = short;
  let inTail = false;
  while (left > 0) {
    if ((yield* handleFault(task)) !== 0) {
      if (inTail || direction === Direction.Clear || !triesAgain(task, size, size - left)) break;
      inTail = true;
    }
    left = moveUser(task, user + size - left, kernel + size - left, left, direction, 0);
  }
  return uncopied(left);
}

/** A copy stays short because nobody handles its fault; it may have met that fault twice. Returns: `left`. */
function giveUp(task: UserTask, size: number, left: Uncopied, write: boolean): Uncopied {
  if (left > 0 && triesAgain(task, size, size - left)) noteFault(task, task.faultAddress, write, 0);
  return left;
}

/**
 * Does the copy routine try byte `done` of `size` again when a fault there was not resolved?
 *
 * Linux: arch/x86/lib/copy_user_64.S: .Lcopy_user_handle_tail until 6.3, .Lcopy_user_tail since
 */
function triesAgain(task: UserTask, size: number, done: number): boolean {
  if (task.mm.revision.copyTail === "always") return true;
  return size < WORDS_BELOW && done - (done % WORD) + WORD <= size;
}

/** Shorter copies move words; longer ones are one string instruction, which is exact by itself. */
const WORDS_BELOW = 64;
const WORD = 8;

/**
 * Move bytes between user memory and physical memory until done or until a byte is not there.
 *
 * `mode`: PF_USER when it is user space itself that makes the access.
 *
 * Context: atomic. Returns: bytes NOT moved; then the task knows where and why (noteFault).
 */
export function moveUser(
  task: UserTask,
  user: number,
  kernel: number,
  size: number,
  direction: Direction,
  mode: number,
): Uncopied {
  const { mm } = task;
  const { mem } = mm;
  const write = direction !== Direction.FromUser;
  const need = write ? PTE_PRESENT | PTE_RW : PTE_PRESENT;
  const mark = write ? PTE_ACCESSED | PTE_DIRTY : PTE_ACCESSED;
  const inspected = mem.poison !== null || task.world.accesses !== null;
  let left = size;
  // Physically adjacent user bytes that are yet to be moved, and where on the kernel's side they go.
  let runStart = 0;
  let runLength = 0;
  let runKernel = kernel;
  walk: while (left > 0) {
    const at = user + size - left;
    const leafKey = Math.floor(at / PMD_SIZE);
    const leaf = mm.pgd.leafOf(leafKey);
    // Within one page table, offsets are small integers, which the host computes fastest.
    let offset = at - leafKey * PMD_SIZE;
    const end = Math.min(offset + left, PMD_SIZE);
    while (offset < end) {
      const entry = leaf[offset >>> 12];
      if ((entry & need) !== need) break walk;
      if ((entry & mark) !== mark) leaf[offset >>> 12] = entry | mark;
      const physical = (entry >>> 12) * 4096 + (offset & 4095);
      let chunk = Math.min(4096 - (offset & 4095), end - offset);
      if (inspected) chunk = inspect(task, user + size - left, kernel + size - left, physical, chunk, direction);
      if (physical !== runStart + runLength) {
        if (runLength > 0) flush(mem.u8, runStart, runLength, runKernel, direction);
        runKernel += runLength;
        runStart = physical;
        runLength = 0;
      }
      if (chunk === 0) break walk;
      runLength += chunk;
      offset += chunk;
      left -= chunk;
    }
  }
  if (runLength > 0) flush(mem.u8, runStart, runLength, runKernel, direction);
  if (left > 0) noteFault(task, user + size - left, write, mode);
  return uncopied(left);
}

function flush(u8: Uint8Array, user: number, length: number, kernel: number, direction: Direction): void {
  if (direction === Direction.FromUser) moveBytes(u8, kernel, user, length);
  else if (direction === Direction.ToUser) moveBytes(u8, user, kernel, length);
  else u8.fill(0, user, user + length);
}

/** Copy as the CPU's string instruction does: upwards, so that an overlap repeats what was copied before. */
function moveBytes(u8: Uint8Array, to: number, from: number, length: number): void {
  if (to <= from || to >= from + length) u8.copyWithin(to, from, from + length);
  else for (let i = 0; i < length; i++) u8[to + i] = u8[from + i];
}

/** The slow side of one page: poison ends it early, and explorers learn what it touches. Returns: bytes to move. */
function inspect(
  task: UserTask,
  user: number,
  kernel: number,
  physical: number,
  chunk: number,
  direction: Direction,
): number {
  const { mem } = task.mm;
  const log = task.world.accesses;
  if (log !== null) {
    const userPage = mem.pageId(pageOf(physical));
    log.read(task.mm.entryId(Math.floor(user / 4096)));
    if (direction === Direction.FromUser) log.read(userPage);
    else log.write(userPage);
    if (direction === Direction.FromUser) log.write(mem.pageId(pageOf(kernel)));
    else if (direction === Direction.ToUser) log.read(mem.pageId(pageOf(kernel)));
  }
  return bytesBeforePoison(mem, physical, chunk);
}
