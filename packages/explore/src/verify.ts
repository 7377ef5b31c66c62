// Checks a certificate, by other means than it was made with: no clocks, no sleep sets, no wakeup trees.
//
// It runs every schedule of the frontier and then shows that the set of their traces is closed: whatever two
// events of different tasks that do not commute are put in the other order, whatever choice of the environment
// turns out otherwise, and whatever task in a deadlock takes its lock before those who hold it, the trace that
// this leads to is in the set. A set of complete traces that is closed in this way has them all: take a trace
// that it lacks, and from the set one that agrees with it for longest; where they part, some event of the
// latter is in the way of the next event of the former, and putting it off leads to a trace of the set that
// agrees for longer. When that event is a failure which the budgets do not pay for, because of others that come
// later in the trace of the set, those are undone first, the earliest of them each time: that is always affordable,
// and what the two traces agree in stays.

import { parseSchedule } from "@faultline/kernel";
import { PASS, SHARE, TAKE } from "./access.ts";
import { type Certificate, hashOf } from "./certificate.ts";
import { Frontier } from "./frontier.ts";
import type { Program } from "./program.ts";
import { replay } from "./replay.ts";
import { type Happening, identityOf, type Rerun, rerun, runTurns, type Turn } from "./rerun.ts";

export interface Verification {
  readonly isConfirmed: boolean;
  /** Why not, in one sentence; or what was done. */
  readonly why: string;
  /** A schedule that speaks against the certificate. */
  readonly schedule: string | null;
  readonly executions: number;
  /** Runs that put events in another order. */
  readonly reversals: number;
}

/** Check a certificate. `watch` is told how many executions are checked, now and then. */
export function verify(
  program: Program,
  certificate: Certificate,
  watch: (checked: number) => void = () => {},
): Verification {
  return new Verifier(program, certificate).verify(watch);
}

/** One execution of the frontier. */
interface Execution {
  readonly numbers: Uint32Array;
  readonly waiting: Rerun["waiting"];
}

class Verifier {
  readonly #program: Program;
  readonly #certificate: Certificate;
  readonly #traces = new Set<number>();
  readonly #frontier = new Frontier();
  readonly #executions: Execution[] = [];
  /** Turns that were tried, and whether they lead nowhere new. */
  readonly #impossible = new Map<string, boolean>();
  #reversals = 0;

  constructor(program: Program, certificate: Certificate) {
    this.#program = program;
    this.#certificate = certificate;
  }

  verify(watch: (checked: number) => void): Verification {
    return (
      this.#checkWords() ??
      this.#checkMutants() ??
      this.#checkFrontier(watch) ??
      this.#checkClosure() ??
      this.#confirm()
    );
  }

  #confirm(): Verification {
    const { mutants } = this.#certificate;
    const why = `${this.#executions.length} executions, none of them bad; ${this.#reversals} reversals lead to no other; ${mutants.length} planted bugs are found`;
    return { isConfirmed: true, why, schedule: null, executions: this.#executions.length, reversals: this.#reversals };
  }

  #refute(why: string, schedule: string | null = null): Verification {
    return { isConfirmed: false, why, schedule, executions: this.#executions.length, reversals: this.#reversals };
  }

