// Cuts a search into parts that can be explored independently of each other, by other threads or on other
// machines, without a word between them. Every trace belongs to exactly one part.
//
// A cut takes two events that do not commute, a and b. In one part b is held back until a has happened, in the
// other a until b has. Where both happen, they happen in one order or the other; where only one does, the trace
// belongs to the part that does not hold it back; where neither does, to the first part. k cuts make 2^k parts.
//
// This holds as long as a and b really do not commute whenever both happen. Each part looks whether the events
// of its cuts do what they did when the cut was made, and says so when one does not: then the cut is void.
//
// Where the environment has a choice the search is first divided by what it chooses, which is never void: one part
// for each set of points, of those that always come up, at which something goes wrong. See fate.ts.

import { Random } from "@faultline/kernel";
import { type Accesses, conflict } from "./access.ts";
import { Driver, type DriverOptions, type Point } from "./driver.ts";
import { Explorer } from "./explorer.ts";
import { budgetsBeside, type Fate } from "./fate.ts";
import type { Path } from "./path.ts";
import type { Budgets, Program } from "./program.ts";

/** The nth event of a task, from 1. */
export interface EventName {
  readonly pid: number;
  readonly nth: number;
}

/** `second` may not happen before `first` has. */
export interface Order {
  readonly first: EventName;
  readonly second: EventName;
  /** Does an execution count only if `first` happened? So it is in one of the two parts of a cut. */
  readonly needsFirst: boolean;
  /** What the two events did when the cut was made. */
  readonly accesses: readonly [first: Accesses, second: Accesses];
}

/** One part of a search: what comes before what in it, and what the environment chooses. */
export interface Share {
  readonly orders: readonly Order[];
  readonly fates: readonly Fate[];
}

/** Two events that race, and in how many executions they were seen to. */
interface Candidate {
  readonly a: EventName;
  readonly b: EventName;
  readonly accesses: readonly [a: Accesses, b: Accesses];
  seen: number;
}

/** Executions to look at for races, and runs at random for events that do not always do the same. */
const SAMPLES = 200;

/**
 * Cut the search for `program` into about `count` parts, or fewer if it is small. Always the same ones.
 *
 * `avoid`: events not to cut at, because they were found to change.
 */
export function cut(
  program: Program,
  count: number,
  options: DriverOptions = {},
  avoid: readonly EventName[] = [],
): readonly Share[] {
  if (count <= 1) return [{ orders: [], fates: [] }];
  const census = takeCensus(program, options);
  const budgets = { environment: program.environment ?? {}, ...options };
  const divided = divide(census.points, count, budgets);
  let parts: Order[][] = [[]];
  const most = Math.floor(Math.log2(count / divided.length));
  for (const { a, b, accesses } of most === 0 ? [] : chooseCuts(census, most, avoid)) {
    const [ofA, ofB] = accesses;
    const orders: Order[] = [
      { first: a, second: b, needsFirst: false, accesses: [ofA, ofB] },
      { first: b, second: a, needsFirst: true, accesses: [ofB, ofA] },
    ];
    parts = parts.flatMap((part) => orders.map((order) => [...part, order]));
  }
  return divided.flatMap((fates) => parts.map((orders) => ({ orders, fates })));
}

/** Every set of fates that the budgets allow for the first of these points; of so many as make about `count` sets. */
function divide(points: readonly Omit<Fate, "fails">[], count: number, budgets: Budgets): readonly (readonly Fate[])[] {
  let parts: Fate[][] = [[]];
  for (const point of points) {
    const finer = [false, true].flatMap((fails) => parts.map((part) => [...part, { ...point, fails }]));
    const affordable = finer.filter((part) => isAffordable(budgetsBeside(part, budgets)));
    if (affordable.length > count) break;
    parts = affordable;
  }
  return parts;
}

function isAffordable({ environment, failures = 0 }: Budgets): boolean {
  return failures >= 0 && Object.values(environment).every((budget) => budget >= 0);
}

/** Pairs of events to cut between: those that race most often, first those that share no event. */
function chooseCuts(census: Census, most: number, avoid: readonly EventName[]): Candidate[] {
  for (const name of avoid) census.changeable.add(textOf(name));
  const steady = census.candidates.sort((x, y) => y.seen - x.seen);
  const chosen: Candidate[] = [];
  const used = new Set<string>();
  for (const apart of [true, false]) {
    for (const candidate of steady) {
      const names = [textOf(candidate.a), textOf(candidate.b)];
      const fits = !chosen.includes(candidate) && !(apart && names.some((name) => used.has(name)));
      if (chosen.length >= most || !fits) continue;
      chosen.push(candidate);
      for (const name of names) used.add(name);
    }
  }
  return chosen;
}

