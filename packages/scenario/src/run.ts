// Runs a scenario on a machine and gives what the recorder would have recorded.
//
// One process makes the files, another runs the operations, so that the second begins with fresh counters and
// the files with a cold cache. Threads start together once the first operations are done.

import * as fs from "@faultline/fs";
import { type FsTask, type Gfs2Revision, Machine, O_RDONLY } from "@faultline/fs";
import {
  type Chooser,
  type MayFault,
  PREEMPT,
  type TraceEvent,
  Tracer,
  type Verdict,
  WaitChannel,
} from "@faultline/kernel";
import { HostMemory, pageAddress } from "@faultline/mm";
import { convertEvents } from "./convert.ts";
import { Names } from "./maps.ts";
import type { Op, Scenario } from "./op.ts";
import { type Call, IOBUF_SIZE, type OpContext, readIntoIobuf, runOp } from "./ops.ts";
import { Fnv1a } from "./pattern.ts";
import type { FinalFile, OpResult, OpTrace, Recording } from "./result.ts";
import { Barrier, Countdown, expectDone, makeFile, mapIobuf, sleepFor } from "./stage.ts";
import { UNTRACED } from "./untraced.ts";

export interface RunOptions {
  readonly kernel: Gfs2Revision;
  /** Who decides; first come, first served by default. */
  readonly chooser?: Chooser;
  readonly environment?: Readonly<Record<string, number>>;
  readonly lockdep?: boolean;
  /** Keep the trace; without it, `recording.trace` is empty. */
  readonly traced?: boolean;
  readonly maxSteps?: number;
  /** As `scenarioMemory` makes it; the run that had it before is over, its results remain. */
  readonly hostMemory?: HostMemory;
}

export interface ScenarioRun {
  readonly recording: Recording;
  readonly verdict: Verdict;
  readonly machine: Machine;
  readonly names: Names;
  /** Every operation that was begun, in that order. */
  readonly spans: readonly OpSpan[];
  /** The part of the trace that belongs to the scenario, set-up excluded. */
  events(): Iterable<TraceEvent>;
  /**
   * Locks, references and pins that outlived their calls, and contradictions: a sentence each. None unless the run
   * completed. Lets the machine come to rest first; its memory must not have been given to another run.
   */
  leftovers(): string[];
}

/** Memory of a machine that scenarios run on, and the limit that the recorded machine of 1 GiB had for dirty pages. */
const MEMORY = 64 * 1024 * 1024;
const DIRTY_LIMIT = 45_000;
/** Microseconds from making the files to using them: more than a tick of the clock. */
const BETWEEN_PROCESSES = 20_000;
/** Microseconds after which read-ahead and write-back that nobody waits for are over. */
const COME_TO_REST = 1_000_000;
/** More pages than ended tasks leave over to be charged with. */
const MAX_DEBT = 4096;

/** Which operation: its place among those of the process, of a thread, or of those that come last. */
export type OpPlace = Omit<OpTrace, "events">;

/** Who looks on while a scenario runs. */
export interface RunObserver {
  /** The files are made, and the operations are about to start. */
  begin(tracer: Tracer, names: Names): void;
  opStarts(at: OpPlace, task: FsTask): void;
  /** Of an operation of several calls, this one comes next. */
  callStarts(call: Call, task: FsTask): void;
  opEnds(at: OpPlace, result: OpResult): void;
}

/** Memory that any number of runs can have, one after the other. */
export function scenarioMemory(): HostMemory {
  return new HostMemory(MEMORY);
}

/** Run a scenario to its end, whatever that is. */
export function runScenario(scenario: Scenario, options: RunOptions): ScenarioRun {
  return runObserved(scenario, options, null);
}

/** The same, under the eyes of an observer, which needs `options.traced`. */
export function runObserved(scenario: Scenario, options: RunOptions, observer: RunObserver | null): ScenarioRun {
  const tracer = options.traced === true ? new Tracer(1 << 22) : null;
  const machine = new Machine({
    ...options,
    trace: tracer,
    memory: MEMORY,
    dirtyLimit: DIRTY_LIMIT,
    disk: { latency: 0 },
  });
  return new Runner(scenario, machine, tracer, observer).run();
}

/** One operation that was begun: the task that made it, and the stretch of the trace that it took. */
export interface OpSpan {
  readonly pid: number;
  readonly from: number;
  /** Infinity when it never returned. */
  readonly to: number;
  readonly at: OpPlace;
  /** Does the recorder keep its events? */
  readonly kept: boolean;
}

