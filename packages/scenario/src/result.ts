// What running a scenario gives, in the form of the recordings.

/** One traced event: name first, then its fields; see the format's table. */
export type RecordedEvent = readonly (string | number | readonly (readonly number[])[])[];

/** What one operation gave. */
export interface OpResult {
  readonly ret?: number;
  readonly errno?: string;
  readonly sig?: string;
  readonly pages?: string;
  readonly sum?: string;
  readonly count?: number;
  readonly resident?: number;
  readonly size?: number;
  readonly blocks?: number;
  readonly minflt?: number;
  readonly majflt?: number;
}

export interface OpTrace {
  readonly op: number;
  readonly thread?: number;
  readonly post?: boolean;
  readonly events: readonly RecordedEvent[];
  /** Kinds of events that were left out of a long trace, with counts. */
  readonly elided?: Readonly<Record<string, number>>;
}

export interface FinalFile {
  readonly size?: number;
  readonly blocks?: number;
  readonly sum?: string;
  readonly coldsum?: string;
  readonly errno?: string;
}

/** A run of a scenario, on a kernel or on the model. */
export interface Recording {
  readonly id: string;
  readonly results: readonly OpResult[];
  readonly threads?: readonly (readonly OpResult[])[];
  readonly post?: readonly OpResult[];
  readonly final?: Readonly<Record<string, FinalFile>>;
  readonly trace: readonly OpTrace[];
  /** With threads: the lock events of all of them in order, each with its thread in front. */
  readonly interleave?: readonly RecordedEvent[];
  /** First line of a kernel BUG, and the function it is in. */
  readonly oops?: string;
  readonly rip?: string;
  readonly hang?: boolean;
  readonly killable?: boolean;
  readonly died?: number;
  /** The machine stopped: the kernel's last words, and nothing else was kept. */
  readonly panic?: string;
  readonly unfinished?: boolean;
}
