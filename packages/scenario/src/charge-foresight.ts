// Who has to commit the journal: its dinodes are charged to that task, and the recording shows later how many pages each
// thread was charged with. So a thread that cannot be charged with them lets another one go first.

import { PAGE_SIZE } from "@faultline/kernel";
import { chargeLedger, type Entry, type Phase } from "./charge-ledger.ts";
import type { Expectation } from "./expectation.ts";
import type { Progress } from "./progress.ts";

/** A window is never smaller than this, however little is left. */
const LEAST_WINDOW = 8;
/** And never larger. */
const MOST_WINDOW = (1024 * 1024) / PAGE_SIZE;

/** So many pages are charged to a thread, at least and at most, of so many that it may dirty. */
interface Account {
  readonly least: number;
  readonly most: number;
  readonly pause: number;
  /** Pages that others have left over and that it may still be charged with. */
  readonly leaks: number;
}

/** The dinodes in the journal; null when anything may be in it. */
type Journal = ReadonlySet<string> | null;

/** How far all lanes have come; `starts`: at which operation each of them goes on. */
interface Situation {
  readonly phase: number;
  readonly leaky: boolean;
  readonly starts: readonly number[];
  readonly accounts: readonly Account[];
  readonly journal: ReadonlySet<string>;
}

export class ChargeForesight {
  readonly #phases: readonly Phase[];
  readonly #files: number;
  readonly #fileOf: (ino: number) => string | undefined;
  /** What was worked out before, by what was known. */
  readonly #known = new Map<string, readonly number[]>();
  /** The allowance that a task gets. */
  #allowance = 0;
  /** May others be charged with what threads leave over when they end? */
  #leaky = false;

  constructor(expectation: Expectation, fileOf: (ino: number) => string | undefined) {
    this.#phases = chargeLedger(expectation);
    this.#files = expectation.scenario.files.length;
    this.#fileOf = fileOf;
  }

  /** Is the lane in an operation that is to commit the journal, and has not yet? */
  mayCommit(progress: Progress): boolean {
    if (progress.lane >= this.#lanes) return false;
    const journal = this.#journal(progress);
    return this.#entries(progress).some((entry) => entry.kind === "commit" && journal.has(entry.file));
  }

  /**
   * The lanes of which one is to commit what is in the journal now, so that everything that is recorded later can be
   * explained. Empty when none of them can; null when nothing is known. `leaky`: what threads leave over when they end
   * may be charged to others.
   */
  committers(lanes: readonly Progress[], leaky: boolean): readonly number[] | null {
    const now = this.#situation(lanes, leaky);
    if (now === null) return null;
    const key = [
      leaky,
      ...now.journal,
      ...now.starts,
      ...now.accounts.flatMap((account) => Object.values(account)),
    ].join();
    const known = this.#known.get(key) ?? this.#explain(now);
    this.#known.set(key, known);
    return known;
  }

  /**
   * So many pages more, or fewer, may have been charged to this lane, as few as possible: then everything that is recorded
   * later can be explained. 0 if that is so as it is, or cannot be.
   */
  missing(lanes: readonly Progress[], lane: number): number {
    const now = this.#situation(lanes, false);
    if (now === null || this.#explain(now).length > 0) return 0;
    const { least, pause } = now.accounts[lane];
    const possible: number[] = [];
    for (let pages = 0; pages < pause; pages++) {
      const accounts = now.accounts.with(lane, { ...now.accounts[lane], least: pages, most: pages });
      if (this.#explain({ ...now, accounts }).length > 0) possible.push(pages - least);
    }
    return possible.reduce((best, pages) => (Math.abs(pages) < Math.abs(best) ? pages : best), possible[0] ?? 0);
  }

  /** How far all lanes have come; null when one of them has not come to the same phase, or is in the middle of something. */
  #situation(lanes: readonly Progress[], leaky: boolean): Situation | null {
    const progresses = lanes.filter(({ lane }) => lane < this.#lanes).sort((one, other) => one.lane - other.lane);
    if (progresses.length < this.#lanes) return null;
    const phase = Math.max(...progresses.map((progress) => this.#phaseOf(progress)));
    for (const progress of progresses) {
      if (!progress.done && (this.#phaseOf(progress) < phase || this.#isInTheMiddle(progress))) return null;
    }
    const { dirty } = progresses[0].task.root;
    this.#allowance = dirty.allowance;
    const leaks = dirty.leaks.reduce((sum, pages) => sum + pages, 0);
    return {
      phase,
      leaky,
      starts: progresses.map(({ done, op }) => (done ? FAR : op)),
      accounts: progresses.map(({ task: { nrDirtied, nrDirtiedPause } }) => ({
        least: nrDirtied,
        most: nrDirtied,
        pause: nrDirtiedPause,
        leaks,
      })),
      journal: this.#journal(progresses[0]),
    };
  }

  get #lanes(): number {
    return this.#phases[0]?.ops.length ?? 0;
  }

  #journal({ task }: Progress): ReadonlySet<string> {
    return new Set([...task.root.journaled].map(({ ino }) => this.#fileOf(ino) ?? ""));
  }

  #phaseOf({ lane, op }: Progress): number {
    return this.#phases.findLastIndex(({ first }) => first[lane] <= op);
  }

  #entries(progress: Progress): readonly Entry[] {
    const { first, ops } = this.#phases[this.#phaseOf(progress)];
    return ops[progress.lane][progress.op - first[progress.lane]] ?? [];
  }

  /** Has the lane done a part of an operation that matters here? */
  #isInTheMiddle(progress: Progress): boolean {
    return this.#entries(progress).some(({ kind }) => kind !== "commit");
  }

  /** Which lanes can commit the journal in this phase, if each lane goes on from its operation in `starts`? */
  #explain({ phase, leaky, starts, accounts, journal }: Situation): number[] {
    this.#leaky = leaky;
    const { first, ops } = this.#phases[phase];
    const lists = ops.map((list, lane) => list.slice(Math.max(0, starts[lane] - first[lane])).flat());
    return this.#options(lists, journal).filter((lane) => {
      const after = this.#pass(phase, lists, accounts, journal, lane);
      return after !== null && this.#canGoOn(phase + 1, after.accounts, after.journal);
    });
  }

  /** Can all that is recorded from this phase on be explained? */
  #canGoOn(phase: number, accounts: readonly Account[], journal: Journal): boolean {
    if (phase === this.#phases.length) return true;
    const lists = this.#phases[phase].ops.map((list) => list.flat());
    return this.#options(lists, journal).some((lane) => {
      const after = this.#pass(phase, lists, accounts, journal, lane);
      return after !== null && this.#canGoOn(phase + 1, after.accounts, after.journal);
    });
  }

