// Follows a recording: of the tasks that can run, the one goes on whose next lock event comes first in the
// recording. What the model does is compared with the recording as it happens, and a run that has left it is
// abandoned.
//
// The recording orders lock events only, and a long one only its first and last ones. Where a task could also have gone
// on for a while, or a disk request could have been over already, a plan says whether that is so: that is what is
// searched. What the next event of the recording tells is not: whether the clock has ticked, and what a look at the
// dirty throttle finds. And what each thread is to find in the page cache tells mostly who has to go on first.

import type * as fs from "@faultline/fs";
import {
  type Chooser,
  type Pfn,
  STOP,
  type Task,
  type TraceEvent,
  type Tracer,
  WaitChannel,
  wholeOf,
} from "@faultline/kernel";
import type { Circumstances } from "./circumstances.ts";
import { differingFields } from "./compare.ts";
import { convertEvent, EventConverter } from "./convert.ts";
import { eventText } from "./events.ts";
import { type Expectation, isMerged, lockedFile } from "./expectation.ts";
import type { ExtentChooser } from "./extents.ts";
import { Foresight } from "./foresight.ts";
import type { Names } from "./maps.ts";
import type { OpName } from "./op.ts";
import type { ChoiceKind, Ending, Plan } from "./plan.ts";
import { comesBeforeMerged, type Progress } from "./progress.ts";
import type { OpResult, RecordedEvent } from "./result.ts";
import type { OpPlace, RunObserver } from "./run.ts";
import { StepLog, type Suspect } from "./step-log.ts";
import { ThrottleReader } from "./throttle-reader.ts";
import { isHidden, TIERS, TierFilter } from "./tier.ts";

/** A task that is let go on before its turn. */
interface Burst {
  readonly task: Task;
  left: number;
  steps: number;
}

/** What a failure has most to do with. */
const ABOUT: readonly (readonly [RegExp, ChoiceKind])[] = [
  [/balance_dirty|fault_in_(readable|safe_w) .* instead of fault_in_/, "throttle"],
  [/: another /, "quiet"],
];

/** The bytes of a file or of memory are not those that they are to be. */
const OTHER_BYTES = /: another sum$/;

/** So many choices are looked at before the others. */
const MOST_SUSPECTS = 16;

/** Who sleeps is woken by one of the next timers, or by none of them: some come again for ever. */
const MOST_TIMERS = 8;

/** Operations without events of their own that open a file, and how often that lets a lock go. */
const OPENING: ReadonlySet<OpName> = new Set(["open", "evict"]);
const UNLOCKS_OF_OPEN = 2;

export class Follower implements Chooser, RunObserver {
  readonly preemptive = true;
  readonly interrupts = true;
  /** Where the run left the recording, in words; null while it has not. */
  failure: string | null = null;
  /** How far the lane had come that left it. */
  #failedAt = "";
  /** Steps of the burst that was under way when it did. */
  tooFar = 0;
  #matched = 0;
  readonly #expectation: Expectation;
  readonly #plan: Plan;
  readonly #circumstances: Circumstances;
  readonly #throttle: ThrottleReader;
  readonly #extents: ExtentChooser;
  readonly #turns = new Map<string, number>();
  readonly #byPid = new Map<number, Progress>();
  readonly #lanes: (Progress | undefined)[] = [];
  #tracer: Tracer | null = null;
  #places: Names | null = null;
  #foresight: Foresight | null = null;
  #seen = 0;
  /** An operation has begun or ended since then. */
  #border = false;
  /** Dinodes in the journal when somebody was picked the last time. */
  #journaled = 0;
  #burst: Burst | null = null;
  /** Since somebody was picked. */
  #timersInARow = 0;
  readonly #steps = new StepLog();

  constructor(expectation: Expectation, plan: Plan, circumstances: Circumstances, extents: ExtentChooser) {
    this.#expectation = expectation;
    this.#circumstances = circumstances;
    this.#throttle = new ThrottleReader(plan, circumstances);
    this.#plan = plan;
    this.#extents = extents;
  }

