// What can be explored: any program of tasks, locks and shared objects that declares its accesses.

import type { Tracer, World } from "@faultline/kernel";

/** What the environment may do in one run. */
export interface Budgets {
  /** How often each choice may turn out other than 0, by name. A choice without a budget is always 0. */
  readonly environment: Readonly<Record<string, number>>;
  /** How often all of them together may; without limit by default. */
  readonly failures?: number;
}

/** A closed program: started in a fresh world it does the same thing whenever the same choices are made. */
export interface Program {
  readonly name: string;
  /** What was explored, for certificates: a kernel revision, a version, a size. */
  readonly revision?: string;
  /** How often each choice of the environment may turn out other than 0 in one run, by name. None by default. */
  readonly environment?: Readonly<Record<string, number>>;
  /** Where its events go, for its own invariant to look at; whoever tells a run hands its world another one. */
  readonly trace?: Tracer;
  /** The same program with a bug planted in it, one bug each: whoever finds nothing must at least find these. */
  readonly mutants?: readonly Program[];
  /** Create the shared objects and spawn the tasks. Called once for every execution. */
  start(world: World): Running;
}

/** One execution of a program, looked at when no task can go on any more. */
export interface Running {
  /** What is wrong with the state in which everybody has returned, in words; null when nothing is. */
  invariant?(): string | null;
  /** The final state, for comparisons. */
  state?(): string;
}
