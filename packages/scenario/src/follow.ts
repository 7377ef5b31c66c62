// Follows a recording: of the tasks that can run, the one goes on whose next lock event comes first in the
// recording. What the model does is compared with the recording as it happens, and a run that has left it is
// abandoned.
//
// The recording orders lock events only, and a long one only its first and last ones. Where a task could also have gone
// on for a while, or a disk request could have been over already, a plan says whether that is so: that is what is
// searched. What the next event of the recording tells is not: whether the clock has ticked, and what a look at the
// dirty throttle finds. And what each thread is to find in the page cache tells mostly who has to go on first.

import type * as fs from "@faultline/fs";
import { type Chooser, type Pfn, STOP, type Task, type Tracer, WaitChannel, wholeOf } from "@faultline/kernel";
import { Burst } from "./burst.ts";
import { ChargeForesight } from "./charge-foresight.ts";
import type { Circumstances } from "./circumstances.ts";
import { DropForesight } from "./drop-foresight.ts";
import type { Expectation } from "./expectation.ts";
import type { ExtentChooser } from "./extents.ts";
import { Foresight, type Outlook } from "./foresight.ts";
import type { Names } from "./maps.ts";
import type { Call } from "./ops.ts";
import { Overtaking } from "./overtaking.ts";
import type { ChoiceKind, Ending, Plan } from "./plan.ts";
import { comesBeforeMerged, type Progress } from "./progress.ts";
import type { OpResult } from "./result.ts";
import type { OpPlace, RunObserver } from "./run.ts";
import { RunComparison } from "./run-comparison.ts";
import { StepLog, type Suspect } from "./step-log.ts";
import { ThrottleReader } from "./throttle-reader.ts";

/** What a failure has most to do with. */
const ABOUT: readonly (readonly [RegExp, ChoiceKind])[] = [
  [/balance_dirty|(fault_in_(?:readable|safe_w) \S+ \d+ )(\d+)\b.* instead of \1(?!\2\b)/, "throttle"],
  [/: another /, "quiet"],
];

/** The bytes of a file or of memory are not those that they are to be. */
const OTHER_BYTES = /: another sum$/;

/** So many choices are looked at before the others. */
const MOST_SUSPECTS = 16;

/** Who sleeps is woken by one of the next timers, or by none of them: some come again for ever. */
const MOST_TIMERS = 8;

export class Follower implements Chooser, RunObserver {
  readonly preemptive = true;
  readonly interrupts = true;
  readonly #expectation: Expectation;
  readonly #plan: Plan;
  readonly #circumstances: Circumstances;
  readonly #throttle: ThrottleReader;
  readonly #extents: ExtentChooser;
  readonly #comparison: RunComparison;
  readonly #burst = new Burst();
  readonly #overtaking: Overtaking;
  readonly #steps: StepLog;
  #foresight: Foresight | null = null;
  #charges: ChargeForesight | null = null;
  #drops: DropForesight | null = null;
  /** An operation has begun or ended since somebody was picked. */
  #border = false;
  /** Whether threads can be charged with what they are to be charged with was asked when the first of them committed. */
  #asked = false;
  /** Dinodes in the journal when somebody was picked the last time. */
  #journaled = 0;
  /** Since somebody was picked. */
  #timersInARow = 0;

  constructor(expectation: Expectation, plan: Plan, circumstances: Circumstances, extents: ExtentChooser) {
    this.#expectation = expectation;
    this.#circumstances = circumstances;
    this.#plan = plan;
    this.#extents = extents;
    this.#throttle = new ThrottleReader(plan, circumstances);
    this.#comparison = new RunComparison(expectation, circumstances, this.#throttle, this.#burst);
    this.#overtaking = new Overtaking(expectation, this.#comparison, circumstances.precedence);
    this.#steps = new StepLog(this.#overtaking);
  }

  begin(tracer: Tracer, names: Names): void {
    this.#foresight = new Foresight(this.#expectation, names);
    this.#charges = new ChargeForesight(this.#expectation, (ino) => names.fileOf(ino));
    this.#drops = new DropForesight(this.#expectation, names, this.#foresight);
    this.#comparison.begin(tracer, names);
    this.#overtaking.begin(names);
  }

