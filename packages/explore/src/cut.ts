// Cuts a search into parts that can be explored independently of each other, by other threads or on other
// machines, without a word between them. Every trace belongs to exactly one part.
//
// A cut takes two events that do not commute, a and b. In one part b is held back until a has happened, in the
// other a until b has. Where both happen, they happen in one order or the other; where only one does, the trace
// belongs to the part that does not hold it back; where neither does, to the first part. k cuts make 2^k parts.
//
// That holds as long as a and b really do not commute whenever both happen. Each part looks whether the events
// of its cuts do what they did when the cut was made, and says so when one does not: then the cut is void.

import { Random } from "@faultline/kernel";
import { type Accesses, conflict } from "./access.ts";
import { Driver, type DriverOptions } from "./driver.ts";
import { Explorer } from "./explorer.ts";
import type { Path } from "./path.ts";
import type { Program } from "./program.ts";

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
): readonly (readonly Order[])[] {
  let parts: Order[][] = [[]];
  const most = Math.ceil(Math.log2(Math.max(count, 1)));
  for (const { a, b, accesses } of most === 0 ? [] : chooseCuts(program, most, options, avoid)) {
    const [ofA, ofB] = accesses;
    const orders: Order[] = [
      { first: a, second: b, needsFirst: false, accesses: [ofA, ofB] },
      { first: b, second: a, needsFirst: true, accesses: [ofB, ofA] },
    ];
    parts = parts.flatMap((part) => orders.map((order) => [...part, order]));
  }
  return parts;
}

/** Pairs of events to cut between: those that race most often, first those that share no event. */
function chooseCuts(program: Program, most: number, options: DriverOptions, avoid: readonly EventName[]): Candidate[] {
  const census = new Census();
  const explorer = new Explorer(program, ({ path }) => census.count(path), options);
  explorer.run(SAMPLES);
  takeRuns(program, options, census);
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

/** What events do, and which of them race. */
class Census {
  readonly changeable = new Set<string>();
  readonly #deeds = new Map<string, string>();
  readonly #candidates = new Map<string, Candidate>();

  /** Pairs of events that did the same whenever they were seen, and never commuted. */
  get candidates(): Candidate[] {
    return [...this.#candidates.values()].filter(({ a, b, accesses }) => {
      return !this.changeable.has(textOf(a)) && !this.changeable.has(textOf(b)) && conflict(accesses[0], accesses[1]);
    });
  }

  count({ steps, order, races }: Path): void {
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
    driver.begin();
    while (!driver.exhausted) {
      const able = [...driver.able.keys()].filter((pid) => driver.able[pid] === 1);
      if (able.length === 0) break;
      const pid = able[random.below(able.length)];
      if (!driver.perform(pid, [random.below(2), random.below(2)])) continue;
      const nth = (counts.get(pid) ?? 0) + 1;
      counts.set(pid, nth);
      census.see({ pid, nth }, driver.accesses);
    }
  }
}

function textOf({ pid, nth }: EventName): string {
  return `${pid}.${nth}`;
}
