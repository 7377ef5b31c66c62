// What is wrong with a call itself, before the kernel looks at it: a number that C could not pass, or something
// that is no task. What C could pass and Linux refuses is an errno.

import { checkInstance, checkInteger } from "@faultline/kernel";
import type { Segment } from "@faultline/uio";
import { FsTask } from "./fs-task.ts";

/** Throws: TypeError. */
export function checkTask(task: unknown): void {
  checkInstance(task, FsTask, "task");
}

/** Any whole number, negative ones included. Throws: TypeError or RangeError that names the argument. */
export function checkWhole(value: unknown, name: string): void {
  checkInteger(value, name, Number.MIN_SAFE_INTEGER);
}

/** A file's name. Throws: TypeError. */
export function checkPath(path: unknown): void {
  if (typeof path !== "string") throw new TypeError(`path must be a string, not ${typeof path}`);
}

/** An array of segments; importIovec checks what is in them. Throws: TypeError. */
export function checkVec(vec: readonly Segment[]): void {
  if (!Array.isArray(vec)) throw new TypeError(`vec must be an array of { base, len }, not ${typeof vec}`);
  const wrong = vec.findIndex((segment) => typeof segment !== "object" || segment === null);
  if (wrong >= 0) throw new TypeError(`vec[${wrong}] must be { base, len }`);
}
