// Moving bytes between user memory and the kernel's, as far as the page tables allow (arch/x86/lib/copy_user_64.S).
//
// The kernel's side of a move is a physical address: an offset into PhysMem.u8. What precedes the first byte
// that is not there is moved exactly, and nothing after it. Nothing here faults: whoever wants more handles
// the fault that the task has noted, and goes on.

import { type Uncopied, uncopied } from "@faultline/kernel";
import { mayEvict } from "./evict.ts";
import { noteFault } from "./fault.ts";
import { TASK_SIZE } from "./mm-struct.ts";
import { pageOf } from "./physmem.ts";
import { bytesBeforePoison } from "./poison.ts";
import { PMD_SIZE, PTE_ACCESSED, PTE_DIRTY, PTE_PRESENT, PTE_RW } from "./pte.ts";
import type { UserTask } from "./user-task.ts";

/** What `moveUser` does: copy out of user memory, copy into it, or zero it. */
export const Direction = { FromUser: 0, ToUser: 1, Clear: 2 } as const;
export type Direction = (typeof Direction)[keyof typeof Direction];

/** A physical address whose byte nobody looks at, and which is 0: a move there or from there is a probe. */
export const UNSEEN = 8;

const PAGE = 4096;
const IN_PAGE = PAGE - 1;
/** The last entry of a page table. */
const LAST_SLOT = PMD_SIZE / PAGE - 1;

/**
 * Move bytes between user memory and physical memory until done or until a byte is not there.
 *
 * `kernel`: physical address of the kernel's side; of no use to Direction.Clear.
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
  const { mem, pgd } = mm;
  if ((size | 0) !== size || size < 0 || Math.floor(user) !== user) throw badMove(user, size);
  if (direction !== Direction.Clear && !(kernel >= 0 && kernel + size <= mem.u8.length)) throw outside(kernel, size);
  const end = user + size;
  if (user < 0 || end > TASK_SIZE || mem.poison !== null || mem.evicts || task.world.accesses !== null) {
    return moveInspected(task, user, kernel, size, direction, mode);
  }
  if (size === 0) return uncopied(0);
  const need = direction === Direction.FromUser ? PTE_PRESENT : PTE_PRESENT | PTE_RW;
  const mark = direction === Direction.FromUser ? PTE_ACCESSED : PTE_ACCESSED | PTE_DIRTY;
  let leafKey = Math.floor(user / PMD_SIZE);
  let leaf = pgd.leafOf(leafKey);
  // Within one page table, offsets are small integers, which the host computes fastest.
  let offset = user - leafKey * PMD_SIZE;
  let left = size;
  // Physically adjacent user bytes that are yet to be moved, and where on the kernel's side they go.
  let runStart = 0;
  let runLength = 0;
  let runKernel = kernel;
  for (;;) {
    let slot = offset >>> 12;
    let entry = leaf[slot];
    if ((entry & need) !== need) break;
    if ((entry & mark) !== mark) {
      entry |= mark;
      leaf[slot] = entry;
    }
    const physical = (entry >>> 12) * PAGE + (offset & IN_PAGE);
    // The next page with the next frame and the same rights is the same entry, one frame on.
    const last = Math.min((offset + left - 1) >>> 12, LAST_SLOT);
    for (let next = (entry + PAGE) | 0; slot < last && leaf[slot + 1] === next; slot++) next = (next + PAGE) | 0;
    const chunk = Math.min(((slot + 1) << 12) - offset, left);
    if (runLength !== 0 && physical === runStart + runLength) {
      runLength += chunk;
    } else {
      if (runLength !== 0) flush(mem.u8, runStart, runLength, runKernel, direction);
      runKernel += runLength;
      runStart = physical;
      runLength = chunk;
    }
    left -= chunk;
    if (left === 0) break;
    offset += chunk;
    if (offset === PMD_SIZE) {
      leaf = pgd.leafOf(++leafKey);
      offset = 0;
    }
  }
  if (runLength !== 0) flush(mem.u8, runStart, runLength, runKernel, direction);
  if (left > 0) noteFault(task, end - left, direction !== Direction.FromUser, mode);
  return uncopied(left);
}

function flush(u8: Uint8Array, user: number, length: number, kernel: number, direction: Direction): void {
  if (direction === Direction.FromUser) moveBytes(u8, kernel, user, length);
  else if (direction === Direction.ToUser) moveBytes(u8, user, kernel, length);
  else u8.fill(0, user, user + length);
}

/** Copy as the CPU's string instruction does: upwards, so that an overlap repeats what was copied before. */
function moveBytes(u8: Uint8Array, to: number, from: number, length: number): void {
  const repeats = to > from && to < from + length;
  if (length >= WORTH_A_CALL && !repeats) u8.copyWithin(to, from, from + length);
  else for (let i = 0; i < length; i++) u8[to + i] = u8[from + i];
}