  /** The lanes of which one will commit the journal; one that is none if nobody will, or nothing is known of it. */
  #options(lists: readonly (readonly Entry[])[], journal: Journal): number[] {
    if (journal === null || isMixed(lists)) return [NOBODY];
    const lanes = [...lists.keys()].filter((lane) =>
      lists[lane].some((entry) => entry.kind === "commit" && journal.has(entry.file)),
    );
    return lanes.length === 0 ? [NOBODY] : lanes;
  }

  /** What all lanes are charged with after a phase in which this one commits; null if that is not what is recorded. */
  #pass(
    phase: number,
    lists: readonly (readonly Entry[])[],
    accounts: readonly Account[],
    journal: Journal,
    committer: number,
  ): { accounts: Account[]; journal: Journal } | null {
    const mixed = isMixed(lists);
    const unsure = journal === null || mixed || lists.some((list) => list.some(({ kind }) => kind === "unknown"));
    const after: Account[] = [];
    for (const [lane, list] of lists.entries()) {
      // Who ends leaves over what others are charged with.
      const leaky = this.#leaky && this.#phases.slice(0, phase + 1).some(({ ops }, at) => this.#ends(at, ops, lane));
      let charged = lane !== committer;
      let account: Account | null = accounts[lane];
      for (const entry of list) {
        let next: Account | null = account;
        if (entry.kind === "commit") {
          if (unsure) next = { ...account, most: account.most + this.#files };
          else if (!charged && journal.has(entry.file)) {
            charged = true;
            next = { ...account, least: account.least + journal.size, most: account.most + journal.size };
          }
        } else {
          next = this.#enter(account, entry, leaky);
        }
        if (next === null) return null;
        account = next;
      }
      after[lane] = account;
    }
    if (unsure) return { accounts: after, journal: null };
    const updates = lists.flat().flatMap((entry) => (entry.kind === "update" ? [entry.file] : []));
    return { accounts: after, journal: new Set([...(committer === NOBODY ? journal : []), ...updates]) };
  }

  /** Does a lane other than this one come to its end in the phase? */
  #ends(phase: number, ops: Phase["ops"], lane: number): boolean {
    return ops.some(
      (list, other) =>
        other !== lane &&
        list.length > 0 &&
        this.#phases.slice(phase + 1).every((later) => later.ops[other].length === 0),
    );
  }

  /** Enter what an operation does or shows. Returns: null if it cannot be so. */
  #enter(account: Account, entry: Entry, leaky: boolean): Account | null {
    const { pause, leaks } = account;
    let { least, most } = account;
    switch (entry.kind) {
      case "page":
        return { ...account, least: least + (entry.sure ? 1 : 0), most: most + 1 };
      case "unknown":
        return { ...account, most: FAR };
      case "window": {
        const left = pause - entry.pages;
        if (entry.pages < LEAST_WINDOW || entry.pages >= MOST_WINDOW) return account;
        if (entry.pages > LEAST_WINDOW) most = Math.min(most, left);
        if (!entry.least) least = Math.max(least, left);
        return least > most ? null : { ...account, least, most };
      }
      case "look":
        // Who does not come to the end of its allowance has taken all that was left over where it looked.
        most = Math.min(leaky ? FAR : most + leaks, pause - 1);
        return least > most ? null : { ...account, least, most, leaks: 0 };
      case "balance":
        most = leaky ? FAR : most + leaks;
        return entry.pages < least || entry.pages > most ? null : { least: 0, most: 0, pause: this.#allowance, leaks };
      default:
        return account;
    }
  }
}

const FAR = Number.POSITIVE_INFINITY;
const NOBODY = -1;

/** Do several lanes come to the journal of which one also changes something? Who comes first is not known then. */
function isMixed(lists: readonly (readonly Entry[])[]): boolean {
  const commits = lists.some((list) => list.some(({ kind }) => kind === "commit"));
  return commits && lists.some((list) => list.some(({ kind }) => kind === "update" || kind === "unknown"));
}
