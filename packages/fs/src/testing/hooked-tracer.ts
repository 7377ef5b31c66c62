// A tracer that lets a test act at a named point of the path: whoever emits an event is between two yields, so what
// the hook does is what another task could have done just then.

import { type TraceArgs, type TraceEventName, Tracer } from "@faultline/kernel";

type Hook = (args: readonly number[]) => void;

export class HookedTracer extends Tracer {
  readonly #hooks = new Map<TraceEventName, Hook>();
  #inHook = false;

  /** Call `hook` after each event of this name; one hook a name. What the hook itself emits calls none. */
  on(name: TraceEventName, hook: Hook): void {
    this.#hooks.set(name, hook);
  }

  off(name: TraceEventName): void {
    this.#hooks.delete(name);
  }

  override emit<K extends TraceEventName>(task: { readonly pid: number }, name: K, ...args: TraceArgs<K>): void {
    super.emit(task, name, ...args);
    const hook = this.#hooks.get(name);
    if (hook === undefined || this.#inHook) return;
    this.#inHook = true;
    hook(args);
    this.#inHook = false;
  }
}
