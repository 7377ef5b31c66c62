// Best-first search over the points at which a run could have gone on otherwise. Each run makes its choices again
// from the start, all of them the first possibility but for a few deviations. The run that came farthest is varied
// next: by one more deviation, the latest point first, since what went wrong is usually not long ago.
//
// A point is known by what had happened by then, not by its number: a deviation holds also when something before it
// went another way.

import type { Suspect } from "./step-log.ts";

/**
 * What a choice is about. "quiet": tasks of which one is in an operation that shows nothing; "commit": tasks of which
 * one goes on to commit the journal.
 */
export type ChoiceKind = "task" | "quiet" | "commit" | "time" | "throttle";

interface Deviation {
  readonly picked: number;
  /** How far that possibility may be taken. */
  readonly limit: number;
}

type Deviations = ReadonlyMap<string, Deviation>;

interface Point {
  readonly key: string;
  kind: ChoiceKind;
  readonly count: number;
  /** Nothing that shows has happened since the point before. */
  readonly stale: boolean;
  /** An operation has begun or ended since the point before. */
  readonly border: boolean;
  /** Whom each possibility lets go on, if it is about that. */
  readonly pids: readonly number[];
}

/** How a run ended that has left the recording. */
export interface Ending {
  /** How much of the recording it had followed. */
  readonly matched: number;
  /** The latest deviation let something go on that went wrong after so many steps; 0 when it did not. */
  readonly tooFar: number;
  /** The kind of choice that has most to do with what went wrong. */
  readonly about: ChoiceKind;
  /** What went wrong, and where. */
  readonly failure: string;
  /** Choices that what went wrong may have to do with, the likeliest first. */
  readonly suspects: readonly Suspect[];
}

/** A run that was made, and how many of its neighbours were tried. */
interface Tried {
  readonly deviations: Deviations;
  readonly matched: number;
  readonly failure: string;
  /** A point and what to do there instead. */
  readonly more: Iterator<readonly [key: string, deviation: Deviation]>;
  children: number;
}

/** So much less far counts a run that ends as the one that it varies. */
const USELESS = 40;
const FAR = Number.POSITIVE_INFINITY;

export class Plan {
  #deviations: Deviations = new Map();
  #points: Point[] = [];
  /** How often each point was there in this run. */
  readonly #visits = new Map<string, number>();
  /** The point of the deviation that was made last. */
  #last = "";
  readonly #open: Tried[] = [];
  readonly #known = new Set<string>([""]);
  /** The run that the current one varies. */
  #parent: Tried | null = null;

  /** A new run begins. */
  restart(): void {
    this.#points = [];
    this.#visits.clear();
    this.#last = "";
  }

  /** How many choices there were. */
  get choices(): number {
    return this.#points.length;
  }

  /** `where`: what has happened by now; `border`: an operation has begun or ended. Returns: the possibility to take, and how far. */
  choose(kind: ChoiceKind, where: string, count: number, border = false, pids: readonly number[] = []): Deviation {
    const visits = this.#visits.get(where) ?? 0;
    this.#visits.set(where, visits + 1);
    const key = `${kind} ${where} ${visits}`;
    this.#points.push({ key, kind, count, stale: visits > 0, border, pids });
    const deviation = this.#deviations.get(key);
    if (deviation === undefined || deviation.picked >= count) return { picked: 0, limit: FAR };
    this.#last = key;
    return deviation;
  }

  /** What went on since the last choice tells more of what it was about. */
  relabel(kind: ChoiceKind): void {
    const last = this.#points[this.#points.length - 1];
    if (last !== undefined) last.kind = kind;
  }