  opStarts(at: OpPlace, task: fs.FsTask): void {
    task.world.accesses = this.#steps;
    this.#border = true;
    this.#comparison.opStarts(at, task);
    this.#overtaking.opStarts(task);
  }

  callStarts(call: Call, task: fs.FsTask): void {
    this.#comparison.callStarts(call, task);
  }

  opEnds(at: OpPlace, result: OpResult): void {
    this.#border = true;
    this.#comparison.opEnds(at, result);
    const lane = this.#comparison.current();
    if (lane !== undefined && OTHER_BYTES.test(this.failure ?? "")) this.#overtaking.learn(at, result, lane);
  }

  pickTask(runnable: readonly Task[]): number {
    this.#timersInARow = 0;
    if (!this.#comparison.hasBegun) return 0;
    this.#comparison.look();
    if (this.#comparison.failure !== null) return STOP;
    this.#lookAtJournal();
    const burst = this.#burst.goOn(runnable);
    if (burst >= 0) return burst;
    // Threads that have not begun come to their first operation.
    const fresh = runnable.findIndex((task) => !task.daemon && this.#comparison.laneOf(task.pid) === undefined);
    if (fresh >= 0) return fresh;
    // Who has done all comes to its end.
    const done = runnable.findIndex(({ pid }) => this.#comparison.laneOf(pid)?.done === true);
    if (done >= 0) return done;
    const wanted = this.#comparison.wanted();
    let first = this.#firstChoice(runnable, wanted);
    // Who is in the middle of an operation without events finishes it, if nothing speaks against it.
    const current = this.#comparison.laneOf(runnable[0].pid);
    const finishes = current?.expected === null && !this.#isAloneUnseen();
    if (finishes && !this.#opens(current)) first = 0;
    if (!this.#isAloneUnseen()) first = this.#foreseen(runnable, first);
    if (!this.#isAlone) first = this.#overtaking.instead(runnable, this.#charged(runnable, first));
    const quiet = runnable.some(({ pid }) => this.#comparison.laneOf(pid)?.expected === null);
    const others = runnable.map((_, i) => i).filter((i) => i !== first);
    const options = [
      { i: first, far: false },
      ...others.flatMap((i) =>
        runnable[i].daemon ? [{ i, far: false }] : [{ i, far: true }, ...(this.#isAlone ? [] : [{ i, far: false }])],
      ),
    ];
    const { picked, limit } = this.#plan.choose(
      quiet ? "quiet" : "task",
      this.#where(runnable),
      options.length,
      this.#border,
      options.map((option) => runnable[option.i].pid),
    );
    this.#border = false;
    this.#steps.chosen(this.#plan.choices - 1);
    const { i, far } = options[picked];
    if (i !== first) this.#burst.begin(runnable[i], far ? limit - 1 : 0);
    return i;
  }

  choose(choice: string, _count: number, about = ""): number {
    if (choice === "extent") return this.#extents.choose(choice);
    const yields = this.#yields(choice, about);
    if (yields !== null) return yields ? 1 : 0;
    if (choice === "interruption") return this.#isInterrupted(about) ? 1 : 0;
    if (choice === "debt") {
      this.#throttle.left = Number(about);
      return this.#circumstances.debt;
    }
    if (!this.#comparison.hasBegun) return 0;
    this.#comparison.look();
    if (this.#comparison.failure !== null) return 0;
    if (choice === "tick") return this.#ticks() ? 1 : 0;
    if (choice === "exit") return this.#comparison.current()?.processor ?? 0;
    if (choice === "throttle") return this.#throttles();
    // Of threads more is open than can be searched.
    if (choice === "interrupt") return this.#isAlone ? this.#plan.choose("time", this.#where([]), 2).picked : 0;
    if (choice !== "timer" || this.#burst.isOn) return 0;
    const task = this.#comparison.wanted()?.task;
    if ((task !== undefined && sleeps(task)) || this.#waitsForSleepers()) return 1;
    return this.#plan.choose("time", this.#where([]), 2).picked;
  }

  /** Has a lane that could go on to let another one go first, and do all the others sleep? */
  #waitsForSleepers(): boolean {
    const lanes = [...this.#comparison.lanes];
    const interrupted = lanes.find(({ interruptedAt }) => interruptedAt !== null);
    if (interrupted === undefined || this.#foresight?.outlook(interrupted).outlook !== "later") return false;
    return lanes.every((lane) => lane === interrupted || sleeps(lane.task)) && this.#timersInARow++ < MOST_TIMERS;
  }

  /**
   * Who is to go on: whoever's turn it is; if that one sleeps, whom it waits for. The disk and other workers do
   * nothing before somebody waits for them, as long as it shows.
   */
  #firstChoice(runnable: readonly Task[], wanted: Progress | undefined): number {
    const busy = runnable.findIndex((task) => !task.daemon);
    if (wanted === undefined) {
      const disk = this.#isAloneUnseen() ? runnable.findIndex((task) => task.daemon) : -1;
      return Math.max(0, disk >= 0 ? disk : busy);
    }
    const itself = runnable.indexOf(wanted.task);
    if (itself >= 0) return itself;
    const channel = wanted.task.sleepingOn;
    const holders = channel instanceof WaitChannel ? channel.holders(wanted.task) : [];
    const holder = runnable.findIndex((task) => holders.includes(task));
    if (holder >= 0) return holder;
    const disk = this.#isAlone ? -1 : this.#diskOf(runnable, wanted);
    return disk >= 0
      ? disk
      : Math.max(
          0,
          runnable.findIndex((one) => one.daemon),
        );
  }

  /** The disk that has the pages that the lane waits for. */
  #diskOf(runnable: readonly Task[], lane: Progress): number {
    const file = this.#foresight?.readsFrom(lane) ?? this.#drops?.fileOf(lane);
    return runnable.findIndex(({ daemon, comm }) => daemon && comm === `disk /${file}`);
  }

  /** Who is to go on by what the next event of each lane says of the page cache. */
  #foreseen(runnable: readonly Task[], first: number): number {
    const foresight = this.#foresight as Foresight;
    const lanes = runnable.map(({ pid }) => this.#comparison.laneOf(pid));
    const outlooks = lanes.map((lane) => {
      if (lane === undefined) return null;
      return foresight.asksTooEarly(lane, this.#comparison.lanes) ? "later" : this.#outlook(lane);
    });
    const worker = runnable.findIndex(({ daemon, comm }) => daemon && comm.startsWith("glock_workqueue"));
    const lane = lanes[first];
    if (worker >= 0 && lane !== undefined && foresight.comesAfterWorker(lane)) return worker;
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
    const charges = this.#charges as ChargeForesight;
    const lane = this.#comparison.laneOf(runnable[first].pid);
    if (lane === undefined || this.#opens(lane) || !charges.mayCommit(lane)) return first;
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
    const pages = this.#charges?.missing(lanes, progress.lane) ?? 0;
    if (pages === 0 || !this.#circumstances.learnDebt(pages, progress.lane, progress.op, progress.got.length)) return;
    this.#throttle.learned = true;
    this.#comparison.fail(progress, `${pages} pages more are charged to it`);
  }

  /** Is the lane still to open a file in an operation that shows nothing else? */
  #opens(lane: Progress): boolean {
    return lane.unlocks > 0 && this.#comparison.nextMerged(lane) !== undefined;
  }

  /** What is known of whether a lane is to go on now; null: it can, as far as others do not come before it. */
  #outlook(lane: Progress): Outlook | null {
    const lanes = [...this.#comparison.lanes];
    const others = lanes.filter((other) => other !== lane);
    if (lane.call !== null || lane.idle) return (this.#drops as DropForesight).outlook(lane, lanes);
    const { outlook, goesOn, need } = (this.#foresight as Foresight).outlook(lane);
    if (
      outlook === "never" &&
      need !== null &&
      (this.#drops as DropForesight).isDropped(need.file, need.page, others)
    ) {
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

  /** Is there only one task, and the disk? */
  get #isAlone(): boolean {
    return this.#expectation.scenario.threads.length === 0;
  }

  /** Is the only task between operations, or where the recording shows nothing? The disk goes on meanwhile. */
  #isAloneUnseen(): boolean {
    const progress = this.#comparison.first;
    if (!this.#isAlone || progress === undefined) return false;
    const { expected, got } = progress;
    return expected === null || (expected.cut && got.length >= expected.events.length);
  }

  /** How far everybody has come, and who can go on. */
  #where(runnable: readonly Task[]): string {
    let where = "";
    for (const { lane, op, got, merged } of this.#comparison.lanes) where += `${lane}:${op}.${got.length}.${merged} `;
    for (const { pid } of runnable) where += `${pid},`;
    return where;
  }

  /** Who commits the journal is charged with what is in it: was that the latest choice's doing? */
  #lookAtJournal(): void {
    for (const { task } of this.#comparison.lanes) {
      const { size } = task.root.journaled;
      if (size < this.#journaled) {
        this.#plan.relabel("commit");
        this.#asked = true;
      }
      this.#journaled = size;
    }
  }

  /** Where the run left the recording, in words; null while it has not. */
  get failure(): string | null {
    return this.#comparison.failure;
  }

  /** Did it leave the recording because of a circumstance that is known now? */
  get learned(): boolean {
    return this.#throttle.learned || this.#overtaking.learned;
  }

  /** How a run ended that has left the recording. */
  get ending(): Ending {
    const { failure, failedAt, matched } = this.#comparison;
    const about = ABOUT.find(([pattern]) => pattern.test(failure ?? ""))?.[1] ?? "task";
    return {
      matched,
      tooFar: this.#burst.steps,
      about,
      failure: `${failure} at ${failedAt}`,
      suspects: OTHER_BYTES.test(failure ?? "") ? this.#races() : this.#steps.suspects(MOST_SUSPECTS),
    };
  }

  /** Who may have come too early to the bytes of a page. */
  #races(): Suspect[] {
    const [lane] = this.#comparison.lanes;
    const bytes = lane === undefined ? null : wholeOf(lane.task.mm.mem.bytesId(0 as Pfn));
    return bytes === null ? [] : this.#steps.races(bytes.object);
  }

  /** Has the running task to find that the clock has ticked? */
  #ticks(): boolean {
    const progress = this.#comparison.current();
    if (progress === undefined) return false;
    const { updates, got } = progress;
    const at = updates.indexOf(got.length);
    if (at >= 0) updates.splice(at, 1);
    return at >= 0;
  }

  /** Does somebody else add the next page before the running task does? `about`: its file and place, and the pages in hand. */
  #isInterrupted(about: string): boolean {
    if (!this.#comparison.hasBegun || this.#comparison.failure !== null) return false;
    this.#comparison.look();
    const progress = this.#comparison.current();
    const [ino, page, inHand] = about.split(" ").map(Number);
    if (progress === undefined || !(this.#foresight as Foresight).isAddedByOther(progress, page, inHand)) return false;
    progress.interruptedAt = { ino, page };
    return true;
  }

  /** Does the running task let another one go on where that one would be too late afterwards? Null: it is about something else. */
  #yields(choice: string, about: string): boolean | null {
    const ino = Number(about);
    switch (choice) {
      case "unmarked":
        return this.#isTrueOfOther((lane, foresight) => foresight.findsUnmarked(lane, ino));
      // Who was interrupted within its batch may send it before the running task sends its own.
      case "request":
        return this.#isTrueOfOther(({ interruptedAt }) => interruptedAt !== null);
      default:
        return null;
    }
  }

  /** Is this so of a lane that is not running? */
  #isTrueOfOther(of: (lane: Progress, foresight: Foresight) => boolean): boolean {
    if (!this.#comparison.hasBegun || this.#comparison.failure !== null) return false;
    this.#comparison.look();
    const current = this.#comparison.current();
    const foresight = this.#foresight as Foresight;
    return [...this.#comparison.lanes].some((lane) => lane !== current && of(lane, foresight));
  }

  /** What timing has to do with the running task's look at the throttle. */
  #throttles(): number {
    const progress = this.#comparison.current();
    if (progress === undefined) return 0;
    const found = this.#throttle.look(progress);
    const { unexplained } = this.#throttle;
    if (unexplained !== null)
      this.#comparison.fail(progress, `${unexplained} pages are charged that nobody has left over`);
    return found;
  }
}

function sleeps(task: Task): boolean {
  return task.sleepingOn !== null && !task.sleepingOn.isReady(task);
}