  begin(tracer: Tracer, names: Names): void {
    this.#tracer = tracer;
    this.#places = names;
    this.#foresight = new Foresight(this.#expectation, names);
    this.#seen = tracer.count;
  }

  opStarts(at: OpPlace, task: fs.FsTask): void {
    this.#look();
    const { tier } = this.#expectation;
    const progress = this.#byPid.get(task.pid) ?? this.#enter(at, task);
    const expected = this.#expectation.events(at);
    progress.where = `operation ${at.op} of ${task.comm}`;
    this.#border = true;
    progress.op = at.op;
    progress.unlocks = OPENING.has(this.#expectation.op(at).op) ? UNLOCKS_OF_OPEN : 0;
    progress.expected = expected;
    progress.filter = expected === null || tier === "results" ? null : new TierFilter(tier, expected.without);
    progress.got = [];
    progress.updates = [...(expected?.updates ?? [])];
  }

  opEnds(at: OpPlace, result: OpResult): void {
    this.#look();
    const progress = this.#lanes[this.#expectation.lane(at)] as Progress;
    const { expected, got, task } = progress;
    // Who is alone is ahead of the disk until it waits for it.
    if (this.#burst?.task === task && !this.#isAlone) this.#burst = null;
    if (expected !== null && !expected.cut && got.length < expected.events.length) {
      this.#fail(progress, `${eventText(expected.events[got.length])} is missing`);
    }
    this.#checkLast(progress, true);
    this.#border = true;
    progress.expected = null;
    progress.filter = null;
    progress.done = at.thread !== undefined && at.op === this.#expectation.scenario.threads[at.thread].length - 1;
    const wanted = this.#expectation.result(at);
    if (wanted === undefined) {
      this.#fail(progress, "it returns");
      return;
    }
    for (const tier of this.#expectation.tier === "memory" ? TIERS : TIERS.slice(0, 1)) {
      const [field] = differingFields(wanted, result, this.#expectation.op(at).op, tier);
      if (field !== undefined) this.#fail(progress, `another ${field}`);
    }
    // Where the middle was cut out, the number of major faults tells how many pages were late in it.
    if (expected?.cut === true) this.#matched -= Math.abs((wanted.majflt ?? 0) - (result.majflt ?? 0));
  }

  pickTask(runnable: readonly Task[]): number {
    this.#timersInARow = 0;
    if (this.#tracer === null) return 0;
    this.#look();
    if (this.failure !== null) return STOP;
    this.#lookAtJournal();
    const burst = this.#continueBurst(runnable);
    if (burst >= 0) return burst;
    // Threads that have not begun come to their first operation.
    const fresh = runnable.findIndex((task) => !task.daemon && !this.#byPid.has(task.pid));
    if (fresh >= 0) return fresh;
    // Who has done all comes to its end.
    const done = runnable.findIndex(({ pid }) => this.#byPid.get(pid)?.done === true);
    if (done >= 0) return done;
    const wanted = this.#wanted();
    let first = this.#firstChoice(runnable, wanted);
    // Who is in the middle of an operation without events finishes it, if nothing speaks against it.
    const current = this.#byPid.get(runnable[0].pid);
    const finishes = current?.expected === null && !this.#isAloneUnseen();
    if (finishes && (current.unlocks <= 0 || this.#nextMerged(current) === undefined)) first = 0;
    if (!this.#isAloneUnseen()) first = this.#foreseen(runnable, first);
    const quiet = runnable.some(({ pid }) => this.#byPid.get(pid)?.expected === null);
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
    if (i !== first) this.#burst = { task: runnable[i], left: far ? limit - 1 : 0, steps: 1 };
    return i;
  }

  choose(choice: string, _count: number, about = ""): number {
    if (choice === "extent") return this.#extents.choose(choice);
    if (choice === "interruption") return this.#isInterrupted(about) ? 1 : 0;
    if (choice === "debt") {
      this.#throttle.left = Number(about);
      return this.#circumstances.debt;
    }
    if (this.#tracer === null) return 0;
    this.#look();
    if (this.failure !== null) return 0;
    if (choice === "tick") return this.#ticks() ? 1 : 0;
    if (choice === "exit") return this.#current()?.processor ?? 0;
    if (choice === "throttle") return this.#throttles();
    // Of threads more is open than can be searched.
    if (choice === "interrupt") return this.#isAlone ? this.#plan.choose("time", this.#where([]), 2).picked : 0;
    if (choice !== "timer" || this.#burst !== null) return 0;
    const task = this.#wanted()?.task;
    if ((task !== undefined && sleeps(task)) || this.#waitsForSleepers()) return 1;
    return this.#plan.choose("time", this.#where([]), 2).picked;
  }

  /** Has a lane that could go on to let another one go first, and do all the others sleep? */
  #waitsForSleepers(): boolean {
    const lanes = [...this.#byPid.values()];
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
    return holder >= 0
      ? holder
      : Math.max(
          0,
          runnable.findIndex((one) => one.daemon),
        );
  }

  /** Who is to go on by what the next event of each lane says of the page cache. */
  #foreseen(runnable: readonly Task[], first: number): number {
    const foresight = this.#foresight as Foresight;
    const lanes = runnable.map(({ pid }) => this.#byPid.get(pid));
    const outlooks = lanes.map((lane) => {
      if (lane === undefined) return null;
      const { outlook, goesOn } = foresight.outlook(lane);
      return outlook === "now" && goesOn && !this.#hasTurn(lane) ? null : outlook;
    });
    const worker = runnable.findIndex(({ daemon, comm }) => daemon && comm.startsWith("glock_workqueue"));
    const lane = lanes[first];
    if (worker >= 0 && lane !== undefined && foresight.comesAfterWorker(lane)) return worker;
    if (outlooks[first] === "now") return first;
    // What one lane is to find another one may take away.
    const due = outlooks.indexOf("now");
    if (due >= 0 || outlooks[first] !== "later") return due >= 0 ? due : first;
    const disk = runnable.findIndex(({ daemon, comm }) => daemon && comm.startsWith("disk "));
    if (disk >= 0 && foresight.isBeingRead(lanes[first] as Progress)) return disk;
    const other = lanes.findIndex(
      (lane, i) =>
        lane !== undefined &&
        outlooks[i] === "any" &&
        (lane.interruptedAt !== null || comesBeforeMerged(lane) || this.#hasTurn(lane)),
    );
    return other >= 0 ? other : disk >= 0 ? disk : first;
  }

  /** Does the recorded order say nothing against the lane's next lock event? */
  #hasTurn(lane: Progress): boolean {
    const position = this.#nextTurn(lane);
    if (position === undefined) return true;
    const { file, turn } = this.#expectation.merged[position];
    return file === "" || (this.#turns.get(file) ?? 0) >= turn;
  }

  /** Is there only one task, and the disk? */
  get #isAlone(): boolean {
    return this.#expectation.scenario.threads.length === 0;
  }

  /** Is the only task between operations, or where the recording shows nothing? The disk goes on meanwhile. */
  #isAloneUnseen(): boolean {
    const progress = this.#lanes[0];
    if (!this.#isAlone || progress === undefined) return false;
    const { expected, got } = progress;
    return expected === null || (expected.cut && got.length >= expected.events.length);
  }

  /** How far everybody has come, and who can go on. */
  #where(runnable: readonly Task[]): string {
    let where = "";
    for (const { lane, op, got, merged } of this.#byPid.values()) where += `${lane}:${op}.${got.length}.${merged} `;
    for (const { pid } of runnable) where += `${pid},`;
    return where;
  }

  /** Who commits the journal is charged with what is in it: was that the latest choice's doing? */
  #lookAtJournal(): void {
    for (const { task } of this.#byPid.values()) {
      const { size } = task.root.journaled;
      if (size < this.#journaled) this.#plan.relabel("commit");
      this.#journaled = size;
    }
  }

  #enter(at: OpPlace, task: fs.FsTask): Progress {
    task.world.accesses = this.#steps;
    const progress: Progress = {
      lane: this.#expectation.lane(at),
      task,
      converter: new EventConverter(this.#places as Names),
      merged: 0,
      where: "",
      op: 0,
      expected: null,
      filter: null,
      got: [],
      updates: [],
      processor: this.#circumstances.processorOf(this.#expectation.lane(at)),
      unlocks: 0,
      interruptedAt: null,
      done: false,
    };
    this.#byPid.set(task.pid, progress);
    this.#lanes[progress.lane] = progress;
    return progress;
  }

  /** The lane whose lock event comes next; undefined when none is left. */
  #wanted(): Progress | undefined {
    let best: Progress | undefined;
    let earliest = Number.POSITIVE_INFINITY;
    for (const progress of this.#byPid.values()) {
      const position = this.#nextTurn(progress);
      if (position === undefined || position >= earliest) continue;
      earliest = position;
      best = progress;
    }
    return best;
  }

  /** The position of the lane's next lock event; undefined when there are no more. */
  #nextMerged({ lane, merged }: Progress): number | undefined {
    return this.#expectation.positions[lane][merged];
  }

  /** The same, or the lock event that follows at once: a call that ends lets its lock go. */
  #nextTurn(progress: Progress): number | undefined {
    const { merged, positions } = this.#expectation;
    const position = this.#nextMerged(progress);
    const after = positions[progress.lane][progress.merged + 1];
    if (position === undefined || after === undefined) return position;
    return merged[position].text.includes(" ret ") && merged[after].text.startsWith("glock_dq") ? after : position;
  }

  #continueBurst(runnable: readonly Task[]): number {
    const burst = this.#burst;
    if (burst === null) return -1;
    const i = runnable.indexOf(burst.task);
    if (i < 0 || burst.left <= 0) {
      this.#burst = null;
      return -1;
    }
    burst.left--;
    burst.steps++;
    return i;
  }

  /** Did it leave the recording because of a circumstance that is known now? */
  get learned(): boolean {
    return this.#throttle.learned;
  }

  /** How a run ended that has left the recording. */
  get ending(): Ending {
    const { tooFar } = this;
    const about = ABOUT.find(([pattern]) => pattern.test(this.failure ?? ""))?.[1] ?? "task";
    return {
      matched: this.#matched,
      tooFar,
      about,
      failure: `${this.failure} at ${this.#failedAt}`,
      suspects: OTHER_BYTES.test(this.failure ?? "") ? this.#races() : this.#steps.suspects(MOST_SUSPECTS),
    };
  }

  /** Who may have come too early to the bytes of a page. */
  #races(): Suspect[] {
    const task = this.#lanes.find((lane) => lane !== undefined)?.task;
    const bytes = task === undefined ? null : wholeOf(task.mm.mem.bytesId(0 as Pfn));
    return bytes === null ? [] : this.#steps.races(bytes.object);
  }

  /** The lane of the running task. */
  #current(): Progress | undefined {
    for (const progress of this.#byPid.values()) if (progress.task === progress.task.world.current) return progress;
    return undefined;
  }

  /** Has the running task to find that the clock has ticked? */
  #ticks(): boolean {
    const progress = this.#current();
    if (progress === undefined) return false;
    const { updates, got } = progress;
    const at = updates.indexOf(got.length);
    if (at >= 0) updates.splice(at, 1);
    return at >= 0;
  }

  /** Does somebody else add the next page before the running task does? `about`: its file and place. */
  #isInterrupted(about: string): boolean {
    if (this.#tracer === null || this.failure !== null) return false;
    this.#look();
    const progress = this.#current();
    const [ino, page] = about.split(" ").map(Number);
    if (progress === undefined || !(this.#foresight as Foresight).endsBatch(progress, page)) return false;
    progress.interruptedAt = { ino, page };
    return true;
  }

  /** What timing has to do with the running task's look at the throttle. */
  #throttles(): number {
    const progress = this.#current();
    if (progress === undefined) return 0;
    const found = this.#throttle.look(progress);
    const { unexplained } = this.#throttle;
    if (unexplained !== null) this.#fail(progress, `${unexplained} pages are charged that nobody has left over`);
    return found;
  }

  /** Compare what has happened since the last look. */
  #look(): void {
    const tracer = this.#tracer as Tracer;
    if (tracer.count === this.#seen) return;
    for (const event of tracer.events(this.#seen)) {
      const progress = this.#byPid.get(event.task);
      if (progress === undefined || this.failure !== null) continue;
      this.#checkMerged(progress, event);
      // Whoever is switched away from has not gone on yet.
      if (event.name !== "sched_switch") progress.interruptedAt = null;
      const converted = progress.converter.next(event);
      if (converted !== null) this.#checkOwn(progress, converted);
    }
    this.#seen = tracer.count;
  }

  #checkMerged(progress: Progress, event: TraceEvent): void {
    const { merged, positions, mergedCut, unseen } = this.#expectation;
    const { lane, task } = progress;
    if (lane === this.#expectation.scenario.threads.length) return;
    const converted = convertEvent(event, this.#places as Names);
    if (converted === null || !isMerged(converted) || isHidden(converted, unseen)) return;
    const position = positions[lane][progress.merged++];
    const text = eventText(converted);
    if (position === undefined) {
      if (!mergedCut) this.#fail(progress, `${text}, after its last`);
      return;
    }
    const wanted = merged[position];
    const file = lockedFile(converted);
    const turn = this.#turns.get(file) ?? 0;
    this.#turns.set(file, turn + 1);
    this.#matched++;
    if (event.name === "gfs2_glock_queue" && event.args.queue === 0) progress.unlocks--;
    if (wanted.text !== text) this.#fail(progress, `${text} instead of ${wanted.text}`);
    else if (file !== "" && wanted.turn !== turn) this.#fail(progress, `${text} before its turn`);
    if (this.failure === null && this.#burst?.task === task) this.#burst = null;
  }

  #checkOwn(progress: Progress, event: RecordedEvent): void {
    const { expected, filter, got } = progress;
    if (expected === null || filter === null || !filter.keeps(event)) return;
    const last = got[got.length - 1];
    if (event[1] === "ret" && event.length === 3 && last?.[0] === event[0] && !last.includes("ret")) {
      got[got.length - 1] = [...last, "ret", event[2]];
    } else {
      this.#checkLast(progress, true);
      got.push(event);
    }
    this.#checkLast(progress, false);
  }

  /** Is the latest event of a lane what it is to be, or the beginning of it? */
  #checkLast(progress: Progress, complete: boolean): void {
    const { expected, got } = progress;
    if (expected === null || got.length === 0) return;
    const wanted = expected.events[got.length - 1];
    if (wanted === undefined && expected.cut) return;
    const text = eventText(got[got.length - 1]);
    const wantedText = wanted === undefined ? "no more events" : eventText(wanted);
    if (text === wantedText && complete) this.#matched++;
    if (text === wantedText || (!complete && wantedText.startsWith(`${text} ret `))) return;
    if (this.failure === null && wanted !== undefined) this.#throttle.learn(progress, wanted);
    this.#fail(progress, `${text} instead of ${wantedText}`);
  }

  #fail({ where, got, merged }: Progress, what: string): void {
    if (this.failure !== null) return;
    this.failure = `${where}: ${what}`;
    this.#failedAt = `${merged} ${got.length}`;
    this.tooFar = this.#burst?.steps ?? 0;
  }
}

function sleeps(task: Task): boolean {
  return task.sleepingOn !== null && !task.sleepingOn.isReady(task);
}
