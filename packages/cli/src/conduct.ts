// Conducts one search: in this thread, among several, or on one of several machines; with an eye on the clock
// and on whoever wants it to end.

import {
  addTallies,
  Division,
  driverOptions,
  NOTHING,
  openSearch,
  type Part,
  type Program,
  partsOf,
  type SavedDivision,
  type SearchOptions,
  type Tally,
} from "@faultline/explore";
import { type Crew, hire } from "./crew.ts";
import type { Io } from "./io.ts";
import { Progress } from "./progress.ts";
import { programOf, type Source } from "./source.ts";

export interface Plan {
  readonly source: Source;
  readonly options: SearchOptions;
  readonly workers: number;
  /** Time and executions after which the search stops, unfinished. */
  readonly seconds: number;
  readonly executions: number;
  /** Part i of n, from 1; null for the whole. */
  readonly shard: { readonly i: number; readonly n: number } | null;
  /** Where an earlier search was put down. */
  readonly from: { readonly division: SavedDivision; readonly tally: Tally; readonly seconds: number } | null;
  /** Called now and then, and at the end when the search is unfinished; null when nobody wants it. */
  readonly putDown: ((division: SavedDivision, tally: Tally, seconds: number) => void) | null;
}

export interface Conducted {
  readonly tally: Tally;
  readonly complete: boolean;
  readonly promise: string | null;
  readonly seconds: number;
}

/** How long a worker works on its own. */
const SLICE_SECONDS = 1;
/** How often a search is put down while it goes on. */
const CHECKPOINT_SECONDS = 30;
/** Parts of a search for each shard: the more, the better they even out. */
const PARTS_PER_SHARD = 16;

export async function conduct(plan: Plan, io: Io): Promise<Conducted> {
  const { options, workers, shard, from, putDown } = plan;
  const isReduced =
    (options.mode ?? "all") !== "random" &&
    options.mode !== "pct" &&
    options.preemptions === undefined &&
    options.delays === undefined &&
    options.reduction !== false;
  if (shard !== null) return conductParts(plan, shard, io);
  if (isReduced && (workers > 1 || from !== null || putDown !== null)) return conductDivision(plan, io);
  return conductAlone(plan, io);
}

/** In this thread, in one go. */
async function conductAlone({ source, options, seconds, executions }: Plan, io: Io): Promise<Conducted> {
  const stop = new Stop(io);
  const progress = new Progress(io);
  const search = openSearch(programOf(source), options);
  let more = true;
  let left = executions;
  let lookUp = 0;
  while (more && left > 0 && !stop.isWanted && progress.seconds < seconds) {
    const stride = Math.min(left, STRIDE);
    more = search.advance(stride);
    left -= stride;
    if (progress.seconds < lookUp) continue;
    lookUp = progress.seconds + 0.1;
    const { counts } = search.tally;
    progress.tell(counts.executions, counts.depth, search.progress);
    await breathe();
  }
  const spent = progress.seconds;
  stop.forget();
  return { tally: search.tally, complete: !more, promise: search.promise, seconds: spent };
}

/** Executions between two looks at the clock. */
const STRIDE = 64;

/** Among several threads, or so that it can be put down and taken up again. */
async function conductDivision(plan: Plan, io: Io): Promise<Conducted> {
  const { source, options, seconds, executions, from, putDown, workers } = plan;
  const stop = new Stop(io);
  const progress = new Progress(io);
  const program = programOf(source);
  const division = new Division(program, driverOptions(options), from?.division ?? null);
  const crew = hire(workers);
  const earlier = from?.seconds ?? 0;
  let tally = from?.tally ?? NOTHING;
  let left = executions;
  let nextCheckpoint = CHECKPOINT_SECONDS;
  const running = new Set<Promise<void>>();
  const isOver = (): boolean => stop.isWanted || left <= 0 || progress.seconds >= seconds;

  const start = (): boolean => {
    const job = division.take();
    if (job === null) return false;
    const slice = {
      source,
      options,
      saved: job.saved,
      part: null,
      seconds: Math.min(SLICE_SECONDS, Math.max(seconds - progress.seconds, 0.01)),
      executions: Math.ceil(left / crew.size),
    };
    const done = crew.run(slice).then((result) => {
      running.delete(done);
      tally = addTallies(tally, result.tally);
      left -= result.tally.counts.executions;
      division.give(job.id, result, running.size < crew.size - 1);
    });
    running.add(done);
    return true;
  };

  try {
    while (!division.isFinished) {
      while (!isOver() && running.size < crew.size && start()) {
        // Give everybody something to do.
      }
      if (running.size === 0) break;
      await Promise.race(running);
      progress.tell(tally.counts.executions, tally.counts.depth, null);
      if (putDown !== null && progress.seconds >= nextCheckpoint) {
        await Promise.all(running);
        putDown(division.save(), tally, earlier + progress.seconds);
        nextCheckpoint = progress.seconds + CHECKPOINT_SECONDS;
      }
    }
    await Promise.all(running);
  } finally {
    stop.forget();
    await crew.dismiss();
  }
  const spent = earlier + progress.seconds;
  const counts = { ...tally.counts, surprises: tally.counts.surprises + division.surprises };
  if (!division.isFinished) putDown?.(division.save(), tally, spent);
  return { tally: { ...tally, counts }, complete: division.isFinished, promise: null, seconds: spent };
}

/** One of several machines that share a search without talking to each other. */
async function conductParts(plan: Plan, shard: { readonly i: number; readonly n: number }, io: Io): Promise<Conducted> {
  const { source, options, seconds, executions } = plan;
  const stop = new Stop(io);
  const progress = new Progress(io);
  const parts = shardParts(programOf(source), options, shard);
  const crew: Crew = hire(plan.workers);
  let tally = NOTHING;
  let left = executions;
  let complete = true;
  const explorePart = async (part: Part): Promise<void> => {
    const slice = { source, options, saved: null, part, seconds: seconds - progress.seconds, executions: left };
    const result = await crew.run(slice);
    tally = addTallies(tally, result.tally);
    left -= result.tally.counts.executions;
    if (result.saved !== null) complete = false;
    progress.tell(tally.counts.executions, tally.counts.depth, 1 - parts.length / total);
  };
  const total = parts.length;
  const helper = async (): Promise<void> => {
    for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
      if (stop.isWanted || left <= 0 || progress.seconds >= seconds) complete = false;
      else await explorePart(part);
    }
  };
  try {
    await Promise.all(Array.from({ length: crew.size }, helper));
  } finally {
    stop.forget();
    await crew.dismiss();
  }
  return { tally, complete, promise: null, seconds: progress.seconds };
}

function shardParts(
  program: Program,
  options: SearchOptions,
  { i, n }: { readonly i: number; readonly n: number },
): Part[] {
  return partsOf(program, n * PARTS_PER_SHARD, driverOptions(options)).filter((_, number) => number % n === i - 1);
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