  /** Decide on the next run. Returns: false when everything was tried. */
  next({ matched, tooFar, about, failure, suspects }: Ending): boolean {
    const deviations = this.#deviations;
    const last = deviations.get(this.#last);
    if (last !== undefined && tooFar > 1) {
      if (this.#take(deviations, this.#last, { ...last, limit: tooFar - 1 })) return true;
    } else if (tooFar === 0) {
      // A deviation after which the same went wrong was of no use, whatever else has happened.
      const parent = this.#parent;
      const useless = parent !== null && failure === parent.failure;
      const counts = useless ? Math.min(matched, parent.matched) - USELESS : matched;
      this.#open.push({
        deviations,
        matched: counts,
        failure,
        more: further(this.#points, about, suspects),
        children: 0,
      });
    }
    for (;;) {
      const best = this.#best();
      if (best === undefined) return false;
      const step = best.more.next();
      if (step.done === true) {
        this.#open.splice(this.#open.indexOf(best), 1);
      } else if (this.#take(best.deviations, ...step.value)) {
        best.children++;
        this.#parent = best;
        return true;
      }
    }
  }

  /** Plan these deviations and one more. Returns: false when that was done before. */
  #take(deviations: Deviations, key: string, deviation: Deviation): boolean {
    const planned = new Map(deviations).set(key, deviation);
    const text = [...planned]
      .map(([at, { picked, limit }]) => `${at} ${picked} ${limit}`)
      .sort()
      .join();
    if (this.#known.has(text)) return false;
    this.#known.add(text);
    this.#deviations = planned;
    return true;
  }

  #best(): Tried | undefined {
    let best: Tried | undefined;
    for (const tried of this.#open) if (best === undefined || rank(tried) > rank(best)) best = tried;
    return best;
  }
}

/** Runs that came far are worth varying, but not for ever. */
function rank({ matched, children }: Tried): number {
  return matched - children;
}

function* further(
  points: readonly Point[],
  about: ChoiceKind,
  suspects: readonly Suspect[],
): Generator<[string, Deviation], void, void> {
  const likely = about === "throttle" ? [] : suspects;
  for (let at = points.length - 1; at >= points.length - LATEST && at >= 0 && likely.length > 0; at--) {
    yield* deviationsAt(points[at]);
  }
  for (const { choice, pid, direct } of likely) if (direct) yield* deviationsAt(points[choice], pid);
  for (const kinds of ORDER[about]) {
    for (const isPlace of about === "quiet" ? [isBorder, ...PLACES] : PLACES) {
      // What the task had to do with others before is likelier than what is far.
      if (isPlace === FAR_PLACE) for (const { choice, pid } of likely) yield* deviationsAt(points[choice], pid);
      for (let at = points.length - 1; at >= 0; at--) {
        if (!kinds.includes(points[at].kind) || !isPlace(points[at], points.length - at <= NEAR)) continue;
        yield* deviationsAt(points[at]);
      }
    }
  }
}

/** All but the first possibility, those that let this task go on before the others. */
function* deviationsAt({ key, count, pids }: Point, pid = -1): Generator<[string, Deviation], void, void> {
  for (const wanted of [true, false]) {
    for (let picked = 1; picked < count; picked++) {
      if ((pids[picked] === pid) === wanted) yield [key, { picked, limit: FAR }];
    }
  }
}

type IsPlace = (point: Point, near: boolean) => boolean;

/** So many points before the end are near it. */
const NEAR = 16;
/** So many of the latest points are varied before those that the log of steps suspects. */
const LATEST = 2;
const FAR_PLACE: IsPlace = ({ stale }, near) => !near && !stale;
/** Which points to vary first: what went wrong is usually near, and because of what shows. */
const PLACES: readonly IsPlace[] = [
  ({ stale }, near) => near && !stale,
  ({ stale }, near) => near && stale,
  FAR_PLACE,
  ({ stale }, near) => !near && stale,
];
/** What an operation gives that shows nothing else depends on what had happened when it began. */
const isBorder: IsPlace = ({ border }) => border;

const RUNNING: readonly ChoiceKind[] = ["task", "time", "quiet", "commit"];
/** Which kinds of choices to vary first when something of a kind went wrong. */
const ORDER: Readonly<Record<ChoiceKind, readonly (readonly ChoiceKind[])[]>> = {
  task: [RUNNING, ["throttle"]],
  quiet: [RUNNING, ["throttle"]],
  commit: [RUNNING, ["throttle"]],
  time: [RUNNING, ["throttle"]],
  throttle: [["throttle", "commit"], ["quiet"], ["task", "time"]],
};
