// What recorded faults tell by themselves: of the page tables when they were taken, and of what went on meanwhile.

import { PAGE_SIZE } from "@faultline/kernel";
import type { RecordedEvent } from "./result.ts";

/** Faults of the processor. */
export const FAULTS: ReadonlySet<unknown> = new Set(["pf_kernel", "pf_user"]);
/** What only a fault asks for that finds nothing mapped, and one that finds a page which it may not store to. */
export const OF_ABSENT: ReadonlySet<unknown> = new Set(["gfs2_fault", "map_pages"]);
export const OF_READ_ONLY = "gfs2_mkwrite";

/** Was something mapped where a fault was taken, but not for such an access? */
export function isProtected(access: unknown): boolean {
  return String(access).endsWith("p");
}

/** Where a fault ends whose page is unmapped while the file is asked whether it may be stored to; -1 if it is none. */
export function endOfUnmapped(events: readonly RecordedEvent[], at: number): number {
  if (events[at]?.[0] !== "mm_fault" || events[at + 1]?.[0] !== OF_READ_ONLY) return -1;
  const end = events.findIndex((event, i) => i > at && event[0] === "mm_fault" && event[1] === "ret");
  return events[end]?.[2] === "NOPAGE" ? end : -1;
}

/** Does this fault show that a copy was interrupted, since it is behind what was looked at last? */
export function isTorn(events: readonly RecordedEvent[], at: number): boolean {
  const [, map, offset] = events[at];
  if (Number(offset) % PAGE_SIZE === 0) return false;
  const look = events.slice(0, at).findLast(([name, where]) => String(name).startsWith("fault_in_") && where === map);
  return look !== undefined && Number(offset) > Number(look[2]);
}
