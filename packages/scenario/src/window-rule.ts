// A rule of the retry loop that no result shows: a try under the glock is for no more than was faulted in for it.
// Who forgets that gets blocks allocated that the try cannot fill.

import type { TraceEvent, TraceEventName } from "@faultline/kernel";

const IOMAP_WRITE = 1;

/** The events that tell. */
export const WINDOW_EVENTS: ReadonlySet<TraceEventName> = new Set([
  "gfs2_file_buffered_write",
  "fault_in_readable",
  "fault_in_readable_ret",
  "iomap_file_buffered_write",
  "iomap_file_buffered_write_ret",
  "gfs2_iomap_begin",
]);

/** What one task has done since its last try. */
interface Attempt {
  faultedIn: number;
  asked: number;
  tries: boolean;
}

/** Returns: which try breaks the rule, in words; null when none does. */
export function checkWindows(events: Iterable<TraceEvent>): string | null {
  const attempts = new Map<number, Attempt>();
  for (const { task, name, args } of events) {
    let attempt = attempts.get(task);
    if (attempt === undefined) {
      attempt = { faultedIn: 0, asked: 0, tries: false };
      attempts.set(task, attempt);
    }
    if (name === "gfs2_file_buffered_write") attempt.faultedIn = 0;
    if (name === "fault_in_readable") attempt.asked = args.size;
    if (name === "fault_in_readable_ret" && !attempt.tries) attempt.faultedIn += attempt.asked - args.left;
    if (name === "iomap_file_buffered_write") attempt.tries = true;
    if (name === "iomap_file_buffered_write_ret") {
      attempt.tries = false;
      attempt.faultedIn = 0;
    }
    if (name !== "gfs2_iomap_begin" || !attempt.tries || args.iomapFlags !== IOMAP_WRITE) continue;
    if (attempt.faultedIn > 0 && args.length > attempt.faultedIn) {
      return `a write tries ${args.length} bytes under the glock, of which ${attempt.faultedIn} were faulted in`;
    }
    // A try may go extent by extent: the rest is no larger.
  }
  return null;
}
