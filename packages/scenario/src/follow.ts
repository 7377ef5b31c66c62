// Follows a recording: of the tasks that can run, the one goes on whose next lock event comes first in the
// recording. What the model does is compared with the recording as it happens, and a run that has left it is
// abandoned.
//
// The recording orders lock events only. Where a task could also have gone on for a while, or a disk request
// could have been over already, a plan says whether that is so: that is what is searched.

import { type Chooser, STOP, type Task, type TraceEvent, type Tracer } from "@faultline/kernel";
import { differingFields } from "./compare.ts";
import { convertEvent, EventConverter, type Places } from "./convert.ts";
import { eventText } from "./events.ts";
import { type Expectation, type ExpectedEvents, isMerged, lockedFile } from "./expectation.ts";
import type { ExtentChooser } from "./extents.ts";
import type { Plan } from "./plan.ts";
import type { OpResult, RecordedEvent } from "./result.ts";
import type { OpPlace, RunObserver } from "./run.ts";
import { TIERS, TierFilter } from "./tier.ts";

/** How far one lane has come. */
interface Progress {
  readonly lane: number;
  readonly task: Task;
  readonly converter: EventConverter;
  /** Its events in `merged` so far. */
  merged: number;
  where: string;
  /** What the current operation is to do, and has done; null when nothing is known. */
  expected: ExpectedEvents | null;
  filter: TierFilter | null;
  got: RecordedEvent[];
  /** Updates of time stamps that it may still make. */
  updates: number[];
}

/** A task that is let go on before its turn. */
interface Burst {
  readonly task: Task;
  left: number;
  steps: number;
}

export class Follower implements Chooser, RunObserver {
  readonly preemptive = true;
  readonly interrupts = true;
  /** Where the run left the recording, in words; null while it has not. */
  failure: string | null = null;
  /** Steps of the burst that was under way when it did. */
  tooFar = 0;
  readonly #expectation: Expectation;
  readonly #plan: Plan;
  readonly #extents: ExtentChooser;
  readonly #turns = new Map<string, number>();
  readonly #byPid = new Map<number, Progress>();
  readonly #lanes: (Progress | undefined)[] = [];
  #tracer: Tracer | null = null;
  #places: Places | null = null;
  #seen = 0;
  #burst: Burst | null = null;

  constructor(expectation: Expectation, plan: Plan, extents: ExtentChooser) {
    this.#expectation = expectation;
    this.#plan = plan;
    this.#extents = extents;
  }

  begin(tracer: Tracer, places: Places): void {
    this.#tracer = tracer;
    this.#places = places;
    this.#seen = tracer.count;
  }

  opStarts(at: OpPlace, task: Task): void {
    this.#look();
    const { tier } = this.#expectation;
    const progress = this.#byPid.get(task.pid) ?? this.#enter(at, task);
    const expected = this.#expectation.events(at);
    progress.where = `operation ${at.op} of ${task.comm}`;
    progress.expected = expected;
    progress.filter = expected === null || tier === "results" ? null : new TierFilter(tier, expected.without);
    progress.got = [];
    progress.updates = [...(expected?.updates ?? [])];
  }

