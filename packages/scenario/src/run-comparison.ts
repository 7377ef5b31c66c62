// Compares a run with its recording as it happens, lane by lane: the lock events of all lanes in the order in which the
// recording has them, and each lane's own events and results. The first difference is kept.

import type * as fs from "@faultline/fs";
import type { Task, TraceEvent, Tracer } from "@faultline/kernel";
import type { Burst } from "./burst.ts";
import type { Circumstances } from "./circumstances.ts";
import { differingFields } from "./compare.ts";
import { convertEvent, EventConverter } from "./convert.ts";
import { eventText } from "./events.ts";
import { type Expectation, isMerged, lockedFile } from "./expectation.ts";
import type { Names } from "./maps.ts";
import type { OpName } from "./op.ts";
import type { Call } from "./ops.ts";
import type { Progress } from "./progress.ts";
import type { OpResult, RecordedEvent } from "./result.ts";
import type { OpPlace } from "./run.ts";
import type { ThrottleReader } from "./throttle-reader.ts";
import { isHidden, TIERS, TierFilter } from "./tier.ts";

/** Operations without events of their own that open a file, and how often that lets a lock go. */
const OPENING: ReadonlySet<OpName> = new Set(["open", "evict"]);
const UNLOCKS_OF_OPEN = 2;

export class RunComparison {
  /** Where the run left the recording, in words; null while it has not. */
  failure: string | null = null;
  /** How far the lane had come that left it. */
  failedAt = "";
  /** How much of the recording was followed. */
  matched = 0;
  readonly #expectation: Expectation;
  readonly #circumstances: Circumstances;
  readonly #throttle: ThrottleReader;
  readonly #burst: Burst;
  readonly #turns = new Map<string, number>();
  readonly #byPid = new Map<number, Progress>();
  readonly #lanes: (Progress | undefined)[] = [];
  #tracer: Tracer | null = null;
  #places: Names | null = null;
  #seen = 0;

  constructor(expectation: Expectation, circumstances: Circumstances, throttle: ThrottleReader, burst: Burst) {
    this.#expectation = expectation;
    this.#circumstances = circumstances;
    this.#throttle = throttle;
    this.#burst = burst;
  }

  /** Nothing is compared before the files are made. */
  begin(tracer: Tracer, names: Names): void {
    this.#tracer = tracer;
    this.#places = names;
    this.#seen = tracer.count;
  }

  get hasBegun(): boolean {
    return this.#tracer !== null;
  }

  /** The lanes that have begun. */
  get lanes(): Iterable<Progress> {
    return this.#byPid.values();
  }

  /** The first lane; undefined until it has begun. */
  get first(): Progress | undefined {
    return this.#lanes[0];
  }