class Runner {
  readonly #scenario: Scenario;
  readonly #machine: Machine;
  readonly #tracer: Tracer | null;
  readonly #observer: RunObserver | null;
  readonly #names = new Names();
  readonly #spans: OpSpan[] = [];
  readonly #results: OpResult[] = [];
  readonly #threads: OpResult[][];
  readonly #post: OpResult[] = [];
  readonly #final: Record<string, FinalFile> = {};
  readonly #tasks: FsTask[] = [];
  /** References that the runner keeps, by frame: its tasks' scratch pages. */
  readonly #held = new Map<number, number>();
  #start = 0;

  constructor(scenario: Scenario, machine: Machine, tracer: Tracer | null, observer: RunObserver | null) {
    this.#scenario = scenario;
    this.#machine = machine;
    this.#tracer = tracer;
    this.#observer = observer;
    this.#threads = scenario.threads.map(() => []);
  }

  run(): ScenarioRun {
    const machine = this.#machine;
    const maker = this.#made(machine.task("setup"));
    machine.start(maker, this.#makeFiles(maker));
    let { verdict } = machine.run();
    this.#start = this.#tracer?.count ?? 0;
    if (verdict.kind === "completed") {
      machine.world.elapse(BETWEEN_PROCESSES);
      // The recorder takes on itself what others leave over, unless they did so on another processor.
      const { dirty } = machine.nodes[0].sbd;
      dirty.leak(1, machine.world.chooseCircumstance("debt", MAX_DEBT, String(maker.nrDirtied)));
      const task = this.#made(machine.task("runner"));
      machine.start(task, this.#main(task));
      ({ verdict } = machine.run());
    }
    return {
      recording: this.#recording(verdict),
      verdict,
      machine,
      names: this.#names,
      spans: this.#spans,
      events: () => this.#tracer?.events(this.#start) ?? [],
      leftovers: () => (verdict.kind === "completed" ? this.#leftovers() : []),
    };
  }

  #made(task: FsTask): FsTask {
    this.#tasks.push(task);
    return task;
  }

  #leftovers(): string[] {
    const [task] = this.#tasks;
    this.#machine.call(task, sleepFor(task.world, COME_TO_REST));
    return fs.checkMachine(this.#machine, this.#tasks, this.#held);
  }

  *#makeFiles(task: FsTask): MayFault<void> {
    const iobuf = yield* mapIobuf(task, IOBUF_SIZE);
    for (const file of this.#scenario.files) yield* makeFile(task, file, iobuf, this.#names);
  }

  *#main(task: FsTask): MayFault<void> {
    const iobuf = yield* mapIobuf(task, IOBUF_SIZE);
    const context = this.#context(task, iobuf, null);
    this.#start = this.#tracer?.count ?? 0;
    if (this.#tracer !== null) this.#observer?.begin(this.#tracer, this.#names);
    yield* this.#runOps(context, this.#scenario.ops, this.#results, {});
    if (this.#scenario.threads.length > 0) {
      yield* this.#runThreads(task, iobuf);
      yield* this.#runOps(context, this.#scenario.post, this.#post, { post: true });
    }
    for (const file of this.#scenario.files) this.#final[file.name] = yield* finalFile(task, file.name, iobuf);
  }

  *#runThreads(task: FsTask, iobuf: number): MayFault<void> {
    const { threads } = this.#scenario;
    const barrier = new Barrier(threads.length);
    const all = new Countdown("threads", threads.length);
    for (const [index, ops] of threads.entries()) {
      const thread = this.#made(this.#machine.thread(task, `thread ${index}`));
      const context = this.#context(thread, iobuf, barrier);
      const runner = this;
      const body = function* (): MayFault<void> {
        yield* barrier.wait();
        yield* runner.#runOps(context, ops, runner.#threads[index], { thread: index });
        if (thread.world.interrupts) yield PREEMPT;
        fs.doExit(thread);
        all.done();
      };
      this.#machine.start(thread, body());
    }
    yield* all.wait();
  }

  #context(task: FsTask, iobuf: number, barrier: Barrier | null): OpContext {
    const observer = this.#observer;
    const scratch = task.mm.mem.tryAllocPage(false);
    this.#held.set(scratch, 1);
    return {
      task,
      names: this.#names,
      iobuf,
      scratch: pageAddress(scratch),
      *barrier() {
        if (barrier !== null) yield* barrier.wait();
      },
      *sleep(milliseconds) {
        yield* sleepFor(task.world, milliseconds * 1000);
      },
      *goesOn(call) {
        observer?.callStarts(call, task);
        if (task.world.interrupts) yield PREEMPT;
      },
    };
  }

  *#runOps(
    context: OpContext,
    ops: readonly Op[],
    results: OpResult[],
    where: { readonly thread?: number; readonly post?: boolean },
  ): MayFault<void> {
    const { task } = context;
    for (const [index, op] of ops.entries()) {
      // Between two system calls others may run, too.
      if (task.world.interrupts) yield PREEMPT;
      const { minFlt, majFlt } = task;
      const from = this.#tracer?.count ?? 0;
      // An operation that never returns leaves its events all the same.
      const slot = this.#spans.length;
      const kept = !UNTRACED.has(op.op) && !(op.quiet === true && where.thread === undefined);
      const span = { pid: task.pid, from, to: Number.POSITIVE_INFINITY, at: { op: index, ...where }, kept };
      this.#spans.push(span);
      task.world.elapse(1);
      this.#observer?.opStarts(span.at, task);
      const outcome = yield* runOp(context, op);
      this.#spans[slot] = { ...span, to: this.#tracer?.count ?? 0 };
      // The recorder counts no faults while it waits for the others.
      const counts = op.op === "barrier" ? {} : { minflt: task.minFlt - minFlt, majflt: task.majFlt - majFlt };
      const result = { ...outcome, ...counts };
      results.push(result);
      this.#observer?.opEnds(span.at, result);
    }
  }

