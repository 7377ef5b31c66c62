// What each step of a run touched, so that a search knows which earlier steps what went wrong may have to do with.

import { type AccessLog, type Task, wholeOf } from "@faultline/kernel";

/** Deeds, and one bit for each deed that does not commute with it: whoever lets a lock go hinders nobody who takes it. */
export const READ = 0;
export const WRITE = 1;
const TAKE = 2;
const SHARE = 3;
const LEAVE = 4;
const CONFLICTS: readonly number[] = [
  (1 << WRITE) | (1 << TAKE) | (1 << LEAVE),
  (1 << READ) | (1 << WRITE) | (1 << TAKE) | (1 << SHARE) | (1 << LEAVE),
  (1 << READ) | (1 << WRITE) | (1 << TAKE) | (1 << SHARE),
  (1 << WRITE) | (1 << TAKE),
  (1 << READ) | (1 << WRITE),
];

interface Step {
  readonly pid: number;
  /** The number of the choice that let it happen; -1 when it was not chosen. */
  readonly choice: number;
  /** Object, deed, object, deed, ... */
  readonly accesses: number[];
}

/** A step that may have come too early, and the task that it may have had to wait for. */
export interface Suspect {
  readonly choice: number;
  readonly pid: number;
  /** It is the latest step that does not commute with it, not one that the task had made before. */
  readonly direct: boolean;
}

/** Whoever looks at the steps while they are made. */
export interface StepListener {
  stepBegins(step: number, task: Task): void;
  /** `accesses`: object, deed, object, deed, ... */
  stepEnded(step: number, accesses: readonly number[]): void;
}

export class StepLog implements AccessLog {
  readonly #listener: StepListener | null;
  readonly #steps: Step[] = [];
  #accesses: number[] = [];
  #choice = -1;

  constructor(listener: StepListener | null = null) {
    this.#listener = listener;
  }

  /** The next step happens because of this choice. */
  chosen(choice: number): void {
    this.#choice = choice;
  }

  beginStep(task: Task): void {
    if (this.#steps.length > 0) this.#listener?.stepEnded(this.#steps.length - 1, this.#accesses);
    this.#accesses = [];
    this.#steps.push({ pid: task.pid, choice: this.#choice, accesses: this.#accesses });
    this.#choice = -1;
    this.#listener?.stepBegins(this.#steps.length - 1, task);
  }

  read(object: number): void {
    this.#accesses.push(object, READ);
  }

  write(object: number): void {
    this.#accesses.push(object, WRITE);
  }

  acquire(lock: number, exclusive: boolean): void {
    this.#accesses.push(lock, exclusive ? TAKE : SHARE);
  }

  release(lock: number): void {
    this.#accesses.push(lock, LEAVE);
  }

  /**
   * The chosen steps of other tasks that the latest step does not commute with, the latest first; and then those of the
   * steps that its task had made before, as far as there are less than `most`.
   */
  suspects(most: number): Suspect[] {
    const steps = this.#steps;
    const suspects: Suspect[] = [];
    const known = new Set<number>();
    const { pid } = steps[steps.length - 1] ?? { pid: 0 };
    for (let at = steps.length - 1; at >= 0 && suspects.length < most; at--) {
      if (steps[at].pid !== pid) continue;
      const deeds = deedsOf(steps[at]);
      for (let before = at - 1; before >= 0 && suspects.length < most; before--) {
        const { choice, accesses } = steps[before];
        if (choice < 0 || steps[before].pid === pid || known.has(choice) || !conflicts(deeds, accesses)) continue;
        known.add(choice);
        suspects.push({ choice, pid, direct: at === steps.length - 1 });
      }
    }
    return suspects;
  }

  /**
   * The chosen steps that a later step of another task does not commute with because both touch a part of this object:
   * those first that came the shortest time before it.
   */
  races(object: number): Suspect[] {
    /** By part: the latest step of each task that touched it. */
    const touched = new Map<number, Map<number, number>>();
    /** By choice: how long before. */
    const nearest = new Map<number, { readonly pid: number; readonly distance: number }>();
    for (const [at, step] of this.#steps.entries()) {
      const { pid, accesses } = step;
      const deeds = deedsOf(step);
      const parts = accesses.filter((part, i) => i % 2 === 0 && wholeOf(part)?.object === object);
      for (const part of parts) {
        const before = touched.get(part) ?? new Map<number, number>();
        touched.set(part, before.set(pid, at));
        for (const other of before.values()) {
          const { choice, accesses, pid: otherPid } = this.#steps[other];
          const distance = at - other;
          if (choice < 0 || otherPid === pid || distance >= (nearest.get(choice)?.distance ?? at + 1)) continue;
          if (conflicts(deeds, accesses)) nearest.set(choice, { pid, distance });
        }
      }
    }
    return [...nearest]
      .sort(([, one], [, other]) => one.distance - other.distance)
      .map(([choice, { pid }]) => ({ choice, pid, direct: true }));
  }
}

/** By object: what does not commute with what a step did to it. */
function deedsOf({ accesses }: Step): Map<number, number> {
  const deeds = new Map<number, number>();
  for (let i = 0; i < accesses.length; i += 2) {
    deeds.set(accesses[i], (deeds.get(accesses[i]) ?? 0) | CONFLICTS[accesses[i + 1]]);
  }
  return deeds;
}

function conflicts(deeds: ReadonlyMap<number, number>, accesses: readonly number[]): boolean {
  for (let i = 0; i < accesses.length; i += 2) {
    if ((((deeds.get(accesses[i]) ?? 0) >> accesses[i + 1]) & 1) !== 0) return true;
  }
  return false;
}
