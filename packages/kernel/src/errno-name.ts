// Errors as values: C's `return -EFAULT` is `return err(EFAULT)`, and a number below zero is an error.

import * as table from "./errno.ts";
import type { Errno } from "./units.ts";

/** Defined in terms of another code; logs print the other's name. */
const SECOND_NAMES = new Set(["EWOULDBLOCK", "EDEADLOCK", "ENOTSUP"]);

const names = new Map<number, string>();
for (const [name, value] of Object.entries(table)) if (!SECOND_NAMES.has(name)) names.set(value, name);

/** Every error number by name, second names included. */
export const ERRNO: Readonly<Record<string, number>> = Object.freeze({ ...table });

/** The negative error that a kernel function returns: `err(EFAULT)` is C's `-EFAULT`. */
export function err(code: number): Errno {
  return -code as Errno;
}

/** Is this result an error? Every result type of the kernel is `something not negative | Errno`. */
export function isErr(result: number): result is Errno {
  return result < 0;
}

/**
 * Drop an errno or a count of bytes not done, and say why that is right.
 *
 * tools/check-calls.mjs finds results that are dropped without it.
 */
export function ignoreResult(_result: number, _why: string): void {}

/** "EFAULT" for 14 and for -14; "E4711" for a number that has no name. */
export function errnoName(code: number): string {
  const positive = Math.abs(code);
  return names.get(positive) ?? `E${positive}`;
}
