// Divides one search among several workers, who find together what one would find alone.
//
// A worker explores everything below one point of the tree of executions, a while at a time. When somebody is
// idle, the points from the top of a worker's part down to the first one from which something else is to be
// explored become crossings, which belong to nobody: the worker goes on below, and others enter the crossings'
// pending branches. A step into a branch that somebody is exploring is barred for those who start later.
//
// What a worker finds is to be explored from a crossing escapes from its part and comes back here.

import type { DriverOptions } from "./driver.ts";
import { Explorer } from "./explorer.ts";
import { type Escape, without } from "./path.ts";
import type { Program } from "./program.ts";
import {
  loadBranch,
  restore,
  type SavedEvent,
  type SavedPoint,
  type SavedSearch,
  save,
  saveBranch,
  UNTOUCHED,
} from "./saved.ts";
import { type Step, weakInitial } from "./step.ts";
import { type Branch, insert } from "./wakeup-tree.ts";

/** Something for a worker to do. */
export interface Job {
  readonly id: number;
  readonly saved: SavedSearch;
}

/** How far a worker came: where it is now, or null when it is done; and what it is not its part to explore. */
export interface Outcome {
  readonly saved: SavedSearch | null;
  readonly escapes: readonly Escape[];
}

interface Crossing {
  readonly parent: Crossing | null;
  /** How many events lead here. */
  readonly depth: number;
  /** The last of them; null for none. */
  readonly event: SavedEvent | null;
  readonly done: Step[];
  readonly barred: readonly Step[];
  readonly pending: Branch[];
  wide: boolean;
  /** Steps from here into what somebody explores. */
  readonly open: Step[];
}

/** What somebody has in hand or waits for somebody. */
interface Assignment {
  readonly parent: Crossing | null;
  saved: SavedSearch;
}

/** A division on paper. Crossings come after their parents, which are numbers into the list, -1 for none. */
export interface SavedDivision {
  readonly crossings: readonly SavedCrossing[];
  readonly waiting: readonly { readonly parent: number; readonly saved: SavedSearch }[];
}

type SavedCrossing = Pick<Crossing, "depth" | "event" | "done" | "barred" | "wide" | "open"> & {
  readonly parent: number;
  readonly pending: SavedPoint["pending"];
};

export class Division {
  /** Events that did not come about as foreseen while crossings were entered. */
  surprises = 0;
  readonly #program: Program;
  readonly #options: DriverOptions;
  readonly #crossings: Crossing[] = [];
  readonly #waiting: Assignment[] = [];
  readonly #inHand = new Map<number, Assignment>();
  #lastId = 0;

  constructor(program: Program, options: DriverOptions = {}, saved: SavedDivision | null = null) {
    this.#program = program;
    this.#options = options;
    if (saved === null) this.#waiting.push({ parent: null, saved: UNTOUCHED });
    else this.#load(saved);
  }

  get isFinished(): boolean {
    return this.#waiting.length === 0 && this.#inHand.size === 0 && this.#crossings.length === 0;
  }

  /** Something to do for a worker. Returns: null when there is nothing at the moment. */
  take(): Job | null {
    const assignment = this.#waiting.shift() ?? this.#enter();
    if (assignment === null) return null;
    const id = ++this.#lastId;
    this.#inHand.set(id, assignment);
    return { id, saved: assignment.saved };
  }

  /** A worker comes back. `idle`: is there another one that has nothing to do? */
  give(id: number, { saved, escapes }: Outcome, idle: boolean): void {
    const assignment = this.#inHand.get(id) as Assignment;
    this.#inHand.delete(id);
    for (const each of escapes) this.#catch(assignment.parent, each);
    if (saved === null) {
      this.#finish(assignment.parent, stepInto(assignment));
      return;
    }
    assignment.saved = saved;
    this.#waiting.push(idle ? this.#divide(assignment) : assignment);
  }

