// A recording against a run of the same scenario: what differs, tier by tier.

import { countLeftOut, cutLike, cutRounds } from "./cut.ts";
import { eventText, expandRepeats } from "./events.ts";
import { lostReturns } from "./lost-returns.ts";
import type { Scenario } from "./op.ts";
import type { FinalFile, OpResult, OpTrace, Recording } from "./result.ts";
import { eventsOfTier, TIERS, type Tier, tierOfField, tierOfKind, withoutKinds } from "./tier.ts";

export interface Difference {
  readonly tier: Tier;
  /** Which operation or file: "ops[2] pwrite", "file a", "verdict". */
  readonly where: string;
  /** Which value of it, or "events". */
  readonly what: string;
  readonly expected: string;
  readonly actual: string;
  /** Both lists around the first difference, for events. */
  readonly events?: EventDifference;
}

export interface EventDifference {
  /** Position of the first event that differs. */
  readonly at: number;
  readonly expected: readonly string[];
  readonly actual: readonly string[];
}

export interface CompareOptions {
  readonly tiers?: readonly Tier[];
  /** Kinds of events that the recorded kernel could not show. */
  readonly unseen?: ReadonlySet<string>;
}

/** All that differs, results first. An empty list means equal. */
export function compareRecordings(
  scenario: Scenario,
  expected: Recording,
  actual: Recording,
  options: CompareOptions = {},
): Difference[] {
  const { tiers = TIERS } = options;
  const unseen = new Set([...(options.unseen ?? []), ...lostReturns(expected)]);
  const differences: Difference[] = [];
  // A machine that stopped kept nothing but its last words.
  if (expected.unfinished === true) return tiers.includes("results") ? compareVerdict(expected, actual) : [];
  for (const tier of tiers) {
    if (tier === "results") differences.push(...compareVerdict(expected, actual));
    differences.push(...compareResults(scenario, expected, actual, tier));
    if (tier === "results") differences.push(...compareFinal(expected, actual));
    else differences.push(...compareTraces(scenario, expected, actual, tier, unseen));
  }
  return differences;
}

/** "completed", "kernel BUG at ... in gfs2_glock_nq", "hangs (killable)", "died of signal 11". */
export function verdictText({ oops, rip, hang, killable, died, panic }: Recording): string {
  if (panic !== undefined) return `stops the machine (${panic})`;
  if (oops !== undefined) return `${oops}${rip === undefined ? "" : ` in ${rip}`}`;
  if (hang === true) return killable === true ? "hangs (killable)" : "hangs (not killable)";
  return died === undefined ? "completes" : `dies of signal ${died}`;
}

function compareVerdict(expected: Recording, actual: Recording): Difference[] {
  // A recorder that lost the end of the kernel's report knows less than we do.
  const { rip: _, ...known } = actual;
  const [wanted, got] = [verdictText(expected), verdictText(expected.rip === undefined ? known : actual)];
  if (wanted === got || (isSoftLockup(expected) && actual.oops !== undefined)) return [];
  return [{ tier: "results", where: "verdict", what: "outcome", expected: wanted, actual: got }];
}

/**
 * A BUG of gfs2_glock_nq leaves the glock's spin lock locked. Another thread that comes there spins for ever, and
 * the watchdog stops the machine before anybody has written the BUG down.
 */
function isSoftLockup({ panic = "", threads = [] }: Recording): boolean {
  return threads.length > 0 && panic.includes("soft lockup");
}

interface ComparedOp {
  readonly where: string;
  readonly op: string;
  readonly expected: OpResult | undefined;
  readonly actual: OpResult | undefined;
}

function* comparedOps(scenario: Scenario, expected: Recording, actual: Recording): Generator<ComparedOp, void, void> {
  const lists = [
    { name: "ops", ops: scenario.ops, expected: expected.results, actual: actual.results },
    ...scenario.threads.map((ops, thread) => ({
      name: `threads[${thread}]`,
      ops,
      expected: expected.threads?.[thread] ?? [],
      actual: actual.threads?.[thread] ?? [],
    })),
    { name: "post", ops: scenario.post, expected: expected.post ?? [], actual: actual.post ?? [] },
  ];
  for (const list of lists) {
    for (const [index, { op }] of list.ops.entries()) {
      const where = `${list.name}[${index}] ${op}`;
      yield { where, op, expected: list.expected[index], actual: list.actual[index] };
    }
  }
}

function compareResults(scenario: Scenario, expected: Recording, actual: Recording, tier: Tier): Difference[] {
  const differences: Difference[] = [];
  for (const compared of comparedOps(scenario, expected, actual)) {
    const { where, op } = compared;
    if (compared.expected === undefined || compared.actual === undefined) {
      if (compared.expected === compared.actual || tier !== "results") continue;
      const [wanted, got] = [compared.expected, compared.actual].map((r) => (r === undefined ? "never" : "returns"));
      differences.push({ tier, where, what: "return", expected: wanted, actual: got });
      continue;
    }
    differences.push(...compareFields(where, op, compared.expected, compared.actual, tier));
  }
  return differences;
}