/** So many bytes take the host about as long one by one as it takes to begin a copyWithin. */
const WORTH_A_CALL = 16;

/**
 * moveUser where more is to be looked at: ranges that leave user space, poison, and explorers who want to know
 * what is touched. Page by page.
 */
function moveInspected(
  task: UserTask,
  user: number,
  kernel: number,
  size: number,
  direction: Direction,
  mode: number,
): Uncopied {
  const { pgd, mem } = task.mm;
  const write = direction !== Direction.FromUser;
  const need = write ? PTE_PRESENT | PTE_RW : PTE_PRESENT;
  const mark = write ? PTE_ACCESSED | PTE_DIRTY : PTE_ACCESSED;
  let left = size;
  while (left > 0) {
    const at = user + size - left;
    if (!(at >= 0 && at < TASK_SIZE)) break;
    const vpn = Math.floor(at / PAGE);
    // A copy between user memory and a page: what is there now may have gone just before.
    if (mem.evicts && kernel >= PAGE && mode === 0) mayEvict(task, vpn);
    const entry = pgd.get(vpn);
    if ((entry & need) !== need) break;
    if ((entry & mark) !== mark) pgd.set(vpn, entry | mark);
    const inPage = at - vpn * PAGE;
    const physical = (entry >>> 12) * PAGE + inPage;
    const chunk = Math.min(PAGE - inPage, left, TASK_SIZE - at);
    const sound = bytesBeforePoison(mem, physical, chunk);
    const there = kernel + size - left;
    logAccess(task, vpn, physical, there, sound, direction);
    if (sound > 0) flush(mem.u8, physical, sound, there, direction);
    left -= sound;
    if (sound < chunk) break;
  }
  if (left > 0) noteFault(task, user + size - left, write, mode);
  return uncopied(left);
}

/** Tell whoever explores schedules what a move within one user page touches. */
function logAccess(
  task: UserTask,
  vpn: number,
  user: number,
  kernel: number,
  size: number,
  direction: Direction,
): void {
  const log = task.world.accesses;
  if (log === null || size === 0) return;
  const { mem } = task.mm;
  log.read(task.mm.entryId(vpn));
  // A byte that is only asked for may be any.
  if (direction === Direction.FromUser && kernel === UNSEEN) return;
  if (direction === Direction.FromUser) log.read(mem.bytesId(pageOf(user)));
  else log.write(mem.bytesId(pageOf(user)));
  // Frame 0 is scratch space: nobody sees in it what another has left there.
  if (direction === Direction.Clear || kernel < PAGE) return;
  for (let page = pageOf(kernel); page * PAGE < kernel + size; page++) {
    if (direction === Direction.FromUser) log.write(mem.bytesId(page));
    else log.read(mem.bytesId(page));
  }
}

function badMove(user: number, size: number): Error {
  const wrong = typeof user === "number" && typeof size === "number" ? RangeError : TypeError;
  return new wrong(`user address and size must be whole numbers, size from 0 to 2^31 - 1; got ${user} and ${size}`);
}

function outside(kernel: number, size: number): Error {
  return new RangeError(`${size} bytes at physical address ${kernel} are not within memory`);
}
