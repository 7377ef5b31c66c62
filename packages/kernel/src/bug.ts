// The kernel's BUG(): an invariant of the model, or of the kernel it models, does not hold.
// Nothing catches a KernelBug but the run loop, which ends the run with the verdict "bug".

import { kernelFrames } from "./sched/stack.ts";

export class KernelBug extends Error {
  /** Lines that the kernel would print before the BUG: queue dumps and the like. */
  readonly dump: readonly string[];
  /** Function that contains the BUG, as the oops names it in `RIP:`. */
  readonly rip: string;
  /** Kernel functions on the way to it, innermost first. */
  readonly frames: readonly string[] = kernelFrames(KernelBug);

  constructor(message: string, options: { rip?: string; dump?: readonly string[] } = {}) {
    super(message);
    this.name = "KernelBug";
    this.rip = options.rip ?? "";
    this.dump = options.dump ?? [];
  }
}

/** `BUG_ON(condition)`, with the sentence that the report prints. */
export function bugOn(condition: boolean, message: string): void {
  if (condition) throw new KernelBug(message);
}