function compareFields(where: string, op: string, expected: object, actual: object, tier: Tier): Difference[] {
  const [wanted, got] = [new Map(Object.entries(expected)), new Map(Object.entries(actual))];
  return differingFields(expected, actual, op, tier).map((field) => ({
    tier,
    where,
    what: field,
    expected: String(wanted.get(field) ?? "nothing"),
    actual: String(got.get(field) ?? "nothing"),
  }));
}

/** The values of an operation's result that differ in this tier, by name. */
export function differingFields(expected: object, actual: object, op: string, tier: Tier): string[] {
  const [wanted, got] = [new Map(Object.entries(expected)), new Map(Object.entries(actual))];
  const fields = [...new Set([...wanted.keys(), ...got.keys()])];
  return fields.filter((field) => tierOfField(field, op) === tier && wanted.get(field) !== got.get(field));
}

function compareFinal(expected: Recording, actual: Recording): Difference[] {
  // A recorded run that did not end has no final state.
  if (expected.final === undefined || actual.final === undefined) return [];
  const none: FinalFile = {};
  const names = new Set([...Object.keys(expected.final), ...Object.keys(actual.final)]);
  return [...names].flatMap((name) =>
    compareFields(`file ${name}`, "", expected.final?.[name] ?? none, actual.final?.[name] ?? none, "results"),
  );
}

function compareTraces(
  scenario: Scenario,
  expected: Recording,
  actual: Recording,
  tier: Exclude<Tier, "results">,
  unseen: ReadonlySet<string>,
): Difference[] {
  const differences: Difference[] = [];
  const [wanted, got] = [tracesByOp(scenario, expected), tracesByOp(scenario, actual)];
  for (const where of new Set([...wanted.keys(), ...got.keys()])) {
    const [one, other] = [wanted.get(where), got.get(where)];
    const endless = one !== undefined && isEndless(expected, one);
    if (!endless) differences.push(...compareLeftOut(where, one, other, tier));
    const events = firstDifference(one, other, { tier, unseen, endless });
    if (events === null) continue;
    const { at } = events;
    differences.push({
      tier,
      where,
      what: "events",
      expected: events.expected[at] ?? "(no more events)",
      actual: events.actual[at] ?? "(no more events)",
      events,
    });
  }
  return differences;
}

function tracesByOp(scenario: Scenario, recording: Recording): Map<string, OpTrace> {
  const traces = new Map<string, OpTrace>();
  for (const trace of recording.trace) {
    const { op, thread, post } = trace;
    const [name, ops] =
      post === true
        ? ["post", scenario.post]
        : thread === undefined
          ? ["ops", scenario.ops]
          : [`threads[${thread}]`, scenario.threads[thread] ?? []];
    traces.set(`${name}[${op}] ${ops[op]?.op ?? "?"}`, trace);
  }
  return traces;
}

/** Did the operation go on until a signal ended it? */
function isEndless({ hang, killable, results, threads, post }: Recording, { op, thread, ...trace }: OpTrace): boolean {
  const list = thread !== undefined ? threads?.[thread] : trace.post === true ? post : results;
  return hang === true && killable === true && list?.[op] === undefined;
}

/** Of the kinds that a long recording had to leave out it says how many there were. */
function compareLeftOut(
  where: string,
  expected: OpTrace | undefined,
  actual: OpTrace | undefined,
  tier: Exclude<Tier, "results">,
): Difference[] {
  const elided = expected?.elided ?? {};
  const counts = countLeftOut(expandRepeats(actual?.events ?? []), elided);
  return [...counts].flatMap(([kind, count]) =>
    tierOfKind(kind) === tier && count !== elided[kind]
      ? [{ tier, where, what: `number of ${kind}`, expected: String(elided[kind]), actual: String(count) }]
      : [],
  );
}

interface ListOptions {
  readonly tier: Exclude<Tier, "results">;
  readonly unseen: ReadonlySet<string>;
  readonly endless: boolean;
}

/** Where two lists part; null when they are equal. */
function firstDifference(
  expected: OpTrace | undefined,
  actual: OpTrace | undefined,
  { tier, unseen, endless }: ListOptions,
): EventDifference | null {
  const without = new Set([...unseen, ...Object.keys(expected?.elided ?? {})]);
  const [recorded, ran] = [expected, actual].map((trace) =>
    withoutKinds(expandRepeats(trace?.events ?? []), new Set([...without, "update_time"])),
  );
  const whole = endless ? cutRounds(recorded) : recorded;
  const wanted = eventsOfTier(whole, tier, without).map(eventText);
  const got = eventsOfTier(cutLike(whole, ran, endless), tier, without).map(eventText);
  for (let at = 0; at < Math.max(wanted.length, got.length); at++) {
    if (wanted[at] !== got[at]) return { at, expected: wanted, actual: got };
  }
  return null;
}