  /** Put everything down; nobody may have a job in hand. */
  save(): SavedDivision {
    const numberOf = (crossing: Crossing | null): number =>
      crossing === null ? -1 : this.#crossings.indexOf(crossing);
    return {
      crossings: this.#crossings.map((crossing) => ({
        ...crossing,
        parent: numberOf(crossing.parent),
        pending: crossing.pending.map(saveBranch),
      })),
      waiting: this.#waiting.map(({ parent, saved }) => ({ parent: numberOf(parent), saved })),
    };
  }

  #load({ crossings, waiting }: SavedDivision): void {
    for (const { parent, pending, ...crossing } of crossings) {
      this.#crossings.push({
        ...crossing,
        done: [...crossing.done],
        open: [...crossing.open],
        parent: this.#crossings[parent] ?? null,
        pending: pending.map(loadBranch),
      });
    }
    for (const { parent, saved } of waiting) this.#waiting.push({ parent: this.#crossings[parent] ?? null, saved });
  }

  /** Go into the next branch of the topmost crossing that has one. */
  #enter(): Assignment | null {
    const candidates = this.#crossings.filter(({ pending, wide }) => pending.length > 0 || wide);
    candidates.sort((a, b) => a.depth - b.depth);
    for (const crossing of candidates) {
      const explorer = new Explorer(this.#program, () => {}, this.#options);
      restore(explorer, pathTo(crossing));
      const { path } = explorer;
      path.pending[crossing.depth] = crossing.pending;
      const entered = explorer.enter();
      this.surprises += explorer.counts.surprises;
      crossing.wide = path.wide[crossing.depth];
      if (!entered) {
        this.#close(crossing);
        continue;
      }
      path.root = crossing.depth + 1;
      crossing.open.push(path.steps[crossing.depth]);
      return { parent: crossing, saved: save(explorer, true) };
    }
    return null;
  }

  /** Turn the upper points of what a worker brought back into crossings. Returns: what is left for it. */
  #divide(assignment: Assignment): Assignment {
    const { saved } = assignment;
    const { root, points, events } = saved;
    let last = root;
    while (last < events.length && points[last].pending.length === 0 && !points[last].wide) last++;
    if (last === events.length) return assignment;
    let { parent } = assignment;
    for (let depth = root; depth <= last; depth++) {
      const { done, barred, pending, wide } = points[depth];
      const crossing: Crossing = {
        parent,
        depth,
        event: events[depth - 1] ?? null,
        done: [...done],
        barred,
        pending: pending.map(loadBranch),
        wide,
        open: [events[depth].step],
      };
      this.#crossings.push(crossing);
      parent = crossing;
    }
    return { parent, saved: { ...saved, root: last + 1 } };
  }

  /** Something is to be explored from a crossing on the way to where it was found. */
  #catch(from: Crossing | null, { at, sequence }: Escape): void {
    let crossing = from;
    while (crossing !== null && crossing.depth !== at) crossing = crossing.parent;
    if (crossing === null) throw new Error(`nobody is at event ${at}`);
    const copy = [...sequence];
    let { length } = copy;
    for (const barred of crossing.barred) {
      length = without(barred, copy, length);
      if (length === 0) return;
    }
    const covers = (step: Step): boolean => weakInitial(step, copy, length) >= 0;
    if (crossing.done.some(covers) || crossing.open.some(covers)) return;
    insert(crossing.pending, copy, length);
  }

  /** Everything below a step from a crossing is explored. */
  #finish(crossing: Crossing | null, step: Step): void {
    if (crossing === null) return;
    crossing.open.splice(
      crossing.open.findIndex((each) => each.pid === step.pid && each.choices.join() === step.choices.join()),
      1,
    );
    crossing.done.push(step);
    this.#close(crossing);
  }

  /** A crossing from which nothing is left to explore is forgotten. */
  #close(crossing: Crossing): void {
    const { open, pending, wide, event, parent } = crossing;
    if (open.length > 0 || pending.length > 0 || wide) return;
    this.#crossings.splice(this.#crossings.indexOf(crossing), 1);
    if (event !== null) this.#finish(parent, event.step);
  }
}

/** The step from its crossing into what is assigned. */
function stepInto({ saved }: Assignment): Step {
  return saved.root === 0 ? NOWHERE : saved.events[saved.root - 1].step;
}

const NOWHERE: Step = { pid: -1, accesses: [], choices: [], settled: 0, asked: false };

/** A search that stands at a crossing. */
function pathTo(crossing: Crossing): SavedSearch {
  const events: SavedEvent[] = [];
  const points: SavedPoint[] = [];
  for (let at: Crossing | null = crossing; at !== null; at = at.parent) {
    if (at.event !== null) events.unshift(at.event);
    points.unshift({
      done: at.done,
      barred: at === crossing ? [...at.barred, ...at.open] : at.barred,
      pending: [],
      entered: 1,
      wide: at.wide,
      probed: [],
    });
  }
  return { root: crossing.depth, isFresh: true, events, points };
}
