// A search on paper: what it takes to go on with it later, or somewhere else, as plain data.

import type { Explorer } from "./explorer.ts";
import type { Details } from "./path.ts";
import type { Step } from "./step.ts";
import type { Branch } from "./wakeup-tree.ts";

type SavedBranch = Omit<Branch, "children"> & { readonly children: readonly SavedBranch[] };

interface SavedEvent {
  readonly step: Step;
  readonly details: Details;
}

/** The point before an event. */
interface SavedPoint {
  /** Without the event itself. */
  readonly done: readonly Step[];
  readonly pending: readonly SavedBranch[];
  readonly entered: number;
}

export interface SavedSearch {
  readonly events: readonly SavedEvent[];
  /** One more than there are events. */
  readonly points: readonly SavedPoint[];
}

/** Put down where an explorer is between two executions. */
export function save({ path }: Explorer): SavedSearch {
  const { steps } = path;
  return {
    events: steps.map((step, e) => ({ step, details: path.details[e] })),
    points: Array.from({ length: steps.length + 1 }, (_, e) => ({
      done: e < steps.length ? path.done[e].slice(0, -1) : path.done[e].slice(),
      pending: (path.pending[e] ?? []).map(saveBranch),
      entered: path.entered[e],
    })),
  };
}

/** Bring a new explorer of the same program and part to where `saved` was put down. */
export function restore(explorer: Explorer, saved: SavedSearch): void {
  const { path, driver } = explorer;
  driver.begin();
  for (const pid of driver.spawned) path.order.spawned(pid, -1);
  for (const [e, { done, pending, entered }] of saved.points.entries()) {
    path.done[e] = [...done];
    path.pending[e] = pending.map(loadBranch);
    const event = saved.events[e];
    if (event !== undefined) path.admit(event.step, event.details, null);
    path.entered[e] = entered;
  }
  explorer.resume();
}

function saveBranch({ steps, start, end, children, relied }: Branch): SavedBranch {
  return {
    steps: steps.slice(start, end),
    start: 0,
    end: end - start,
    children: children.map(saveBranch),
    relied: copyOf(relied),
  };
}

function loadBranch({ steps, start, end, children, relied }: SavedBranch): Branch {
  return {
    steps,
    start,
    end,
    children: children.map(loadBranch),
    relied: copyOf(relied),
  };
}

function copyOf(relied: Branch["relied"]): Branch["relied"] {
  return relied?.map(({ first, accesses }) => ({ first, accesses: [...accesses] })) ?? null;
}