  /** Is the only task between operations, or where the recording shows nothing? The disk goes on meanwhile. */
  get isAloneUnseen(): boolean {
    const { first } = this;
    if (!this.#expectation.isAlone || first === undefined) return false;
    const { expected, got } = first;
    return expected === null || (expected.cut && got.length >= expected.events.length);
  }

  /** Is the lane still to open a file in an operation that shows nothing else? */
  opens(lane: Progress): boolean {
    return lane.unlocks > 0 && this.nextMerged(lane) !== undefined;
  }

  laneOf(pid: number): Progress | undefined {
    return this.#byPid.get(pid);
  }

  /** The lane of the running task. */
  current(): Progress | undefined {
    for (const progress of this.#byPid.values()) if (progress.task === progress.task.world.current) return progress;
    return undefined;
  }

  opStarts(at: OpPlace, task: fs.FsTask): void {
    this.look();
    const { tier } = this.#expectation;
    const progress = this.#byPid.get(task.pid) ?? this.#enter(at, task);
    const expected = this.#expectation.events(at);
    progress.where = `operation ${at.op} of ${task.comm}`;
    progress.op = at.op;
    progress.idle = false;
    progress.call = null;
    progress.unlocks = OPENING.has(this.#expectation.op(at).op) ? UNLOCKS_OF_OPEN : 0;
    progress.expected = expected;
    progress.filter = expected === null || tier === "results" ? null : new TierFilter(tier, expected.without);
    progress.got = [];
    progress.updates = [...(expected?.updates ?? [])];
  }

  stepBegins({ pid }: Task): Progress | undefined {
    this.look();
    const lane = this.#byPid.get(pid);
    if (lane !== undefined) lane.steps++;
    return lane;
  }

  callStarts(call: Call, task: fs.FsTask): void {
    const progress = this.#byPid.get(task.pid);
    if (progress !== undefined) progress.call = call;
  }

  opEnds(at: OpPlace, result: OpResult): void {
    this.look();
    const progress = this.#lanes[this.#expectation.lane(at)] as Progress;
    const { expected, got, task } = progress;
    // Who is alone is ahead of the disk until it waits for it.
    if (this.failure === null && !this.#expectation.isAlone) this.#burst.endsFor(task);
    if (expected !== null && !expected.cut && got.length < expected.events.length) {
      this.fail(progress, `${eventText(expected.events[got.length])} is missing`);
    }
    this.#checkLast(progress, true);
    progress.idle = true;
    progress.call = null;
    progress.expected = null;
    progress.filter = null;
    progress.done = at.thread !== undefined && at.op === this.#expectation.scenario.threads[at.thread].length - 1;
    const wanted = this.#expectation.result(at);
    if (wanted === undefined) {
      this.fail(progress, "it returns");
      return;
    }
    for (const tier of this.#expectation.tier === "memory" ? TIERS : TIERS.slice(0, 1)) {
      const [field] = differingFields(wanted, result, this.#expectation.op(at).op, tier);
      if (field !== undefined) this.fail(progress, `another ${field}`);
    }
    // Where the middle was cut out, the number of major faults tells how many pages were late in it.
    if (expected?.cut === true) this.matched -= Math.abs((wanted.majflt ?? 0) - (result.majflt ?? 0));
  }

  /** Compare what has happened since the last look. */
  look(): void {
    const tracer = this.#tracer as Tracer;
    if (tracer.count === this.#seen) return;
    for (const event of tracer.events(this.#seen)) {
      const progress = this.#byPid.get(event.task);
      if (progress === undefined || this.failure !== null) continue;
      if (event.name !== "sched_switch") progress.steps = 0;
      this.#checkMerged(progress, event);
      // Whoever is switched away from has not gone on yet.
      if (event.name !== "sched_switch") {
        progress.interruptedAt = null;
        progress.isInterrupted = false;
      }
      const converted = progress.converter.next(event);
      if (converted !== null) this.#checkOwn(progress, converted);
    }
    this.#seen = tracer.count;
  }

  /** The run has left the recording. The first time counts. */
  fail({ where, got, merged }: Progress, what: string): void {
    if (this.failure !== null) return;
    this.failure = `${where}: ${what}`;
    this.failedAt = `${merged} ${got.length}`;
  }

  /** The lane whose lock event comes next; undefined when none is left. */
  wanted(): Progress | undefined {
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
  nextMerged({ lane, merged }: Progress): number | undefined {
    return this.#expectation.positions[lane][merged];
  }

  /** Does the recorded order say nothing against the lane's next lock event? */
  hasTurn(lane: Progress): boolean {
    const position = this.#nextTurn(lane);
    if (position === undefined) return true;
    const { file, turn } = this.#expectation.merged[position];
    return file === "" || (this.#turns.get(file) ?? 0) >= turn;
  }

  /** The lane's next lock event, or the one that follows at once: a call that ends lets its lock go. */
  #nextTurn(progress: Progress): number | undefined {
    const { merged, positions } = this.#expectation;
    const position = this.nextMerged(progress);
    const after = positions[progress.lane][progress.merged + 1];
    if (position === undefined || after === undefined) return position;
    return merged[position].text.includes(" ret ") && merged[after].text.startsWith("glock_dq") ? after : position;
  }

  #enter(at: OpPlace, task: fs.FsTask): Progress {
    const lane = this.#expectation.lane(at);
    const progress: Progress = {
      lane,
      task,
      converter: new EventConverter(this.#places as Names),
      merged: 0,
      where: "",
      op: 0,
      idle: true,
      call: null,
      expected: null,
      filter: null,
      got: [],
      steps: 0,
      updates: [],
      processor: this.#circumstances.processorOf(lane),
      unlocks: 0,
      interruptedAt: null,
      isInterrupted: false,
      done: false,
    };
    this.#byPid.set(task.pid, progress);
    this.#lanes[lane] = progress;
    return progress;
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
      if (!mergedCut) this.fail(progress, `${text}, after its last`);
      return;
    }
    const wanted = merged[position];
    const file = lockedFile(converted);
    const turn = this.#turns.get(file) ?? 0;
    this.#turns.set(file, turn + 1);
    this.matched++;
    if (event.name === "gfs2_glock_queue" && event.args.queue === 0) progress.unlocks--;
    if (wanted.text !== text) this.fail(progress, `${text} instead of ${wanted.text}`);
    else if (file !== "" && wanted.turn !== turn) this.fail(progress, `${text} before its turn`);
    if (this.failure === null) this.#burst.endsFor(task);
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
    if (text === wantedText && complete) this.matched++;
    if (text === wantedText || (!complete && wantedText.startsWith(`${text} ret `))) return;
    if (this.failure === null && wanted !== undefined) this.#throttle.learn(progress, wanted);
    this.fail(progress, `${text} instead of ${wantedText}`);
  }
}
