// What a recording says that a scenario does: each thread on its own, and who was when at the locks.
//
// The threads are lanes 0, 1, ...; the lane behind them is the process itself, with what it does before and
// after its threads.

import { eventText, expandRepeats } from "./events.ts";
import { lostReturns } from "./lost-returns.ts";
import type { Op, Scenario } from "./op.ts";
import type { OpResult, OpTrace, RecordedEvent, Recording } from "./result.ts";
import type { OpPlace } from "./run.ts";
import { eventsOfTier, isHidden, type Tier } from "./tier.ts";
import { UNTRACED } from "./untraced.ts";

/** The kinds of events that `interleave` holds. */
const MERGED: ReadonlySet<unknown> = new Set([
  "glock_nq",
  "glock_grant",
  "glock_dq",
  "gfs2_fault",
  "gfs2_mkwrite",
  "iomap_write",
  "generic_read",
]);
const GLOCK_EVENTS: ReadonlySet<unknown> = new Set(["glock_nq", "glock_grant", "glock_dq"]);

export function isMerged(event: RecordedEvent): boolean {
  return MERGED.has(event[0]);
}

/** The file whose lock an event is about; "" for other events. */
export function lockedFile(event: RecordedEvent): string {
  return GLOCK_EVENTS.has(event[0]) ? String(event[1]) : "";
}

/** An event of `interleave`. */
export interface MergedEvent {
  readonly lane: number;
  readonly text: string;
  /** "" or the file, and how many events of its lock come before. */
  readonly file: string;
  readonly turn: number;
}

/** The events of one operation of one thread. */
export interface ExpectedEvents {
  readonly events: readonly RecordedEvent[];
  /** Kinds that are not compared. */
  readonly without: ReadonlySet<string>;
  /** How many of `events` are there before each update of a time stamp. */
  readonly updates: readonly number[];
  /** The rest was cut off. */
  readonly cut: boolean;
}

export class Expectation {
  readonly scenario: Scenario;
  readonly recording: Recording;
  /** How closely the threads are to be followed. */
  readonly tier: Tier;
  readonly merged: readonly MergedEvent[];
  /** Positions in `merged`, by lane. */
  readonly positions: readonly (readonly number[])[];
  /** The end of `merged` was cut off. */
  readonly mergedCut: boolean;
  /** Kinds of events that the recording cannot show, as `eventsOfTier` takes them. */
  readonly unseen: ReadonlySet<string>;
  readonly #traces: ReadonlyMap<string, OpTrace>;
  readonly #expected = new Map<string, ExpectedEvents>();

  constructor(scenario: Scenario, recording: Recording, tier: Tier, unseen: ReadonlySet<string>) {
    this.scenario = scenario;
    this.recording = recording;
    this.tier = tier;
    this.unseen = new Set([...unseen, ...lostReturns(recording)]);
    this.#traces = new Map(recording.trace.map((trace) => [keyOf(trace), trace]));
    const events = expandRepeats(recording.interleave ?? []);
    const gap = events.findIndex(([lane]) => lane === "...");
    this.mergedCut = gap >= 0;
    this.merged = mergedEvents(gap < 0 ? events : events.slice(0, gap), this.unseen);
    this.positions = [...scenario.threads, []].map((_, lane) =>
      this.merged.flatMap((event, position) => (event.lane === lane ? [position] : [])),
    );
  }

  /** Is there only one task, and the disk? */
  get isAlone(): boolean {
    return this.scenario.threads.length === 0;
  }

  lane({ thread }: OpPlace): number {
    return thread ?? this.scenario.threads.length;
  }

  op({ op, thread, post }: OpPlace): Op {
    const { ops, threads, post: last } = this.scenario;
    return (thread !== undefined ? threads[thread] : post === true ? last : ops)[op];
  }

  /** What an operation gave; undefined when it never returned. */
  result({ op, thread, post }: OpPlace): OpResult | undefined {
    const { results, threads, post: last } = this.recording;
    return (thread !== undefined ? threads?.[thread] : post === true ? last : results)?.[op];
  }

  /** Null when the recorder keeps no events of such operations, or only results count. */
  events(at: OpPlace): ExpectedEvents | null {
    const { tier } = this;
    const { op, quiet } = this.op(at);
    if (tier === "results" || UNTRACED.has(op) || (quiet === true && at.thread === undefined)) return null;
    const key = keyOf(at);
    let expected = this.#expected.get(key);
    if (expected === undefined) {
      expected = expectedEvents(this.#traces.get(key), tier, this.unseen);
      this.#expected.set(key, expected);
    }
    return expected;
  }
}

function keyOf({ op, thread, post }: OpPlace): string {
  return `${thread ?? (post === true ? "post" : "ops")}/${op}`;
}

function mergedEvents(events: readonly RecordedEvent[], unseen: ReadonlySet<string>): MergedEvent[] {
  const merged: MergedEvent[] = [];
  const turns = new Map<string, number>();
  for (const [lane, ...event] of events) {
    if (!isMerged(event) || isHidden(event, unseen)) continue;
    const file = lockedFile(event);
    const turn = turns.get(file) ?? 0;
    turns.set(file, turn + 1);
    merged.push({ lane: Number(lane), text: eventText(event), file, turn });
  }
  return merged;
}

function expectedEvents(
  trace: OpTrace | undefined,
  tier: Exclude<Tier, "results">,
  unseen: ReadonlySet<string>,
): ExpectedEvents {
  const without = new Set([...unseen, ...Object.keys(trace?.elided ?? {})]);
  const whole = expandRepeats(trace?.events ?? []);
  const gap = whole.findIndex(([name]) => name === "...");
  const known = gap < 0 ? whole : whole.slice(0, gap);
  const updates = known.flatMap(([name], i) =>
    name === "update_time" ? [eventsOfTier(known.slice(0, i), tier, without).length] : [],
  );
  return { events: eventsOfTier(known, tier, without), without, updates, cut: gap >= 0 };
}
