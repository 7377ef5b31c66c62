// The call chain of a task as kernel function names, at no cost until a report asks for it.
//
// Functions here carry the kernel's names in camelCase, so the JavaScript stack already is the kernel
// stack: `gfs2GlockWait` prints as `gfs2_glock_wait`. For a task that sleeps, the sleeper's own loop
// (`while (!channel.isReady(task)) yield channel;`) is resumed once with an isReady() that looks at the
// stack it was called from and says no.

import type { Task } from "./task.ts";
import { WaitChannel } from "./wait.ts";

/** Frames that belong to the run loop and not to the kernel it models. */
const MACHINERY = new Set(["next", "is_ready"]);
/** Below these frames there is no task: they end the chain. */
const BOTTOM = new Set(["resume", "run_to_verdict", "run_sync", "sleeping_frames"]);

type Callable = ((...args: never[]) => unknown) | (new (...args: never[]) => unknown);

/** Functions on the JavaScript stack, innermost first, under their kernel names, without `skip` and what it called. */
export function kernelFrames(skip: Callable = kernelFrames): string[] {
  const limit = Error.stackTraceLimit;
  const prepare = Error.prepareStackTrace;
  try {
    Error.stackTraceLimit = 100;
    Error.prepareStackTrace = (_error, sites) =>
      sites.map((site) => (site.isConstructor() ? "" : (site.getFunctionName() ?? "")));
    const holder: { stack?: unknown } = {};
    Error.captureStackTrace(holder, skip);
    return namesOf(holder.stack as string[]);
  } finally {
    Error.stackTraceLimit = limit;
    Error.prepareStackTrace = prepare;
  }
}

/** The call chain of a sleeping task, innermost first. Only for a run that is over. */
export function sleepingFrames(task: Task): string[] {
  const channel = task.sleepingOn;
  if (task.body === null || !(channel instanceof WaitChannel)) return [];
  let frames: string[] = [];
  const look = (): boolean => {
    if (frames.length === 0) frames = kernelFrames(look);
    return false;
  };
  Object.defineProperty(channel, "isReady", { value: look, configurable: true });
  try {
    task.body.next();
  } finally {
    Reflect.deleteProperty(channel, "isReady");
  }
  return frames;
}

function namesOf(functionNames: readonly string[]): string[] {
  const names: string[] = [];
  for (const full of functionNames) {
    const name = kernelName(full.slice(full.lastIndexOf(".") + 1));
    if (BOTTOM.has(name)) break;
    if (/^[a-z_]/.test(name) && !MACHINERY.has(name)) names.push(name);
    // What called the system call is not the kernel.
    if (name.startsWith("sys_")) break;
  }
  return names;
}

/** `gfs2FileReadIter` is `gfs2_file_read_iter`. */
function kernelName(camelCase: string): string {
  return camelCase.replace(/^#/, "").replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
