// The three tiers of equality between a recording and a run.

import { pairReturns } from "./events.ts";
import type { RecordedEvent } from "./result.ts";

export const TIERS = ["results", "protocol", "memory"] as const;
/**
 * `results`: what a program sees. `protocol`: locks taken and dropped, retries, and what the inner calls
 * returned. `memory`: faults and how they were resolved, read-ahead, residency.
 */
export type Tier = (typeof TIERS)[number];

const PROTOCOL: ReadonlySet<unknown> = new Set([
  "glock_nq",
  "glock_grant",
  "glock_dq",
  "fault_in_safe_w",
  "file_read",
  "file_write",
  "buffered_write",
  "direct_read",
  "direct_write",
  "generic_read",
  "filemap_read",
  "iomap_write",
  "dio",
  "iomap_begin",
  "iomap_end",
]);

/**
 * The events that a tier compares, paired anew. The memory tier compares all events, so that their order
 * among those of the protocol counts too.
 *
 * `without`: kinds that one side cannot have; "mm_fault ret" stands for the returns of a kind.
 */
export function eventsOfTier(
  events: readonly RecordedEvent[],
  tier: Exclude<Tier, "results">,
  without: ReadonlySet<string>,
): RecordedEvent[] {
  const filter = new TierFilter(tier, without);
  return pairReturns(events.filter((event) => filter.keeps(event)).map((event) => withoutReturn(event, without)));
}

/** eventsOfTier, event by event, without the pairing. */
export class TierFilter {
  readonly #tier: Exclude<Tier, "results">;
  readonly #without: ReadonlySet<string>;
  #writing = false;

  constructor(tier: Exclude<Tier, "results">, without: ReadonlySet<string>) {
    this.#tier = tier;
    this.#without = without;
  }

  keeps(event: RecordedEvent): boolean {
    const kind = String(event[0]);
    if (kind === "iomap_write") this.#writing = !event.includes("ret");
    if (kind === "update_time" || isHidden(event, this.#without)) return false;
    if (this.#tier === "memory" || PROTOCOL.has(kind) || kind === "...") return true;
    // What is faulted in page by page below iomap is a memory matter; what the filesystem faults in is a retry.
    return kind === "fault_in_readable" && !this.#writing;
  }
}

/** The events without some kinds, paired anew. */
export function withoutKinds(events: readonly RecordedEvent[], kinds: ReadonlySet<string>): RecordedEvent[] {
  return pairReturns(events.filter((event) => !isHidden(event, kinds)).map((event) => withoutReturn(event, kinds)));
}

/** Is it of a kind that is left out, or a return ("mm_fault ret") of such a kind? */
export function isHidden(event: RecordedEvent, without: ReadonlySet<string>): boolean {
  const [name] = event;
  return without.has(String(name)) || (event[1] === "ret" && event.length === 3 && without.has(`${name} ret`));
}

/** A call as it looks if the returns of its kind are left out. */
function withoutReturn(event: RecordedEvent, without: ReadonlySet<string>): RecordedEvent {
  const at = without.size === 0 ? -1 : event.indexOf("ret");
  return at > 1 && without.has(`${event[0]} ret`) ? [event[0], ...event.slice(1, at)] : event;
}

/** The tier that compares a kind of event wherever it stands. */
export function tierOfKind(kind: string): Exclude<Tier, "results"> {
  return PROTOCOL.has(kind) ? "protocol" : "memory";
}

/** Values that are a memory matter wherever they stand. */
const MEMORY_FIELDS: ReadonlySet<string> = new Set(["minflt", "majflt", "resident"]);
/** Operations that give a picture of residency, and what they call it. */
const PICTURES: ReadonlySet<string> = new Set(["mincore", "pagemap"]);
const PICTURE_FIELDS: ReadonlySet<string> = new Set(["count", "pages"]);

/** The tier that compares a value of an operation's result. */
export function tierOfField(field: string, op: string): Tier {
  if (MEMORY_FIELDS.has(field)) return "memory";
  return PICTURES.has(op) && PICTURE_FIELDS.has(field) ? "memory" : "results";
}
