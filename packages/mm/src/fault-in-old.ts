// What stood where the fault_in_* family stands now: the functions of 5.15 and before, which say yes or no,
// and the one that the patches under discussion in July 2021 proposed. Their mistakes are theirs.

import {
  EFAULT,
  err,
  type Faulting,
  type MayFault,
  PAGE_SIZE,
  pageAlign,
  pageStart,
  type Sleep,
  type Status,
} from "@faultline/kernel";
import { gupAreas } from "./fault-in-areas.ts";
import { probeUser } from "./get-user.ts";
import { FOLL_POPULATE, FOLL_TOUCH, FOLL_WRITE } from "./gup-flags.ts";
import { FAULTS_ENABLED, type UserAccess } from "./uaccess.ts";
import { Direction } from "./user-copy.ts";
import type { UserTask } from "./user-task.ts";

/** Where C's unsigned long wraps. */
const ULONG_WRAP = 2 ** 64;

/**
 * Fault in a range by get_user_pages. Gaps and raw memory between areas count as faulted in.
 *
 * Context: may fault. Returns: bytes faulted in, counted from `start`: done, NOT left.
 * Linux:   fault_in_user_pages(), "[PATCH v4 1/8] iov_iter: Introduce iov_iter_fault_in_writeable helper"
 */
export function* faultInUserPages(task: UserTask, start: number, size: number, write: boolean): MayFault<number> {
  task.world.trace?.emit(task, "fault_in_user_pages", start, size, write ? 1 : 0);
  const flags = FOLL_TOUCH | FOLL_POPULATE | (write ? FOLL_WRITE : 0);
  const end = start + size < ULONG_WRAP ? pageAlign(start + size) : 0;
  const reached = yield* gupAreas(task, pageStart(start), end, flags);
  const done = reached > start ? Math.min(reached - start, size) : 0;
  task.world.trace?.emit(task, "fault_in_user_pages_ret", done);
  return done;
}

/**
 * Fault in a range for reading, all or nothing: the byte at the start, one in each further page, and the last.
 *
 * Context: may fault. Returns: 0 or -EFAULT.
 * Linux:   fault_in_pages_readable() until 5.15
 */
export function faultInPagesReadable(task: UserTask, address: number, size: number): MayFault<Status>;
export function faultInPagesReadable<Y>(
  task: UserTask,
  address: number,
  size: number,
  user: UserAccess<Y>,
): Generator<Sleep | Y, Status, void>;
export function faultInPagesReadable(
  task: UserTask,
  address: number,
  size: number,
  user: UserAccess<Faulting> = FAULTS_ENABLED,
): MayFault<Status> {
  return probeAll(task, address, size, Direction.FromUser, user);
}

/**
 * The same for writing, by storing zero bytes: what was there is lost.
 *
 * Context: may fault. Returns: 0 or -EFAULT. Linux: fault_in_pages_writeable() until 5.15
 */
export function faultInPagesWriteable(task: UserTask, address: number, size: number): MayFault<Status> {
  return probeAll(task, address, size, Direction.ToUser, FAULTS_ENABLED);
}

function* probeAll<Y>(
  task: UserTask,
  address: number,
  size: number,
  direction: Direction,
  user: UserAccess<Y>,
): Generator<Sleep | Y, Status, void> {
  if (size === 0) return 0;
  if (user.faults) task.world.lockdep?.mightFault(task);
  const last = address + size - 1;
  if (last < address) return err(EFAULT);
  let at = address;
  do {
    if (!(yield* probeUser(task, at, direction, user))) return err(EFAULT);
    at += PAGE_SIZE;
  } while (at <= last);
  // The last byte may lie in a page that no step of 4096 has met.
  if (pageStart(at) === pageStart(last) && !(yield* probeUser(task, last, direction, user))) return err(EFAULT);
  return 0;
}
