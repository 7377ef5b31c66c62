// A trace as text: one event a line, columns that line up, the same bytes for the same run.

import type { TraceEvent, TraceField } from "./events.ts";
import { type FieldNames, printField } from "./fields.ts";

/** `   12 writer-1  gfs2_glock_queue           ino=a queue=queue glockState=EX` */
export function traceLine(event: TraceEvent, names: FieldNames = {}): string {
  const task = names.task?.get(event.task) ?? `task ${event.task}`;
  const args = Object.entries(event.args)
    .map(([field, value]) => `${field}=${printField(field as TraceField, value, names)}`)
    .join(" ");
  return `${String(event.seq).padStart(5)} ${task.padEnd(12)} ${event.name.padEnd(26)} ${args}`.trimEnd();
}

/** The whole trace, lines that end with a newline each, one at a time. */
export function* traceText(events: Iterable<TraceEvent>, names: FieldNames = {}): Generator<string, void, void> {
  for (const event of events) yield `${traceLine(event, names)}\n`;
}
