// A search on paper: what it takes to go on with it later, or somewhere else, as plain data.

import type { Point } from "./driver.ts";
import type { Explorer } from "./explorer.ts";
import type { Fault } from "./finding.ts";
import type { Step } from "./step.ts";
import type { Branch } from "./wakeup-tree.ts";

export type SavedBranch = Omit<Branch, "children"> & { readonly children: readonly SavedBranch[] };

export interface SavedEvent {
  readonly step: Step;
  readonly run: readonly number[] | null;
  readonly points: readonly Point[] | null;
  readonly woken: readonly number[];
  readonly spawned: readonly number[];
  readonly crash: Fault | null;
}

/** The point before an event. */
export interface SavedPoint {
  /** Without the event itself. */
  readonly done: readonly Step[];
  readonly barred: readonly Step[];
  readonly pending: readonly SavedBranch[];
  readonly entered: number;
  readonly wide: boolean;
  readonly probed: readonly number[];
}

export interface SavedSearch {
  /** Points before this event are somebody else's to explore. */
  readonly root: number;
  /** Is there anything to explore from the end of the path, which nobody went on from? */
  readonly isFresh: boolean;
  readonly events: readonly SavedEvent[];
  /** One more than there are events. */
  readonly points: readonly SavedPoint[];
}

/** A search that has not begun. */
export const UNTOUCHED: SavedSearch = { root: 0, isFresh: true, events: [], points: [] };

/** Put down where an explorer is: between two executions, or with `isFresh` after it entered something new. */
export function save({ path }: Explorer, isFresh = false): SavedSearch {
  const { steps } = path;
  return {
    root: path.root,
    isFresh,
    events: steps.map((step, e) => ({
      step,
      run: path.runs[e],
      points: path.points[e],
      woken: path.woken[e],
      spawned: path.spawned[e],
      crash: path.crashes[e],
    })),
    points: Array.from({ length: steps.length + 1 }, (_, e) => ({
      done: e < steps.length ? path.done[e].slice(0, -1) : path.done[e].slice(),
      barred: path.barred[e].slice(),
      pending: path.pending[e].map(saveBranch),
      entered: path.entered[e],
      wide: path.wide[e],
      probed: path.probed[e].slice(),
    })),
  };
}

/** Bring a new explorer of the same program to where `saved` was put down. */
export function restore(explorer: Explorer, saved: SavedSearch): void {
  if (saved.points.length === 0) return;
  const { path, driver } = explorer;
  path.root = saved.root;
  driver.begin();
  for (const pid of driver.spawned) path.order.spawned(pid, -1);
  for (const [e, { done, barred, pending, entered, wide, probed }] of saved.points.entries()) {
    path.done[e] = [...done];
    path.barred[e] = [...barred];
    path.pending[e] = pending.map(loadBranch);
    const event = saved.events[e];
    if (event !== undefined) {
      path.runs[e] = event.run;
      path.points[e] = event.points;
      path.woken[e] = event.woken;
      path.spawned[e] = event.spawned;
      path.crashes[e] = event.crash;
      path.admit(event.step, []);
    }
    path.entered[e] = entered;
    path.wide[e] = wide;
    path.probed[e] = [...probed];
  }
  if (!saved.isFresh) explorer.resume();
}

export function saveBranch({ steps, start, end, children, relied }: Branch): SavedBranch {
  return {
    steps: steps.slice(start, end),
    start: 0,
    end: end - start,
    children: children.map(saveBranch),
    relied: relied?.slice() ?? null,
  };
}

export function loadBranch({ steps, start, end, children, relied }: SavedBranch): Branch {
  return {
    steps,
    start,
    end,
    children: children.map(loadBranch),
    relied: relied?.slice() ?? null,
  };
}
