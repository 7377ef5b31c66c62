// What a search comes to: its counts, and each finding told from a replay, with the point of no return.

import { parseSchedule, type Schedule, verdictReport } from "@faultline/kernel";
import type { Event, Fault, FindingKind, Sighting } from "./finding.ts";
import { CLOCK } from "./happens-before.ts";
import type { Injection } from "./injections.ts";
import { deadlockEdges, type FoundDeadlock, type LockVerdict, lockVerdicts } from "./lock-order.ts";
import { eventsOf, type NarratedStep, type Narrative, narrate } from "./narrative.ts";
import { pointOfNoReturn } from "./no-return.ts";
import type { Program } from "./program.ts";
import { replay, scheduleOf, scheduleText } from "./replay.ts";
import { driverOptions, type SearchOptions } from "./search.ts";
import { shrink } from "./shrink.ts";
import type { Tally } from "./tally.ts";

export interface Finding {
  readonly kind: FindingKind;
  readonly what: string;
  /** How many executions had it. */
  readonly executions: number;
  /** The shortest schedule that was found for it. */
  readonly schedule: string;
  readonly steps: readonly Pick<NarratedStep, "pid" | "comm" | "deeds" | "trace">[];
  /** What the run loop says at the end: the verdict and what is behind it. */
  readonly verdict: readonly string[];
  /** "doomed": nothing could have helped; "unknown": it takes too long to find out. */
  readonly noReturn: NoReturnPoint | "doomed" | "unknown";
}

/** One execution, told. */
export interface ToldReplay extends Pick<Finding, "steps" | "verdict"> {
  /** What is wrong with it; null when nothing is. */
  readonly fault: Fault | null;
}

/** From the point before this step some continuation ends well; from the point after it none does. */
export interface NoReturnPoint {
  /** From 1, as the steps are counted. */
  readonly step: number;
  /** What would have averted it, in words. */
  readonly instead: string;
}

export interface ExploreResult {
  readonly program: string;
  readonly revision: string;
  /** Was everything within the bounds explored? */
  readonly complete: boolean;
  readonly executions: number;
  readonly blocked: number;
  readonly deadlocks: number;
  readonly surprises: number;
  readonly depth: number;
  readonly findings: readonly Finding[];
  /** Findings that are not told, because there are too many. */
  readonly untold: number;
  readonly locks: readonly LockVerdict[];
  readonly injections: readonly Injection[];
  readonly promise: string | null;
}

/** Findings that are told at most. */
const MOST = 10;
/** Deeds of a step that are named at most where it is pointed at. */
const FEW = 3;

/** Tell what a search came to. Runs the program many times, for findings only. */
export function conclude(
  program: Program,
  tally: Tally,
  options: SearchOptions & { readonly complete: boolean; readonly promise?: string | null },
): ExploreResult {
  const { counts, sightings } = tally;
  const limited = { ...program, environment: program.environment ?? {} };
  const findings = sightings.slice(0, MOST).map((sighting) => tell(limited, sighting, options));
  const deadlocks: FoundDeadlock[] = sightings
    .filter(({ kind }) => kind === "deadlock")
    .map((sighting) => {
      const schedule = findings.find(({ what }) => what === sighting.what)?.schedule;
      const known = schedule === undefined ? scheduleFor(program, sighting, options) : parseSchedule(schedule);
      return { schedule: scheduleText(known), edges: deadlockEdges(replay(program, known, options).verdict) };
    });
  return {
    program: program.name,
    revision: program.revision ?? "",
    complete: options.complete,
    executions: counts.executions,
    blocked: counts.blocked,
    deadlocks: counts.deadlocks,
    surprises: counts.surprises,
    depth: counts.depth,
    findings,
    untold: sightings.length - findings.length,
    locks: lockVerdicts(tally.edges, deadlocks, options.complete && counts.surprises === 0),
    injections: tally.injections,
    promise: options.promise ?? null,
  };
}

/** Run one schedule and tell what happens. */
export function tellReplay(
  program: Program,
  schedule: Schedule,
  { maxSteps }: Pick<SearchOptions, "maxSteps"> = {},
): ToldReplay {
  const { replay, steps } = narrate(program, schedule, maxSteps);
  const { fault, verdict } = replay;
  return {
    steps: steps.map(({ pid, comm, deeds, trace }) => ({ pid, comm, deeds, trace })),
    verdict: fault?.kind === "invariant" ? [`INVARIANT: ${fault.what}`] : verdictReport(verdict),
    fault,
  };
}

function scheduleFor(program: Program, sighting: Sighting, { maxSteps }: SearchOptions): Schedule {
  if (sighting.schedule !== null) return parseSchedule(sighting.schedule);
  const schedule = scheduleOf(program, sighting.events, maxSteps);
  if (schedule === null)
    throw new Error(`${sighting.what}: it does not happen again; the program is not deterministic`);
  return schedule;
}

function tell(program: Program, sighting: Sighting, options: SearchOptions): Finding {
  const { maxSteps } = options;
  const schedule = shrink(program, scheduleFor(program, sighting, options), sighting, maxSteps);
  const narrative = narrate(program, schedule, maxSteps);
  const { fault, verdict } = narrative.replay;
  if (fault?.what !== sighting.what) {
    throw new Error(
      `${sighting.what}: its schedule shows ${fault?.what ?? "nothing"}; the program is not deterministic`,
    );
  }
  const noReturn = noReturnOf(program, narrative, options);
  return {
    kind: sighting.kind,
    what: sighting.what,
    executions: sighting.executions,
    schedule: scheduleText(schedule),
    steps: narrative.steps.map(({ pid, comm, deeds, trace }) => ({ pid, comm, deeds, trace })),
    verdict: sighting.kind === "invariant" ? [`INVARIANT: ${sighting.what}`] : verdictReport(verdict),
    noReturn,
  };
}

function noReturnOf(program: Program, narrative: Narrative, options: SearchOptions): Finding["noReturn"] {
  const events = eventsOf(narrative);
  const point = pointOfNoReturn(program, events, driverOptions(options));
  if (typeof point === "string") return point;
  const { fatal, instead } = point;
  return {
    step: narrative.steps.indexOf(events[fatal]) + 1,
    instead: averting(program, events, fatal, instead, options),
  };
}

/** In words: what would have had to happen in place of event `fatal`. */
function averting(
  program: Program,
  events: readonly NarratedStep[],
  fatal: number,
  instead: Event | null,
  options: SearchOptions,
): string {
  if (instead === null) return "nothing more had happened";
  if (instead.pid === CLOCK) return "time had passed";
  const schedule = scheduleOf(program, [...events.slice(0, fatal), instead], options.maxSteps);
  const step = schedule === null ? undefined : eventsOf(narrate(program, schedule, options.maxSteps))[fatal];
  const who = step?.comm ?? `task ${instead.pid}`;
  const deeds = step?.deeds ?? [];
  if (instead.pid !== events[fatal].pid) return `${who} had run first (${beginningOf(deeds)})`;
  const other = deeds.filter((deed) => isChoice(deed) && !events[fatal].deeds.includes(deed));
  return `the environment had chosen otherwise for ${who} (${beginningOf(other)})`;
}

/** As the narrative puts a choice: "evict: 1 of 2". */
function isChoice(deed: string): boolean {
  return /^\S+: \d+ of \d+$/.test(deed);
}

/** The first few: enough to see which step it is. */
function beginningOf(deeds: readonly string[]): string {
  return `${deeds.slice(0, FEW).join(", ")}${deeds.length > FEW ? ", ..." : ""}`;
}
