// A ring tracer in typed arrays: two stores an event when on, one null check at the call site when off
// (`task.world.trace?.emit(task, ...)`). It starts small, doubles up to its capacity and then overwrites the oldest.

import { checkInteger } from "../check-args.ts";
import { TRACE_EVENTS, type TraceArgs, type TraceEvent, type TraceEventName } from "./events.ts";

const NAMES = Object.keys(TRACE_EVENTS) as TraceEventName[];
const IDS = new Map(NAMES.map((name, id) => [name, id]));
const MAX_ARGS = Math.max(...NAMES.map((name) => TRACE_EVENTS[name].length));

export class Tracer {
  readonly capacity: number;
  #size: number;
  #ids: Uint16Array;
  #tasks: Int32Array;
  #args: Float64Array;
  #next = 0;
  readonly #only: ReadonlySet<TraceEventName> | null;

  /**
   * `capacity`: how many events are kept at most.
   * `only`: the names of those that are kept at all; by default every event is.
   */
  constructor(capacity: number = 1 << 20, only: ReadonlySet<TraceEventName> | null = null) {
    this.#only = only;
    this.capacity = checkInteger(capacity, "capacity", 1, 1 << 26);
    this.#size = Math.min(this.capacity, 1024);
    this.#ids = new Uint16Array(this.#size);
    this.#tasks = new Int32Array(this.#size);
    this.#args = new Float64Array(this.#size * MAX_ARGS);
  }

  /** Record that `task` did this. Context: atomic. */
  emit<K extends TraceEventName>(task: { readonly pid: number }, name: K, ...args: TraceArgs<K>): void {
    if (this.#only !== null && !this.#only.has(name)) return;
    if (this.#next === this.#size && this.#size < this.capacity) this.#grow();
    const slot = this.#next++ % this.#size;
    this.#ids[slot] = IDS.get(name) as number;
    this.#tasks[slot] = task.pid;
    this.#args.set(args as readonly number[], slot * MAX_ARGS);
  }

  /** Events emitted so far, overwritten ones included. */
  get count(): number {
    return this.#next;
  }

  /** Events that the ring has overwritten. */
  get lost(): number {
    return Math.max(0, this.#next - this.#size);
  }

  clear(): void {
    this.#next = 0;
  }

  /** The events kept, oldest first; from `since` on, when given. */
  *events(since = 0): Generator<TraceEvent, void, void> {
    for (let seq = Math.max(this.lost, since); seq < this.#next; seq++) {
      const slot = seq % this.#size;
      const name = NAMES[this.#ids[slot]];
      const args: Record<string, number> = {};
      TRACE_EVENTS[name].forEach((field, i) => {
        args[field] = this.#args[slot * MAX_ARGS + i];
      });
      yield { seq, task: this.#tasks[slot], name, args } as TraceEvent;
    }
  }

  #grow(): void {
    this.#size = Math.min(this.capacity, this.#size * 2);
    const grow = <T extends Uint16Array | Int32Array | Float64Array>(old: T, wider: T): T => {
      wider.set(old);
      return wider;
    };
    this.#ids = grow(this.#ids, new Uint16Array(this.#size));
    this.#tasks = grow(this.#tasks, new Int32Array(this.#size));
    this.#args = grow(this.#args, new Float64Array(this.#size * MAX_ARGS));
  }
}
