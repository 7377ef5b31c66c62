// Which of the tasks that can run goes on, as far as the recording tells: the one whose next lock event comes first; but
// whoever would find or lose what it is not to find or lose waits for the others, and whoever is not to be charged with
// the commit of the journal for the one that is.

import { type Task, WaitChannel } from "@faultline/kernel";
import { ChargeForesight } from "./charge-foresight.ts";
import type { Circumstances } from "./circumstances.ts";
import { DropForesight } from "./drop-foresight.ts";
import type { Expectation } from "./expectation.ts";
import type { Foresight, Outlook } from "./foresight.ts";
import { LockForesight } from "./lock-foresight.ts";
import type { Names } from "./maps.ts";
import { comesBeforeMerged, type Progress } from "./progress.ts";
import type { RunComparison } from "./run-comparison.ts";
import type { ThrottleReader } from "./throttle-reader.ts";

export class FirstChoice {
  readonly #expectation: Expectation;
  readonly #comparison: RunComparison;
  readonly #circumstances: Circumstances;
  readonly #throttle: ThrottleReader;
  readonly #foresight: Foresight;
  readonly #charges: ChargeForesight;
  readonly #drops: DropForesight;
  readonly #locks: LockForesight;
  /** Whether threads can be charged with what they are to be charged with was asked when the first of them committed. */
  #asked = false;

  constructor(
    expectation: Expectation,
    comparison: RunComparison,
    circumstances: Circumstances,
    throttle: ThrottleReader,
    names: Names,
    foresight: Foresight,
  ) {
    this.#expectation = expectation;
    this.#comparison = comparison;
    this.#circumstances = circumstances;
    this.#throttle = throttle;
    this.#foresight = foresight;
    this.#charges = new ChargeForesight(expectation, (ino) => names.fileOf(ino));
    this.#drops = new DropForesight(expectation, names, foresight);
    this.#locks = new LockForesight(expectation);
  }

  /** Returns: the place of a task among those that can run. */
  of(runnable: readonly Task[]): number {
    const { isAloneUnseen } = this.#comparison;
    // Who is in the middle of an operation without events finishes it, if nothing speaks against it.
    const current = this.#comparison.laneOf(runnable[0].pid);
    const finishes = current?.expected === null && !isAloneUnseen && !this.#comparison.opens(current);
    const first = finishes ? 0 : this.#byTurn(runnable);
    const foreseen = isAloneUnseen ? first : this.#foreseen(runnable, first);
    return this.#expectation.isAlone ? foreseen : this.#charged(runnable, foreseen);
  }

  /** Somebody has committed the journal. */
  committed(): void {
    this.#asked = true;
  }