/** Look at some executions that are alike and at some that are not. */
function takeCensus(program: Program, options: DriverOptions): Census {
  const census = new Census();
  const explorer = new Explorer(program, ({ path }) => census.count(path), options);
  explorer.run(SAMPLES);
  takeRuns(program, options, census);
  return census;
}

/** What events do, which of them race, and which choices always come up. */
class Census {
  readonly changeable = new Set<string>();
  readonly #deeds = new Map<string, string>();
  readonly #candidates = new Map<string, Candidate>();
  /** Pid and choice -> how often each task met it where it did so least often. */
  readonly #least = new Map<string, number>();
  #isFirst = true;

  /** The choices that came up in every execution, those that tasks meet first before others. */
  get points(): Omit<Fate, "fails">[] {
    const points = [...this.#least].flatMap(([key, least]) => {
      const [pid, choice] = key.split(" ");
      return Array.from({ length: least }, (_, i) => ({ pid: Number(pid), choice, nth: i + 1 }));
    });
    return points.sort((a, b) => a.nth - b.nth);
  }

  /** Note which choices came up in one execution, by event. */
  meet(events: readonly { readonly pid: number; readonly points: readonly Point[] }[]): void {
    const met = new Map<string, number>();
    for (const { pid, points } of events) {
      for (const { choice } of points) met.set(`${pid} ${choice}`, (met.get(`${pid} ${choice}`) ?? 0) + 1);
    }
    if (this.#isFirst) for (const [key, times] of met) this.#least.set(key, times);
    for (const [key, least] of this.#least) this.#least.set(key, Math.min(least, met.get(key) ?? 0));
    this.#isFirst = false;
  }

  /** Pairs of events that did the same whenever they were seen, and never commuted. */
  get candidates(): Candidate[] {
    return [...this.#candidates.values()].filter(({ a, b, accesses }) => {
      return !this.changeable.has(textOf(a)) && !this.changeable.has(textOf(b)) && conflict(accesses[0], accesses[1]);
    });
  }

  count({ steps, details, order, races }: Path): void {
    this.meet(steps.map(({ pid }, e) => ({ pid, points: details[e].points })));
    const names = steps.map(({ pid }, e) => ({ pid, nth: order.ordinal(e) }));
    for (const [e, { accesses }] of steps.entries()) this.see(names[e], accesses);
    for (const { first, second } of races) {
      const [a, b] = [first, second].sort((x, y) => names[x].pid - names[y].pid);
      const key = `${textOf(names[a])} ${textOf(names[b])}`;
      const known = this.#candidates.get(key);
      if (known !== undefined) known.seen++;
      else {
        const accesses = [steps[a].accesses, steps[b].accesses] as const;
        this.#candidates.set(key, { a: names[a], b: names[b], accesses, seen: 1 });
      }
    }
  }

  see(name: EventName, accesses: Accesses): void {
    const text = textOf(name);
    const deeds = accesses.join();
    if ((this.#deeds.get(text) ?? deeds) !== deeds) this.changeable.add(text);
    this.#deeds.set(text, deeds);
  }
}

/** Let the census see executions that have little in common. */
function takeRuns(program: Program, options: DriverOptions, census: Census): void {
  const driver = new Driver(program, options);
  const random = new Random(1);
  for (let i = 0; i < SAMPLES; i++) {
    const counts = new Map<number, number>();
    const met: { pid: number; points: readonly Point[] }[] = [];
    driver.begin();
    while (!driver.exhausted) {
      const able = [...driver.able.keys()].filter((pid) => driver.able[pid] === 1);
      if (able.length === 0) break;
      const pid = able[random.below(able.length)];
      const isEvent = driver.perform(pid, [random.below(2), random.below(2)]);
      met.push({ pid, points: driver.points });
      if (!isEvent) continue;
      const nth = (counts.get(pid) ?? 0) + 1;
      counts.set(pid, nth);
      census.see({ pid, nth }, driver.accesses);
    }
    census.meet(met);
  }
}

function textOf({ pid, nth }: EventName): string {
  return `${pid}.${nth}`;
}
