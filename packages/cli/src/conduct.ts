// Conducts one search: in this thread, among several, or on one of several machines; with an eye on the clock
// and on whoever wants it to end.

import {
  addTallies,
  cut,
  driverOptions,
  type EventName,
  NOTHING,
  openSearch,
  type SavedSearch,
  type SearchOptions,
  type Share,
  type Tally,
} from "@faultline/explore";
import { type Crew, hire } from "./crew.ts";
import type { Io } from "./io.ts";
import { Progress } from "./progress.ts";
import { programOf, type Source } from "./source.ts";
import { UsageError } from "./usage.ts";

export interface Plan {
  readonly source: Source;
  readonly options: SearchOptions;
  readonly workers: number;
  /** Time and executions after which the search stops, unfinished. */
  readonly seconds: number;
  readonly executions: number;
  /** Part i of n, from 1; null for the whole. */
  readonly shard: { readonly i: number; readonly n: number } | null;
  /** Events that a search is not to be cut at. */
  readonly avoid: readonly EventName[];
  /** Where an earlier search was put down. */
  readonly from: State | null;
  /** Called now and then, and at the end when the search is unfinished; null when nobody wants it. */
  readonly putDown: ((state: State) => void) | null;
}

/** How far a search is. */
export interface State {
  readonly parts: readonly PartState[];
  readonly tally: Tally;
  /** Time spent so far. */
  readonly seconds: number;
}

interface PartState {
  readonly share: Share;
  /** Where to go on; null before the beginning and after the end. */
  readonly saved: SavedSearch | null;
  readonly isDone: boolean;
}

export interface Conducted {
  readonly tally: Tally;
  readonly complete: boolean;
  readonly promise: string | null;
  readonly seconds: number;
}

/** How long a worker works without looking up. */
const SLICE_SECONDS = 1;
/** How often a search is put down while it goes on. */
const CHECKPOINT_SECONDS = 30;
/** Parts of a search for each worker and shard: the more, the better they even out. */
const PARTS_EACH = 8;

export async function conduct(plan: Plan, io: Io): Promise<Conducted> {
  const { workers, shard, from, putDown } = plan;
  const isSimple = workers === 1 && shard === null && from === null && putDown === null;
  return isSimple ? conductAlone(plan, io) : conductParts(plan, io);
}

/** In this thread, in one go. */
async function conductAlone({ source, options, seconds, executions }: Plan, io: Io): Promise<Conducted> {
  const stop = new Stop(io);
  const progress = new Progress(io);
  const search = openSearch(programOf(source), options);
  let more = true;
  let left = executions;
  let lookUp = 0.1;
  while (more && left > 0 && !stop.isWanted && progress.seconds < seconds) {
    const stride = Math.min(left, STRIDE);
    more = search.advance(stride);
    left -= stride;
    if (progress.seconds < lookUp) continue;
    const { counts } = search.tally;
    progress.tell(counts.executions, counts.depth, search.progress);
    lookUp = progress.seconds + 0.1;
    await breathe();
  }
  const spent = progress.seconds;
  stop.forget();
  return { tally: search.tally, complete: !more, promise: search.promise, seconds: spent };
}

/** Executions between two looks at the clock. */
const STRIDE = 64;

/** Part by part: among several threads, for one of several machines, or so that it can be put down. */
async function conductParts(plan: Plan, io: Io): Promise<Conducted> {
  const stop = new Stop(io);
  const progress = new Progress(io);
  const crew = hire(plan.workers);
  let avoid = plan.avoid;
  try {
    for (let from = plan.from; ; from = null) {
      const parts = from?.parts ?? cutParts(plan, avoid);
      const round = new Round(plan, parts, from?.tally ?? NOTHING, from?.seconds ?? 0, progress);
      await round.run(crew, stop);
      if (round.changed.length === 0) return round.result;
      avoid = [...avoid, ...round.changed];
      if (plan.shard !== null) {
        const names = avoid.map(({ pid, nth }) => `${pid}.${nth}`).join();
        throw new UsageError(`the search cannot be cut like this; run every shard again with --avoid ${names}`);
      }
      // What was explored may be missing something: cut elsewhere and begin again.
    }
  } finally {
    stop.forget();
    await crew.dismiss();
  }
}