  /**
   * Who is to go on: whoever's turn it is; if that one sleeps, whom it waits for. The disk and other workers do
   * nothing before somebody waits for them, as long as it shows.
   */
  #byTurn(runnable: readonly Task[]): number {
    const wanted = this.#comparison.wanted();
    const busy = runnable.findIndex((task) => !task.daemon);
    if (wanted === undefined) {
      const disk = this.#comparison.isAloneUnseen ? runnable.findIndex((task) => task.daemon) : -1;
      return Math.max(0, disk >= 0 ? disk : busy);
    }
    const itself = runnable.indexOf(wanted.task);
    if (itself >= 0) return itself;
    const channel = wanted.task.sleepingOn;
    const holders = channel instanceof WaitChannel ? channel.holders(wanted.task) : [];
    const holder = runnable.findIndex((task) => holders.includes(task));
    if (holder >= 0) return holder;
    const disk = this.#expectation.isAlone ? -1 : this.#diskOf(runnable, wanted);
    return disk >= 0
      ? disk
      : Math.max(
          0,
          runnable.findIndex((one) => one.daemon),
        );
  }

  /** The disk that has the pages that the lane waits for. */
  #diskOf(runnable: readonly Task[], lane: Progress): number {
    const file = this.#foresight.readsFrom(lane) ?? this.#drops.fileOf(lane);
    return runnable.findIndex(({ daemon, comm }) => daemon && comm === `disk /${file}`);
  }

  /** Who is to go on by what the next event of each lane says of the page cache. */
  #foreseen(runnable: readonly Task[], first: number): number {
    const foresight = this.#foresight;
    const lanes = runnable.map(({ pid }) => this.#comparison.laneOf(pid));
    const outlooks = lanes.map((lane) => {
      if (lane === undefined) return null;
      return this.#locks.asksTooEarly(lane, this.#comparison.lanes) ? "later" : this.#outlook(lane);
    });
    const worker = runnable.findIndex(({ daemon, comm }) => daemon && comm.startsWith("glock_workqueue"));
    const lane = lanes[first];
    if (worker >= 0 && lane !== undefined && this.#locks.comesAfterWorker(lane)) return worker;
    if (outlooks[first] === "now") return first;
    // What one lane is to find another one may take away.
    const due = outlooks.indexOf("now");
    if (due >= 0 || outlooks[first] !== "later") return due >= 0 ? due : first;
    const own = this.#diskOf(runnable, lanes[first] as Progress);
    const disk = own >= 0 ? own : runnable.findIndex(({ daemon, comm }) => daemon && comm.startsWith("disk "));
    if (disk >= 0 && foresight.isBeingRead(lanes[first] as Progress)) return disk;
    // Whoever is to drop pages waits for what others do with them under their locks.
    const waiting = lanes[first]?.call !== null;
    const other = lanes.findIndex((lane, i) => {
      if (lane === undefined || !this.#canGoOn(lane)) return false;
      return outlooks[i] === "any" || (outlooks[i] === null && waiting);
    });
    return other >= 0 ? other : disk >= 0 ? disk : first;
  }

  /** Who is to go on by who has to commit the journal. */
  #charged(runnable: readonly Task[], first: number): number {
    const charges = this.#charges;
    const lane = this.#comparison.laneOf(runnable[first].pid);
    if (lane === undefined || this.#comparison.opens(lane) || !charges.mayCommit(lane)) return first;
    const lanes = [...this.#comparison.lanes];
    let committers = charges.committers(lanes, false);
    if (committers?.length === 0) {
      if (!this.#asked) this.#learnDebt(lanes);
      committers = charges.committers(lanes, true);
    }
    if (committers?.length !== 1 || committers[0] === lane.lane) return first;
    const committer = runnable.findIndex(({ pid }) => this.#comparison.laneOf(pid)?.lane === committers[0]);
    const worker = runnable.findIndex(({ daemon }) => daemon);
    return committer >= 0 ? committer : worker >= 0 ? worker : first;
  }

  /** What was left over by those who ended before was not as much as this run took it to be. */
  #learnDebt(lanes: readonly Progress[]): void {
    this.#asked = true;
    const there = lanes.filter(({ lane }) => this.#circumstances.processorOf(lane) === 1);
    if (there.length !== 1) return;
    const [progress] = there;
    const pages = this.#charges.missing(lanes, progress.lane) ?? 0;
    if (pages === 0 || !this.#circumstances.learnDebt(pages, progress.lane, progress.op, progress.got.length)) return;
    this.#throttle.learned = true;
    this.#comparison.fail(progress, `${pages} pages more are charged to it`);
  }

  /** What is known of whether a lane is to go on now; null: it can, as far as others do not come before it. */
  #outlook(lane: Progress): Outlook | null {
    const lanes = [...this.#comparison.lanes];
    const others = lanes.filter((other) => other !== lane);
    if (lane.call !== null || lane.idle) return this.#drops.outlook(lane, lanes);
    const { outlook, goesOn, need } = this.#foresight.outlook(lane);
    if (outlook === "never" && need !== null && this.#drops.isDropped(need.file, need.page, others)) {
      return "later";
    }
    return outlook === "now" && goesOn && !this.#comparison.hasTurn(lane) ? null : outlook;
  }

  /** Does nothing speak against it that a lane goes on before the one whose turn it is? */
  #canGoOn(lane: Progress): boolean {
    if (lane.interruptedAt !== null || lane.call !== null || comesBeforeMerged(lane)) return true;
    return this.#beginsQuietly(lane) || this.#comparison.hasTurn(lane);
  }

  /** Is the lane between two operations, and does the next one begin with something that shows in no lock? */
  #beginsQuietly({ lane, op, idle }: Progress): boolean {
    const next = this.#expectation.scenario.threads[lane]?.[op + 1];
    return idle && (next?.op === "evict" || next?.op === "madvise");
  }
}
