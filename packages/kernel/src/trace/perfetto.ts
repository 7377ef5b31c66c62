// A trace in Chrome's trace-event JSON, which the Perfetto viewer opens: one track a task, functions as
// slices, everything else as instants. Time is the position in the trace: the model has no wall clock.

import { TRACE_EVENTS, type TraceEvent, type TraceField } from "./events.ts";
import { type FieldNames, printField } from "./fields.ts";

type Phase = "B" | "E" | "i";

/** The JSON text in pieces, in order; join them or write each as it comes. */
export function* tracePerfetto(events: Iterable<TraceEvent>, names: FieldNames = {}): Generator<string, void, void> {
  const open = new Map<number, string[]>();
  let separator = "[\n";
  for (const event of events) {
    if (!open.has(event.task)) {
      open.set(event.task, []);
      const name = names.task?.get(event.task) ?? `task ${event.task}`;
      yield separator + JSON.stringify({ ph: "M", pid: 1, tid: event.task, name: "thread_name", args: { name } });
      separator = ",\n";
    }
    const { phase, name } = slice(event, open.get(event.task) as string[]);
    const args = Object.fromEntries(
      Object.entries(event.args).map(([field, value]) => [field, printField(field as TraceField, value, names)]),
    );
    const scope = phase === "i" ? { s: "t" } : {};
    yield separator + JSON.stringify({ ph: phase, pid: 1, tid: event.task, ts: event.seq, name, ...scope, args });
  }
  yield separator === "[\n" ? "[]\n" : "\n]\n";
}

/** A function that also traces its return opens a slice; its `_ret` closes it when it is the innermost open one. */
function slice(event: TraceEvent, stack: string[]): { phase: Phase; name: string } {
  if (event.name.endsWith("_ret")) {
    const name = event.name.slice(0, -"_ret".length);
    if (stack.at(-1) !== name) return { phase: "i", name: event.name };
    stack.pop();
    return { phase: "E", name };
  }
  if (!(`${event.name}_ret` in TRACE_EVENTS)) return { phase: "i", name: event.name };
  stack.push(event.name);
  return { phase: "B", name: event.name };
}
