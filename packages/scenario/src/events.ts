// Lists of recorded events: calls paired with their returns, and loops folded.

import type { RecordedEvent } from "./result.ts";

type Group = readonly (readonly number[])[];
/** Loops of up to this many events are folded. */
const LONGEST_LOOP = 48;

/** An event that says how often the events before it came again: `["repeat", k, n, [[i, j, d], ...]]`. */
function isRepeat(event: RecordedEvent): event is readonly ["repeat", number, number, Group] {
  return event[0] === "repeat";
}

/** The events with every loop written out. */
export function expandRepeats(events: readonly RecordedEvent[]): RecordedEvent[] {
  const expanded: RecordedEvent[] = [];
  for (const event of events) {
    if (!isRepeat(event)) {
      expanded.push(event);
      continue;
    }
    const [, length, times, steps] = event;
    let group = expanded.slice(-length);
    for (let i = 0; i < times; i++) {
      const next = group.map((one) => [...one]);
      for (const [at, field, step] of steps) next[at][field] = (next[at][field] as number) + step;
      group = next;
      for (const one of group) expanded.push(one);
    }
  }
  return expanded;
}

/** The events with loops folded; `expandRepeats` gives the same events back. */
export function foldRepeats(events: readonly RecordedEvent[]): RecordedEvent[] {
  const shapes = events.map(shapeOf);
  const folded: RecordedEvent[] = [];
  for (let i = 0; i < events.length; ) {
    const loop = longestSaving(events, shapes, i);
    if (loop === null) {
      folded.push(events[i++]);
      continue;
    }
    for (let k = 0; k < loop.length; k++) folded.push(events[i + k]);
    folded.push(["repeat", loop.length, loop.times, loop.steps]);
    i += loop.length * (loop.times + 1);
  }
  return folded;
}

/** What two rounds of a loop have in common: names and texts, not numbers. */
function shapeOf(event: RecordedEvent): string {
  return event.map((field) => (typeof field === "string" ? field : "#")).join(" ");
}

interface Loop {
  readonly length: number;
  readonly times: number;
  readonly steps: number[][];
}

function longestSaving(events: readonly RecordedEvent[], shapes: readonly string[], at: number): Loop | null {
  let best: Loop | null = null;
  let saved = 2;
  for (let length = 1; length <= LONGEST_LOOP && at + 2 * length <= events.length; length++) {
    const steps = stepsBetween(events, shapes, at, length);
    if (steps === null) continue;
    let times = 1;
    while (repeatsAgain(events, shapes, at + times * length, length, steps)) times++;
    if (times * length - 1 > saved) {
      saved = times * length - 1;
      best = { length, times, steps };
    }
  }
  return best;
}

/** How the numbers grow from one round to the next; null when the next is not a round of this loop. */
function stepsBetween(
  events: readonly RecordedEvent[],
  shapes: readonly string[],
  at: number,
  length: number,
): number[][] | null {
  const steps: number[][] = [];
  for (let k = 0; k < length; k++) {
    if (shapes[at + k] !== shapes[at + length + k]) return null;
  }
  for (let k = 0; k < length; k++) {
    const [now, next] = [events[at + k], events[at + length + k]];
    for (let field = 1; field < now.length; field++) {
      const [from, to] = [now[field], next[field]];
      if (typeof from === "number" && typeof to === "number" && from !== to) steps.push([k, field, to - from]);
    }
  }
  return steps;
}

function repeatsAgain(
  events: readonly RecordedEvent[],
  shapes: readonly string[],
  at: number,
  length: number,
  steps: readonly number[][],
): boolean {
  if (at + 2 * length > events.length) return false;
  const next = stepsBetween(events, shapes, at, length);
  if (next === null || next.length !== steps.length) return false;
  return next.every((step, i) => step.every((value, k) => value === steps[i][k]));
}

/** One event where a call is followed at once by its own return. */
export function pairReturns(events: Iterable<RecordedEvent>): RecordedEvent[] {
  const paired: RecordedEvent[] = [];
  for (const event of events) {
    const before = paired[paired.length - 1];
    const isReturn = event.length === 3 && event[1] === "ret";
    if (isReturn && before !== undefined && before[0] === event[0] && !before.includes("ret")) {
      paired[paired.length - 1] = [...before, "ret", event[2]];
    } else {
      paired.push(event);
    }
  }
  return paired;
}

/** "glock_nq a EX", as the differences show an event. */
export function eventText(event: RecordedEvent): string {
  return event.map((field) => (typeof field === "object" ? JSON.stringify(field) : String(field))).join(" ");
}