  #checkWords(): Verification | null {
    const { program, revision, bounds, executions, frontier } = this.#certificate;
    const { name, revision: ours = "", environment = {} } = this.#program;
    if (program !== name || revision !== ours)
      return this.#refute(`it is for ${program} ${revision}, and this is ${name} ${ours}`);
    if (JSON.stringify(bounds.environment) !== JSON.stringify(environment))
      return this.#refute("its budgets are not the program's");
    if (executions !== frontier.length)
      return this.#refute(`it counts ${executions} executions and lists ${frontier.length}`);
    return null;
  }

  /** Is every planted bug found by the schedule that is said to find it? */
  #checkMutants(): Verification | null {
    const { mutants, bounds } = this.#certificate;
    const planted = this.#program.mutants ?? [];
    if (planted.length === 0) return this.#refute("no bug is planted in the program");
    for (const mutant of planted) {
      const found = mutants.find(({ name }) => name === mutant.name);
      if (found === undefined) return this.#refute(`it does not say how the planted bug "${mutant.name}" is found`);
      const { fault } = replay(mutant, parseSchedule(found.schedule), bounds);
      if (fault?.what !== found.what) {
        return this.#refute(`the planted bug "${mutant.name}" does not show in its schedule`, found.schedule);
      }
    }
    return null;
  }

  #checkFrontier(watch: (checked: number) => void): Verification | null {
    const { frontier, bounds, hash } = this.#certificate;
    for (const [i, schedule] of frontier.entries()) {
      const { fault, events, waiting } = rerun(this.#program, parseSchedule(schedule), bounds);
      if (fault !== null) return this.#refute(`an execution is bad: ${fault}`, schedule);
      const identity = identityOf(events);
      if (this.#traces.has(identity)) return this.#refute("two executions are of one trace", schedule);
      this.#traces.add(identity);
      this.#executions.push({ numbers: this.#frontier.add(events), waiting });
      watch(i + 1);
    }
    if (hashOf(this.#program, [...this.#traces]) !== hash)
      return this.#refute("the program does not do what it did then");
    return null;
  }

  #checkClosure(): Verification | null {
    for (const execution of this.#executions) {
      for (const [without, turn] of this.#reversalsOf(execution)) {
        this.#reversals++;
        if (this.#frontier.has(without, turn) || this.#isImpossible(without, turn)) continue;
        const turns = without.map((number) => turnOf(this.#frontier.events[number]));
        const { schedule } = runTurns(this.#program, [...turns, turn], this.#certificate.bounds);
        return this.#refute("there is an execution that it does not list", schedule);
      }
    }
    return null;
  }

  /** Run what was not found: it may not be possible, because what comes later now made what comes earlier possible. */
  #isImpossible(without: readonly number[], turn: Turn): boolean {
    const key = [...without, -1, turn.pid, ...turn.choices].join();
    let isImpossible = this.#impossible.get(key);
    if (isImpossible === undefined) {
      const turns = without.map((number) => turnOf(this.#frontier.events[number]));
      const { isOnCourse, events } = runTurns(this.#program, [...turns, turn], this.#certificate.bounds);
      isImpossible = !isOnCourse || this.#traces.has(identityOf(events));
      this.#impossible.set(key, isImpossible);
    }
    return isImpossible;
  }

  /** Beginnings of executions in which something comes out the other way round: some events, and whose turn it is then. */
  *#reversalsOf({ numbers, waiting }: Execution): Generator<[without: number[], turn: Turn], void, void> {
    const frontier = this.#frontier;
    const events = Array.from(numbers, (number) => frontier.events[number]);
    const pasts = pastsOf(numbers, frontier);
    const previous = (e: number, pid: number): number => {
      const own = events.findLastIndex((event, i) => i < e && event.pid === pid);
      return own >= 0 ? own : events.findLastIndex((event, i) => i < e && event.spawned.includes(pid));
    };
    const isFree = (first: number, e: number, pid: number): boolean => {
      const last = previous(e, pid);
      return last < 0 || (last !== first && pasts[last][first] === 0);
    };
    const without = (first: number): number[] =>
      Array.from(numbers).filter((_, e) => e !== first && pasts[e][first] === 0);
    for (const [e, event] of events.entries()) {
      for (let first = 0; first < e; first++) {
        const position = frontier.conflictAt(numbers[first], numbers[e]);
        if (position < 0 || !isFree(first, e, event.pid)) continue;
        const asked = event.asked.filter((each) => each.position <= position);
        yield [without(first), { pid: event.pid, choices: asked.map(({ picked }) => picked) }];
      }
      for (const choices of this.#othersThan(events, e, pasts)) yield [without(e), { pid: event.pid, choices }];
    }
    for (const { pid, lock } of waiting) {
      for (const [first, event] of events.entries()) {
        const takes = event.accesses.some(
          (object, i) => i % 2 === 0 && object === lock && isTaking(event.accesses[i + 1]),
        );
        if (takes && event.pid !== pid && isFree(first, events.length, pid))
          yield [without(first), { pid, choices: [] }];
      }
    }
  }

  /** The other ways in which the choices of an event could have gone, within the budgets. */
  *#othersThan(events: readonly Happening[], e: number, pasts: readonly Uint8Array[]): Generator<number[], void, void> {
    const { asked } = events[e];
    const { environment, failures } = this.#certificate.bounds;
    const stays = events.filter((_, i) => i !== e && pasts[i][e] === 0).flatMap((event) => event.asked);
    for (const [i, { choice, count, picked }] of asked.entries()) {
      const spent = [...stays, ...asked.slice(0, i)].filter((each) => each.picked !== 0);
      const affordable =
        spent.length < (failures ?? Number.POSITIVE_INFINITY) &&
        spent.filter((each) => each.choice === choice).length < (environment[choice] ?? 0);
      for (let other = 0; other < count; other++) {
        if (other !== picked && (other === 0 || affordable))
          yield [...asked.slice(0, i).map((each) => each.picked), other];
      }
    }
  }
}

function turnOf({ pid, asked }: Happening): Turn {
  return { pid, choices: asked.map(({ picked }) => picked) };
}

function isTaking(deed: number): boolean {
  return deed === TAKE || deed === SHARE || deed === PASS;
}

/** For each event, which events it depends on, directly or not: 1 for those. */
function pastsOf(numbers: Uint32Array, frontier: Frontier): Uint8Array[] {
  const pasts: Uint8Array[] = [];
  for (const [e, number] of numbers.entries()) {
    const past = new Uint8Array(numbers.length);
    for (let i = e - 1; i >= 0; i--) {
      if (past[i] === 1 || !frontier.depends(numbers[i], number)) continue;
      past[i] = 1;
      for (let earlier = 0; earlier < i; earlier++) past[earlier] |= pasts[i][earlier];
    }
    pasts.push(past);
  }
  return pasts;
}
