// Single values to and from user space (include/asm-generic/uaccess.h: get_user, put_user), and probes that
// only want to know whether a byte can be had.
//
// Frame 0 belongs to nobody: its first bytes are where single values pass through. Between the move and the
// look at them nobody else runs.

import {
  checkInteger,
  EFAULT,
  err,
  type Faulting,
  type MayFault,
  RetryGuard,
  type Sleep,
  type Status,
} from "@faultline/kernel";
import type { PhysMem } from "./physmem.ts";
import { accessOk, FAULTS_ENABLED, type UserAccess } from "./uaccess.ts";
import { Direction, moveUser, UNSEEN } from "./user-copy.ts";
import type { UserTask } from "./user-task.ts";

const SCRATCH = 0;

/** Bytes of a value: an unsigned char, short or int. */
export type ValueSize = 1 | 2 | 4;

/**
 * Read one value of user memory, low byte first.
 *
 * Context: may fault, unless `user` says that faults are disabled. Returns: the value, or -EFAULT.
 * Linux:   get_user(), for unsigned values
 */
export function getUser(task: UserTask, address: number): MayFault<number>;
export function getUser<Y>(
  task: UserTask,
  address: number,
  user: UserAccess<Y>,
  size?: ValueSize,
): Generator<Sleep | Y, number, void>;
export function* getUser(
  task: UserTask,
  address: number,
  user: UserAccess<Faulting> = FAULTS_ENABLED,
  size: ValueSize = 1,
): MayFault<number> {
  if (!accessOk(address, checkInteger(size, "size", 1, 4))) return err(EFAULT);
  if (!(yield* passValue(task, address, size, Direction.FromUser, 0, user))) return err(EFAULT);
  return read(task.mm.mem, size);
}

/**
 * Write one value of user memory, low byte first.
 *
 * Context: may fault. Returns: 0 or -EFAULT. Linux: put_user(), for unsigned values
 */
export function* putUser(task: UserTask, address: number, value: number, size: ValueSize = 1): MayFault<Status> {
  checkInteger(value, "value", 0, 256 ** checkInteger(size, "size", 1, 4) - 1);
  if (!accessOk(address, size)) return err(EFAULT);
  return (yield* passValue(task, address, size, Direction.ToUser, value, FAULTS_ENABLED)) ? 0 : err(EFAULT);
}

/** Returns: true when the value has passed. */
function* passValue<Y>(
  task: UserTask,
  address: number,
  size: number,
  direction: Direction,
  value: number,
  user: UserAccess<Y>,
): Generator<Sleep | Y, boolean, void> {
  if (user.faults) task.world.lockdep?.mightFault(task);
  for (const guard = new RetryGuard("exc_page_fault"); ; guard.again("a single value")) {
    // Each time: other tasks use the scratch bytes while this one sleeps in the fault.
    write(task.mm.mem, value);
    if (moveUser(task, address, SCRATCH, size, direction, 0) === 0) return true;
    if (!(user.tryResolve(task) ?? (yield* user.resolve(task)))) return false;
  }
}

/**
 * Can the byte be read or, with Direction.ToUser, overwritten with zero?
 *
 * Context: as `user` says.
 */
export function* probeUser<Y>(
  task: UserTask,
  address: number,
  direction: Direction,
  user: UserAccess<Y>,
): Generator<Sleep | Y, boolean, void> {
  while (!tryProbeUser(task, address, direction)) {
    if (!(user.tryResolve(task) ?? (yield* user.resolve(task)))) return false;
  }
  return true;
}

/** The plain first try of probeUser. Context: atomic. */
export function tryProbeUser(task: UserTask, address: number, direction: Direction): boolean {
  task.mm.mem.u8[UNSEEN] = 0;
  return moveUser(task, address, UNSEEN, 1, direction, 0) === 0;
}

function read(mem: PhysMem, size: number): number {
  let value = 0;
  for (let i = size - 1; i >= 0; i--) value = value * 256 + mem.u8[SCRATCH + i];
  return value;
}

function write(mem: PhysMem, value: number): void {
  for (let i = 0, rest = value; i < 4; i++, rest = Math.floor(rest / 256)) mem.u8[SCRATCH + i] = rest % 256;
}
