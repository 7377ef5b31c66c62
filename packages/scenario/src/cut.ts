// Traces that the recorder cut to fit: kinds of events are left out, and of what is still too long the middle.

import { eventText, pairReturns } from "./events.ts";
import type { RecordedEvent } from "./result.ts";

/** Events in which Linux may find that the clock has ticked, and then updates a time stamp: each at most once. */
const LOOKING_AT_CLOCK: ReadonlySet<unknown> = new Set(["file_write", "gfs2_mkwrite"]);
/** Events that the recorder keeps at either end. */
const KEPT = 400;

/** A recorded list in two parts, and how many events were cut out between them. */
interface CutList {
  readonly head: readonly RecordedEvent[];
  readonly tail: readonly RecordedEvent[];
  readonly between: number;
}

/**
 * Cut the middle out of a run's events as it was cut out of a recording: `["...", n]` stands for n events.
 *
 * The recorded number counts updates of time stamps that nobody saw. It is the run's number as well if the run has as
 * many events there but for some such updates.
 *
 * `endless`: the operation went on until a signal ended it. How often it had gone round by then is chance: what
 * it did last has to be found in one of the run's rounds.
 */
export function cutLike(
  recorded: readonly RecordedEvent[],
  events: readonly RecordedEvent[],
  endless: boolean,
): readonly RecordedEvent[] {
  const cut = partsOf(recorded);
  if (cut === null) return events;
  const { head, tail, between } = cut;
  if (endless && hasRound(events.slice(head.length), tail)) {
    return [...events.slice(0, head.length), ["...", between], ...tail];
  }
  const left = Math.max(0, events.length - head.length - tail.length);
  const middle = events.slice(head.length, head.length + left);
  const looks = middle.filter((event) => LOOKING_AT_CLOCK.has(event[0]) && !isReturn(event)).length;
  const updates = between - left;
  const number = updates >= 0 && updates <= looks ? between : left;
  return [...events.slice(0, head.length), ["...", number], ...events.slice(head.length + left)];
}

/** A recording of an endless operation that fits because its rounds were folded, cut as if it did not. */
export function cutRounds(recorded: readonly RecordedEvent[]): readonly RecordedEvent[] {
  if (recorded.length <= 2 * KEPT || partsOf(recorded) !== null) return recorded;
  return [...recorded.slice(0, KEPT), ["...", recorded.length - 2 * KEPT], ...recorded.slice(-KEPT)];
}

/** How many events of each kind a run has that were left out of the recording, as the recorder counts them. */
export function countLeftOut(
  events: readonly RecordedEvent[],
  elided: Readonly<Record<string, number>>,
): Map<string, number> {
  const counts = new Map<string, number>();
  let rest = pairReturns(events);
  for (const kind of Object.keys(elided)) {
    if (kind === "middle") continue;
    const kept = rest.filter(([name]) => name !== kind);
    counts.set(kind, rest.length - kept.length);
    rest = pairReturns(kept);
  }
  return counts;
}

function partsOf(recorded: readonly RecordedEvent[]): CutList | null {
  const gap = recorded.findIndex(([name]) => name === "...");
  if (gap < 0) return null;
  return { head: recorded.slice(0, gap), tail: recorded.slice(gap + 1), between: Number(recorded[gap][1]) };
}

/** Does a run that goes on behind it do this, too? The last event may lack its return. */
function hasRound(events: readonly RecordedEvent[], round: readonly RecordedEvent[]): boolean {
  const [texts, wanted] = [events.map(eventText), round.map(eventText)];
  const last = wanted.length - 1;
  for (let at = 0; at + wanted.length < texts.length; at++) {
    const end = texts[at + last];
    if (end !== wanted[last] && !end.startsWith(`${wanted[last]} ret `)) continue;
    if (wanted.every((text, i) => i === last || text === texts[at + i])) return true;
  }
  return false;
}

function isReturn(event: RecordedEvent): boolean {
  return event[1] === "ret";
}
