// What `faultline bench` measures. A workload says what it does and what that is compared with; the clock is
// somebody else's.

/** One row of the table: "OURS / THEIRS", and the ratio of the two that is wanted at most. */
export interface Workload {
  readonly name: string;
  readonly goal: number;
  /** Set up the world that it runs in. It is forgotten after the measurement. */
  prepare(): Timed | Counted;
}

/** Something that takes time. */
export interface Timed {
  /** How often one run does what the name says. */
  readonly times: number;
  run(): void;
  /** What it is compared with: the same done otherwise, as often; or so many nanoseconds each. */
  readonly theirs: (() => void) | number;
  /** Done before each run, and not timed. */
  reset?(): void;
  /** A fact that must hold after the runs. Returns: what is wrong, or "". */
  check?(): string;
}

/** Something that takes memory. */
export interface Counted {
  readonly unit: string;
  readonly ours: number;
  readonly theirs: number;
}

/** Make something when it is first asked for: for workloads that share a world that is dear to set up. */
export function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

export const KIB = 1024;
export const MIB: number = 1024 * KIB;
export const GIB: number = 1024 * MIB;
