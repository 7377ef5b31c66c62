// Follows a recording: the task goes on that the recording tells to. What the model does is compared with the recording
// as it happens, and a run that has left it is abandoned.
//
// The recording orders lock events only, and a long one only its first and last ones. Where a task could also have gone
// on for a while, or a disk request could have been over already, a plan says whether that is so: that is what is
// searched. What the next event of the recording tells is not: whether the clock has ticked, and what a look at the
// dirty throttle finds. And what each thread is to find in the page cache tells mostly who has to go on first.

import type * as fs from "@faultline/fs";
import { type Chooser, type Pfn, STOP, type Task, type Tracer, wholeOf } from "@faultline/kernel";
import { Burst } from "./burst.ts";
import type { Circumstances } from "./circumstances.ts";
import type { Expectation } from "./expectation.ts";
import type { ExtentChooser } from "./extents.ts";
import { FirstChoice } from "./first-choice.ts";
import { Foresight } from "./foresight.ts";
import type { Names } from "./maps.ts";
import type { Call } from "./ops.ts";
import { Overtaking } from "./overtaking.ts";
import type { ChoiceKind, Ending, Plan } from "./plan.ts";
import type { Progress } from "./progress.ts";
import type { OpResult } from "./result.ts";
import type { OpPlace, RunObserver } from "./run.ts";
import { RunComparison } from "./run-comparison.ts";
import { StepLog, type Suspect } from "./step-log.ts";
import { ThrottleReader } from "./throttle-reader.ts";
import { interruptedAfter } from "./torn-copy.ts";

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
  #names: Names | null = null;
  #foresight: Foresight | null = null;
  #first: FirstChoice | null = null;
  /** An operation has begun or ended since somebody was picked. */
  #border = false;
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
    const foresight = new Foresight(this.#expectation, names);
    this.#names = names;
    this.#foresight = foresight;
    this.#first = new FirstChoice(
      this.#expectation,
      this.#comparison,
      this.#circumstances,
      this.#throttle,
      names,
      foresight,
    );
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
    const { isAlone } = this.#expectation;
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
    let first = (this.#first as FirstChoice).of(runnable);
    if (!isAlone) first = this.#overtaking.instead(runnable, first);
    const quiet = runnable.some(({ pid }) => this.#comparison.laneOf(pid)?.expected === null);
    const others = runnable.map((_, i) => i).filter((i) => i !== first);
    const options = [
      { i: first, far: false },
      ...others.flatMap((i) =>
        runnable[i].daemon ? [{ i, far: false }] : [{ i, far: true }, ...(isAlone ? [] : [{ i, far: false }])],
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

  choose(choice: string, count: number, about = ""): number {
    if (choice === "extent") return this.#extents.choose(choice, count, about);
    const yields = this.#yields(choice, about);
    if (yields !== null) return yields ? 1 : 0;
    if (choice === "copy") return this.#interruptsCopy(Number(about), count);
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
    if (choice === "interrupt")
      return this.#expectation.isAlone ? this.#plan.choose("time", this.#where([]), 2).picked : 0;
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
        this.#first?.committed();
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

  /** After how many bytes do others interrupt the running task's copy, which begins at this address? */
  #interruptsCopy(address: number, bytes: number): number {
    if (!this.#comparison.hasBegun || this.#comparison.failure !== null) return 0;
    this.#comparison.look();
    const progress = this.#comparison.current();
    if (progress === undefined) return 0;
    const first = interruptedAfter(progress, this.#names as Names, address, bytes);
    progress.isInterrupted = first > 0;
    return first;
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
