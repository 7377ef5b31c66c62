// The three contexts of kernel code, told by the type of the function:
//
//   plain function          atomic: may be called anywhere
//   MaySleep<T>             may sleep, takes no user page fault: also allowed while page faults are disabled
//   MayFault<T>             may take a user page fault: only where no lock is held that the fault may need
//
// Both generators hand the run loop what they sleep on; a MayFault also hands it `Faulting`, which a
// MaySleep cannot, so `yield*` of a MayFault inside a MaySleep does not compile. A generator that is
// called without `yield*` compiles and does nothing: tools/check-calls.mjs finds those.

import type { Task } from "./task.ts";
import { WaitChannel } from "./wait.ts";

/** What a sleeping task yields: the thing it waits for. */
export type Sleep = WaitChannel;
export type MaySleep<T> = Generator<Sleep, T, void>;
export type MayFault<T> = Generator<Sleep | Faulting, T, void>;

/** Always ready: a task that yields it stays runnable and merely lets the chooser pick again. */
class PreemptionPoint extends WaitChannel {
  override isReady(): boolean {
    return true;
  }
}

/** Yielded where another task may run first; see `World.preemptible`. */
export const PREEMPT: Sleep = new PreemptionPoint("preempt");

/** Yielded by a task that is about to handle a user page fault; no MaySleep may yield it. */
export class Faulting {
  readonly #takesUserFault = true;

  /** Always ready, like PREEMPT. */
  isReady(_task: Task): boolean {
    return this.#takesUserFault;
  }
}

export const USER_FAULT: Faulting = new Faulting();
