// A scenario as a program whose schedules can be explored: started anew in a world of somebody else's for each
// execution.
//
// Files are made and the operations before the threads are run beforehand, with nobody asked; what is explored
// is the threads, or, where there are none, the operations. What comes after the threads, and the final files,
// belong to looking at the end.

import * as fs from "@faultline/fs";
import { type FsTask, type Gfs2Revision, LM_ST_EXCLUSIVE, Machine } from "@faultline/fs";
import { type MayFault, PAGE_SIZE, pagesFor, type Verdict, type World } from "@faultline/kernel";
import { HostMemory, PG_UPTODATE, pageAddress } from "@faultline/mm";
import { FlatVolume } from "./flat-volume.ts";
import { Names } from "./maps.ts";
import type { Op, Scenario, ScenarioFile } from "./op.ts";
import { IOBUF_SIZE, type OpContext, runOp } from "./ops.ts";
import { fillPattern } from "./pattern.ts";
import type { OpResult } from "./result.ts";
import { Barrier, expectDone, makeFile, mapIobuf, sleepFor } from "./stage.ts";

/** Everything that can be told of a run when no task can go on any more. */
export interface Ending {
  /** By thread, or all in one list when there are none. */
  readonly results: readonly (readonly OpResult[])[];
  readonly post: readonly OpResult[];
  /** Bytes of each file, by name; null for one that is gone. */
  readonly files: Readonly<Record<string, Uint8Array | null>>;
}

/** Pages of memory beyond what files take twice over: for page tables, the runner and copies. */
const SPARE_PAGES = 192;

/** What all runs of a scenario on one kernel have in common. */
export class Stage {
  readonly scenario: Scenario;
  readonly kernel: Gfs2Revision;
  /** For all runs, of which there is one at a time. */
  readonly memory: HostMemory;
  /** Bytes of the runner's buffer that have pages. */
  readonly resident: number;
  /** What is on disk when a run begins; files with holes are made in the run. */
  readonly files: ReadonlyMap<string, Uint8Array>;

  constructor(scenario: Scenario, kernel: Gfs2Revision) {
    const pages = scenario.files.map(({ size }) => pagesFor(size));
    this.scenario = scenario;
    this.kernel = kernel;
    this.memory = new HostMemory((SPARE_PAGES + 2 * pages.reduce((sum, count) => sum + count, 0)) * PAGE_SIZE);
    this.resident = Math.min(Math.max(1, ...pages) * PAGE_SIZE, IOBUF_SIZE);
    const whole = scenario.files.filter(({ holes }) => holes.length === 0);
    this.files = new Map(whole.map(({ name, size, seed }) => [name, patternOf(size, seed)]));
  }
}

/** The operations that are explored, by thread; one thread where the scenario has none. */
export function exploredOf({ threads, ops }: Scenario): readonly (readonly Op[])[] {
  return threads.length > 0 ? threads : [ops];
}

function patternOf(size: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(size);
  fillPattern(bytes, seed, 0);
  return bytes;
}

/** One run, set up to the point where the threads begin. */
export class StagedRun {
  readonly machine: Machine;
  readonly results: OpResult[][];
  readonly #stage: Stage;
  readonly #volume = new FlatVolume();
  readonly #names = new Names();
  readonly #runner: FsTask;
  #iobuf = 0;
  #ending: Ending | null = null;

  /** Set the scenario up in `world`. Throws when that alone does not end well. */
  constructor(stage: Stage, world: World) {
    const { scenario, kernel, memory, files } = stage;
    this.#stage = stage;
    for (const [name, bytes] of files) this.#volume.put(name, bytes);
    this.machine = new Machine({
      world,
      kernel,
      memory: memory.size,
      hostMemory: memory,
      volume: this.#volume,
    });
    this.#runner = this.machine.task("runner");
    this.results = exploredOf(scenario).map(() => []);
    this.#aside(this.#prepare());
  }