  #recording(verdict: Verdict): Recording {
    const { id, threads, post } = this.#scenario;
    return {
      id,
      results: this.#results,
      ...(threads.length > 0 ? { threads: this.#threads } : {}),
      ...(post.length > 0 ? { post: this.#post } : {}),
      ...(verdict.kind === "completed" ? { final: this.#final } : {}),
      trace: this.#traces(),
      ...endOf(verdict),
    };
  }

  #traces(): OpTrace[] {
    if (this.#tracer === null) return [];
    const all = [...this.#tracer.events(this.#start)];
    const traces: OpTrace[] = [];
    for (const { pid, from, to, at, kept } of this.#spans) {
      if (!kept) continue;
      const own = all.slice(from - this.#start, to - this.#start).filter((event) => event.task === pid);
      const events = convertEvents(own, this.#names);
      if (events.length > 0) traces.push({ ...at, events });
    }
    return traces;
  }
}

/** What a verdict is called in a recording. */
function endOf(verdict: Verdict): Partial<Recording> {
  switch (verdict.kind) {
    case "completed":
      return {};
    case "bug":
      return { oops: verdict.bug.message, rip: verdict.bug.rip, died: 11 };
    case "deadlock":
      return { hang: true, killable: verdict.blocked.every(sleepsKillably) };
    case "livelock":
    case "limit":
      return { hang: true, killable: true };
  }
}

function sleepsKillably({ sleepingOn }: { readonly sleepingOn: unknown }): boolean {
  return sleepingOn instanceof WaitChannel && sleepingOn.killable;
}

/** A file after the last operation: size, blocks and the sum of its bytes, read once more from disk if it is small. */
function* finalFile(task: FsTask, name: string, iobuf: number): MayFault<FinalFile> {
  const fd = yield* fs.sysOpen(task, name, O_RDONLY);
  if (fd < 0) return { errno: "ENOENT" };
  const stat = yield* fs.sysFstat(task, fd);
  if (typeof stat === "number") return { errno: "EIO" };
  const context = { task, iobuf };
  const warm = yield* sumOf(context, fd);
  expectDone(yield* fs.sysFsync(task, fd), 0, name);
  expectDone(yield* fs.sysFadvise(task, fd, 0, 0, fs.POSIX_FADV_DONTNEED), 0, name);
  const cold = yield* sumOf(context, fd);
  return {
    size: stat.size,
    blocks: stat.blocks,
    sum: warm,
    ...(cold !== warm ? { coldsum: cold } : {}),
  };
}

function* sumOf(context: Pick<OpContext, "task" | "iobuf">, fd: number): MayFault<string> {
  const sum = new Fnv1a();
  for (let at = 0, got = 1; got > 0; at += got) got = yield* readIntoIobuf(context, fd, at, IOBUF_SIZE, sum);
  return sum.hex;
}