function cutParts({ source, options, workers, shard }: Plan, avoid: readonly EventName[]): PartState[] {
  const each = workers === 1 && shard === null ? 1 : PARTS_EACH;
  const all = cut(programOf(source), workers * (shard?.n ?? 1) * each, driverOptions(options), avoid);
  return all
    .filter((_, number) => shard === null || number % shard.n === shard.i - 1)
    .map((share) => ({ share, saved: null, isDone: false }));
}

/** One attempt at all parts. */
class Round {
  changed: readonly EventName[] = [];
  readonly #plan: Plan;
  readonly #parts: PartState[];
  readonly #progress: Progress;
  readonly #earlier: number;
  readonly #shares: number[];
  #tally: Tally;
  #left: number;
  #nextCheckpoint = CHECKPOINT_SECONDS;

  constructor(plan: Plan, parts: readonly PartState[], tally: Tally, earlier: number, progress: Progress) {
    this.#plan = plan;
    this.#parts = [...parts];
    this.#shares = parts.map(({ isDone }) => (isDone ? 1 : 0));
    this.#tally = tally;
    this.#earlier = earlier;
    this.#progress = progress;
    this.#left = plan.executions;
  }

  get result(): Conducted {
    const complete = this.#parts.every(({ isDone }) => isDone);
    return { tally: this.#tally, complete, promise: null, seconds: this.#earlier + this.#progress.seconds };
  }

  async run(crew: Crew, stop: Stop): Promise<void> {
    const waiting = [...this.#parts.keys()].filter((i) => !this.#parts[i].isDone);
    const isOver = (): boolean =>
      stop.isWanted || this.#left <= 0 || this.#progress.seconds >= this.#plan.seconds || this.changed.length > 0;
    const helper = async (): Promise<void> => {
      for (let i = waiting.shift(); i !== undefined && !isOver(); i = waiting.shift()) {
        await this.#slice(i, crew);
        if (!this.#parts[i].isDone) waiting.unshift(i);
        this.#putDownIfTime();
      }
    };
    await Promise.all(Array.from({ length: crew.size }, helper));
    if (!this.result.complete && this.changed.length === 0) this.#plan.putDown?.(this.#state);
  }

  async #slice(i: number, crew: Crew): Promise<void> {
    const { source, options, seconds } = this.#plan;
    const { share, saved } = this.#parts[i];
    const result = await crew.run({
      source,
      options,
      share,
      saved,
      seconds: Math.min(SLICE_SECONDS, Math.max(seconds - this.#progress.seconds, 0.01)),
      executions: Math.ceil(this.#left / crew.size),
    });
    if (result.changed.length > 0) this.changed = result.changed;
    this.#parts[i] = { share, saved: result.saved, isDone: result.saved === null };
    this.#tally = addTallies(this.#tally, result.tally);
    this.#left -= result.tally.counts.executions;
    this.#shares[i] = result.progress;
    const { counts } = this.#tally;
    const done = this.#shares.reduce((sum, share) => sum + share, 0) / this.#shares.length;
    this.#progress.tell(counts.executions, counts.depth, done);
  }

  #putDownIfTime(): void {
    if (this.#progress.seconds < this.#nextCheckpoint) return;
    this.#plan.putDown?.(this.#state);
    this.#nextCheckpoint = this.#progress.seconds + CHECKPOINT_SECONDS;
  }

  get #state(): State {
    return { parts: this.#parts, tally: this.#tally, seconds: this.#earlier + this.#progress.seconds };
  }
}

/** Does the user want it to end? */
class Stop {
  isWanted = false;
  readonly forget: () => void;

  constructor(io: Io) {
    this.forget = io.onInterrupt(() => {
      this.isWanted = true;
    });
  }
}

function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