  /** Start what is to be explored. */
  start(): void {
    const { threads, ops } = this.#stage.scenario;
    if (threads.length === 0) {
      this.machine.start(this.#runner, this.#runOps(this.#context(this.#runner, null), ops, this.results[0]));
    }
    const barrier = new Barrier(threads.length, this.machine.world);
    for (const [index, list] of threads.entries()) {
      const thread = this.machine.thread(this.#runner, `thread ${index}`);
      this.machine.start(thread, this.#runOps(this.#context(thread, barrier), list, this.results[index]));
    }
  }

  /** Run one whole operation of a thread and nothing else. Returns: how that ended. */
  runAlone(thread: number, op: number): Verdict {
    const context = this.#context(this.#runner, null);
    this.machine.start(
      this.#runner,
      this.#runOps(context, [exploredOf(this.#stage.scenario)[thread][op]], this.results[thread]),
    );
    return this.machine.world.runAside();
  }

  /** Look at what is there when all threads have ended; once. */
  get ending(): Ending {
    this.#ending ??= this.#look();
    return this.#ending;
  }

  #look(): Ending {
    const post: OpResult[] = [];
    const files: Record<string, Uint8Array | null> = {};
    const { scenario } = this.#stage;
    if (scenario.post.length > 0) this.#aside(this.#runOps(this.#context(this.#runner, null), scenario.post, post));
    for (const { name } of scenario.files) files[name] = this.#contentsOf(name);
    return { results: this.results, post, files };
  }

  #aside(body: MayFault<void>): void {
    this.machine.start(this.#runner, body);
    const verdict = this.machine.world.runAside();
    if (verdict.kind === "bug") throw verdict.bug;
    if (verdict.kind !== "completed")
      throw new Error(`${this.#stage.scenario.id}: the set-up ends in a ${verdict.kind}`);
  }

  *#prepare(): MayFault<void> {
    const { scenario, resident, files } = this.#stage;
    const task = this.#runner;
    this.#iobuf = yield* mapIobuf(task, resident);
    for (const file of scenario.files) {
      if (files.has(file.name)) yield* this.#adopt(file);
      else yield* makeFile(task, file, this.#iobuf, this.#names, resident);
    }
    if (scenario.threads.length > 0) yield* this.#runOps(this.#context(task, null), scenario.ops, []);
  }

  /** A file that is on disk already: known to the node, its glock exclusive as whoever made it left it, cached or not. */
  *#adopt({ name, size, cached }: ScenarioFile): MayFault<void> {
    const { resident } = this.#stage;
    const task = this.#runner;
    const inode = this.machine.nodes[0].sbd.lookup(name, false);
    if (typeof inode !== "number") inode.glock.state = LM_ST_EXCLUSIVE;
    if (!cached) return;
    const fd = yield* fs.sysOpen(task, name, fs.O_RDONLY);
    for (let at = 0; at < size; at += resident) {
      expectDone(yield* fs.sysPread64(task, fd, this.#iobuf, resident, at), Math.min(resident, size - at), name);
    }
    expectDone(yield* fs.sysClose(task, fd), 0, name);
  }

  #context(task: FsTask, barrier: Barrier | null): OpContext {
    return {
      task,
      names: this.#names,
      iobuf: this.#iobuf,
      scratch: pageAddress(task.mm.mem.tryAllocPage(false)),
      *barrier() {
        if (barrier !== null) yield* barrier.wait();
      },
      *sleep(milliseconds) {
        yield* sleepFor(task.world, milliseconds * 1000);
      },
      // Every call begins with points of its own where it matters.
      *goesOn() {},
    };
  }

  *#runOps(context: OpContext, ops: readonly Op[], results: OpResult[]): MayFault<void> {
    for (const op of ops) results.push(yield* runOp(context, op));
  }

  /** The bytes of a file: what is cached, else what is on disk. */
  #contentsOf(name: string): Uint8Array | null {
    const [{ sbd, mem }] = this.machine.nodes;
    const inode = sbd.lookup(name, false);
    if (typeof inode === "number") return null;
    const bytes = new Uint8Array(inode.size);
    bytes.set((this.#volume.bytesOf(name) ?? bytes).subarray(0, inode.size));
    if (inode.isInline) bytes.set(inode.stuffedData.subarray(0, inode.size));
    for (let at = 0; at < inode.size; at += PAGE_SIZE) {
      const frame = inode.mapping.find(at / PAGE_SIZE);
      if (frame === 0 || (mem.flags[frame] & PG_UPTODATE) === 0) continue;
      const start = pageAddress(frame);
      bytes.set(mem.u8.subarray(start, start + Math.min(PAGE_SIZE, inode.size - at)), at);
    }
    return bytes;
  }
}