  opEnds(at: OpPlace, result: OpResult): void {
    this.#look();
    const progress = this.#lanes[this.#expectation.lane(at)] as Progress;
    const { where, expected, got, task } = progress;
    if (this.#burst?.task === task) this.#burst = null;
    if (expected !== null && !expected.cut && got.length < expected.events.length) {
      this.#fail(`${where}: ${eventText(expected.events[got.length])} is missing`);
    }
    this.#checkLast(progress, true);
    progress.expected = null;
    progress.filter = null;
    const wanted = this.#expectation.result(at);
    if (wanted === undefined) {
      this.#fail(`${where} returns`);
      return;
    }
    for (const tier of this.#expectation.tier === "memory" ? TIERS : TIERS.slice(0, 1)) {
      const [field] = differingFields(wanted, result, this.#expectation.op(at).op, tier);
      if (field !== undefined) this.#fail(`${where}: another ${field}`);
    }
  }

  pickTask(runnable: readonly Task[]): number {
    if (this.#tracer === null) return 0;
    this.#look();
    if (this.failure !== null) return STOP;
    const burst = this.#continueBurst(runnable);
    if (burst >= 0) return burst;
    // Threads that have not begun come to their first operation.
    const fresh = runnable.findIndex((task) => !task.daemon && !this.#byPid.has(task.pid));
    if (fresh >= 0) return fresh;
    const wanted = this.#wanted();
    const daemon = runnable.findIndex((task) => task.daemon);
    let first = wanted === undefined ? -1 : runnable.indexOf(wanted.task);
    if (first < 0) first = Math.max(0, daemon);
    const others = runnable.map((_, i) => i).filter((i) => i !== first);
    const options = [
      { i: first, far: false },
      ...others.flatMap((i) => [
        { i, far: true },
        { i, far: false },
      ]),
    ];
    // Who is in the middle of an operation without events finishes it, if nothing speaks against it.
    if (first !== 0 && this.#byPid.get(runnable[0].pid)?.expected === null) options.unshift(...options.splice(1, 1));
    const { picked, limit } = this.#plan.choose(options.length);
    const { i, far } = options[picked];
    if (i !== first) this.#burst = { task: runnable[i], left: far ? limit - 1 : 0, steps: 1 };
    return i;
  }

  choose(choice: string, count: number): number {
    if (choice === "extent") return this.#extents.choose(choice);
    if (this.#tracer === null) return 0;
    this.#look();
    if (this.failure !== null || count !== 2) return 0;
    if (choice === "tick") return this.#ticks() ? 1 : 0;
    if (choice !== "timer" || this.#burst !== null) return 0;
    const task = this.#wanted()?.task;
    if (task !== undefined && task.sleepingOn !== null && !task.sleepingOn.isReady(task)) return 1;
    return this.#plan.choose(2).picked;
  }

  #enter(at: OpPlace, task: Task): Progress {
    const progress: Progress = {
      lane: this.#expectation.lane(at),
      task,
      converter: new EventConverter(this.#places as Places),
      merged: 0,
      where: "",
      expected: null,
      filter: null,
      got: [],
      updates: [],
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
      const position = this.#expectation.positions[progress.lane][progress.merged];
      if (position === undefined || position >= earliest) continue;
      earliest = position;
      best = progress;
    }
    return best;
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

  /** Has the running task to find that the clock has ticked? */
  #ticks(): boolean {
    for (const { task, updates, got } of this.#byPid.values()) {
      if (task !== task.world.current) continue;
      const at = updates.indexOf(got.length);
      if (at >= 0) updates.splice(at, 1);
      return at >= 0;
    }
    return false;
  }

  /** Compare what has happened since the last look. */
  #look(): void {
    const tracer = this.#tracer as Tracer;
    if (tracer.count === this.#seen) return;
    for (const event of tracer.events(this.#seen)) {
      const progress = this.#byPid.get(event.task);
      if (progress === undefined || this.failure !== null) continue;
      this.#checkMerged(progress, event);
      const converted = progress.converter.next(event);
      if (converted !== null) this.#checkOwn(progress, converted);
    }
    this.#seen = tracer.count;
  }

  #checkMerged(progress: Progress, event: TraceEvent): void {
    const { merged, positions, mergedCut } = this.#expectation;
    const { lane, task } = progress;
    if (lane === this.#expectation.scenario.threads.length) return;
    const converted = convertEvent(event, this.#places as Places);
    if (converted === null || !isMerged(converted)) return;
    const position = positions[lane][progress.merged++];
    const text = eventText(converted);
    if (position === undefined) {
      if (!mergedCut) this.#fail(`${task.comm}: ${text}, after its last`);
      return;
    }
    const wanted = merged[position];
    const file = lockedFile(converted);
    const turn = this.#turns.get(file) ?? 0;
    this.#turns.set(file, turn + 1);
    if (wanted.text !== text) this.#fail(`${task.comm}: ${text} instead of ${wanted.text}`);
    else if (file !== "" && wanted.turn !== turn) this.#fail(`${task.comm}: ${text} before its turn`);
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
  #checkLast({ expected, got, where }: Progress, complete: boolean): void {
    if (expected === null || got.length === 0) return;
    const wanted = expected.events[got.length - 1];
    if (wanted === undefined && expected.cut) return;
    const text = eventText(got[got.length - 1]);
    const wantedText = wanted === undefined ? "no more events" : eventText(wanted);
    if (text === wantedText || (!complete && wantedText.startsWith(`${text} ret `))) return;
    this.#fail(`${where}: ${text} instead of ${wantedText}`);
  }

  #fail(failure: string): void {
    if (this.failure !== null) return;
    this.failure = failure;
    this.tooFar = this.#burst?.steps ?? 0;
  }
}
