// What one step of a task touched, for whoever explores schedules: two steps of different tasks can be
// swapped unless they touch one object and one of them changes it, or take the same lock.
//
// Objects are numbers from World.newId(). Null by default (`world.accesses`), so a run that nobody
// explores pays one comparison for each declaration.

import type { Task } from "./task.ts";

export interface AccessLog {
  /** A task is about to run; accesses up to the next call are its own. */
  beginStep(task: Task): void;
  read(object: number): void;
  write(object: number): void;
  /** A lock was taken, for itself alone or with others. Attempts that had to wait are not reported. */
  acquire(lock: number, exclusive: boolean): void;
  /** A lock was let go. Alone it conflicts with nothing: it only lets others take the lock. */
  release(lock: number): void;
}

/** Parts are below 2^36 and objects are few: the number of a part stays a whole number below 2^53. */
const PARTS = 0x1000000000;

/** The number of one part of an object: page 3 of a mapping, one entry of a page table. */
export function partOf(object: number, part: number): number {
  return object * PARTS + part;
}

/** The object and the part that partOf() made a number of. Returns: null for a number that is no part. */
export function wholeOf(number: number): { readonly object: number; readonly part: number } | null {
  return number < PARTS ? null : { object: Math.floor(number / PARTS), part: number % PARTS };
}
