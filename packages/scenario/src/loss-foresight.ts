// When others take away what a lane has mapped. A lane that faults at a page once more that it has mapped before has lost
// it in between; one that asks once more for the right to store to a page that stayed mapped has lost that: the file
// was written back.

import { PAGE_SIZE } from "@faultline/kernel";
import { endOfUnmapped, FAULTS, isProtected, isTorn, OF_ABSENT, OF_READ_ONLY } from "./fault-events.ts";
import { isMapped } from "./mapped-pages.ts";
import type { Names } from "./maps.ts";
import type { Progress } from "./progress.ts";
import type { RecordedEvent } from "./result.ts";

/** What can be lost: that a page is mapped, or that it can be stored to. */
export type Loss = "mapping" | "storing";

/** It is there before anything else happens. */
export const ALREADY = -1;
const NEVER = Number.POSITIVE_INFINITY;

/**
 * Which of its events a lane comes to before it loses something: the last fault that gives it what it is to lose with
 * the rest. Returns: null if it loses nothing; ALREADY if it has come that far.
 */
export function losesAfter(loss: Loss, { expected, got, task, isInterrupted }: Progress, names: Names): number | null {
  if (expected === null) return null;
  const { events } = expected;
  /** By place: since which event it is there. */
  const since = new Map<string, number>();
  let first = NEVER;
  let latest = ALREADY;
  for (let at = beginOfFault(events, got.length); at < events.length; at++) {
    const [name, map, offset, access] = events[at];
    // Whatever is touched without a fault is there.
    if (name === "fault_in_readable" && events[at][4] === "ret" && events[at][5] === 0) {
      for (let page = pageOf(offset); page <= pageOf(Number(offset) + Number(access) - 1); page++) {
        since.set(`${map} ${page}`, at);
      }
    }
    const isFault = FAULTS.has(name);
    if (!isFault && (name !== "mm_fault" || map === "ret")) continue;
    const place = `${map} ${pageOf(offset)}`;
    if (lossOf(isFault ? access : "", events[at].includes("ret") ? undefined : events[at + 1]?.[0]) === loss) {
      const isThere =
        at >= got.length && isMapped(task, names.address(String(map), Number(offset)), loss === "storing");
      // What is lost in the middle of a copy is there when the copy begins.
      const begun = at === got.length && isInterrupted ? ALREADY : at - 1;
      // And what is asked for again at once is lost as soon as it is there.
      const atOnce = at === got.length && isThere ? ALREADY : at - 1;
      const known = since.get(place) ?? (isThere ? ALREADY : NEVER);
      const from = isFault && isTorn(events, at) ? begun : known === at ? atOnce : known;
      if (from < Math.min(first, at)) {
        first = Math.min(first, at);
        latest = Math.max(latest, from);
      }
    }
    if (loss === "mapping" && endOfUnmapped(events, at) >= got.length && at < first) {
      first = at;
      latest = Math.max(latest, at + 1 < got.length ? ALREADY : at + 1);
    }
    since.set(place, isFault ? NEVER : afterFault(events, at));
  }
  return first === NEVER ? null : latest;
}

function pageOf(offset: unknown): number {
  return Math.floor(Number(offset) / PAGE_SIZE);
}

/** What a fault tells to be lost: by its access, as far as that is known, or by what it asks for. */
function lossOf(access: unknown, asks: unknown): Loss | null {
  if (access !== "") return isProtected(access) ? "storing" : "mapping";
  return OF_ABSENT.has(asks) ? "mapping" : asks === OF_READ_ONLY ? "storing" : null;
}

/** The event by which whoever takes this fault has come on because of it; NEVER, if it has to be taken once more. */
function afterFault(events: readonly RecordedEvent[], at: number): number {
  const end = events.findIndex((event, i) => i >= at && event[0] === "mm_fault" && event.includes("ret"));
  if (end < 0 || String(events[end][events[end].length - 1]).includes("RETRY")) return NEVER;
  return end + 1;
}

/** Where the fault began that the lane has not come on from; else where the lane is. */
function beginOfFault(events: readonly RecordedEvent[], now: number): number {
  let at = now - 1;
  while (at >= 0 && (events[at][0] !== "mm_fault" || events[at][1] === "ret")) at--;
  return at >= 0 && afterFault(events, at) >= now ? at : now;
}
