// Copies that others interrupt. Where a copy faults behind its first byte at a page that it had all of when it began, the
// page was taken away in the middle of it.

import { FAULTS, isProtected } from "./fault-events.ts";
import { isMapped } from "./mapped-pages.ts";
import type { Names } from "./maps.ts";
import type { Progress } from "./progress.ts";

/** Of a copy of so many bytes of memory that begins here: after how many of them others go on; 0 if they do not. */
export function interruptedAfter(progress: Progress, names: Names, address: number, bytes: number): number {
  const fault = progress.expected?.events[progress.got.length];
  if (fault === undefined || !FAULTS.has(fault[0]) || isProtected(fault[3])) return 0;
  const place = names.address(String(fault[1]), Number(fault[2]));
  const done = place - address;
  return done > 0 && done < bytes && isMapped(progress.task, place, fault[3] === "w") ? done : 0;
}
