// One glock on a bench: an object that only notes what its lock does to it, a lock manager that answers when told
// to, and tasks that ask.

import {
  type Chooser,
  KernelBug,
  type MaySleep,
  type Status,
  type Task,
  Tracer,
  traceText,
  type Verdict,
  World,
} from "@faultline/kernel";
import { MM_6_12, MmStruct, PhysMem, UserTask } from "@faultline/mm";
import { Gfs2Holder, GLF_INSTANTIATE_NEEDED, type Glock, type GlockOperations } from "../gfs2/glock.ts";
import { gfs2GlockDq, gfs2GlockNq } from "../gfs2/glock-queue.ts";
import { GL_SKIP } from "../gfs2/lm.ts";
import { LOCK_NOLOCK, type LockManager, LockSpace } from "../gfs2/lock-space.ts";

export interface BenchOptions {
  readonly type?: GlockOperations["type"];
  readonly lm?: LockManager;
  /** Who answers when the environment is asked whether another node asks for the lock; nobody is asked without. */
  readonly chooser?: Chooser;
}

/** A lock manager that keeps requests until the test answers them. */
export class ManualManager implements LockManager {
  readonly name = "manual";
  readonly clustered = true;
  readonly asked: { readonly state: number; readonly flags: number; readonly reply: (reply: number) => void }[] = [];

  lock(_glock: Glock, state: number, flags: number, complete: (reply: number) => void): number {
    this.asked.push({ state, flags, reply: complete });
    return -1;
  }

  blockers(): readonly Task[] {
    return [];
  }

  leave(recover: () => void): void {
    recover();
  }
}

export class GlockBench {
  readonly tracer: Tracer = new Tracer(1 << 12);
  readonly world: World;
  readonly space: LockSpace;
  readonly glock: Glock;
  /** What the lock did to its object, in order. */
  readonly deeds: string[] = [];
  /** What `sync` says. */
  syncStatus: Status = 0;
  readonly #mm: MmStruct;

  constructor({ type = "inode", lm = LOCK_NOLOCK, chooser }: BenchOptions = {}) {
    const asked = chooser === undefined ? {} : { chooser, environment: { "remote-lock": Number.POSITIVE_INFINITY } };
    this.world = new World({ trace: this.tracer, lockdep: true, ...asked });
    this.#mm = new MmStruct(new PhysMem(this.world, 1 << 20), MM_6_12);
    this.space = new LockSpace({
      world: this.world,
      node: "node",
      lm,
      revision: { recursionBugLine: 0 },
      startWorker: (comm, body) => {
        const worker = new UserTask(this.world, comm, this.#mm, { daemon: true });
        this.world.start(worker, body(worker));
        return worker;
      },
      withdraw: () => this.deeds.push("withdraw"),
    });
    const { deeds } = this;
    const bench = this;
    this.glock = this.space.get(
      {
        type,
        *sync() {
          deeds.push("sync");
          return bench.syncStatus;
        },
        *invalidate(_task, glock, metadata) {
          if (metadata) glock.flags |= GLF_INSTANTIATE_NEEDED;
          deeds.push(metadata ? "invalidate all" : "invalidate data");
        },
        *instantiate() {
          deeds.push("instantiate");
          return 0;
        },
      },
      1,
      "x",
    );
  }

  task(comm: string): UserTask {
    return new UserTask(this.world, comm, this.#mm);
  }

  holder(state: number, flags = 0): Gfs2Holder {
    return new Gfs2Holder(this.glock, state, flags, "test");
  }

  /** Run one body as a task to its end. */
  does<T>(body: (task: UserTask) => MaySleep<T>, comm = "task"): T {
    const task = this.task(comm);
    return this.world.runSync(task, body(task));
  }

  /** Bring the glock to a cached state, with nobody in its queue. */
  cache(state: number): void {
    if (this.glock.state === state) return;
    const { glock } = this;
    this.does(function* (task): MaySleep<void> {
      const holder = new Gfs2Holder(glock, state, GL_SKIP, "test");
      yield* gfs2GlockNq(task, holder);
      gfs2GlockDq(task, holder);
    });
  }

  /** Start tasks that ask, note when they got it, hold it until `release`, and let go. */
  asks(comm: string, state: number, flags = 0): Request {
    const request = new Request(this, this.task(comm), this.holder(state, flags));
    this.world.start(request.task, request.body());
    this.world.run();
    return request;
  }

  run(): Verdict {
    return this.world.run().verdict;
  }

  /** gfs2 events since `from`, without what every line has. */
  events(from = 0): string[] {
    return [...traceText(this.tracer.events(from))]
      .filter((line) => line.includes("gfs2_"))
      .map((line) =>
        line
          .trim()
          .replace(/^\d+ +task \d+ +gfs2_/, "")
          .replace(/ino=1 /, "")
          .replace(/ +/g, " "),
      );
  }
}

/** One task's request, which it keeps until it is told to let go. */
export class Request {
  readonly task: UserTask;
  readonly holder: Gfs2Holder;
  /** What gfs2GlockNq returned; null while it has not. */
  got: number | null = null;
  readonly #bench: GlockBench;

  constructor(bench: GlockBench, task: UserTask, holder: Gfs2Holder) {
    this.#bench = bench;
    this.task = task;
    this.holder = holder;
  }

  *body(): MaySleep<void> {
    this.got = yield* gfs2GlockNq(this.task, this.holder);
  }

  release(): void {
    gfs2GlockDq(this.task, this.holder);
    this.#bench.world.run();
  }
}

/** The BUG that a body runs into, or null. */
export function bugOf(body: () => unknown): KernelBug | null {
  try {
    body();
    return null;
  } catch (error) {
    const { verdict } = error as { verdict?: Verdict };
    if (verdict?.kind === "bug") return verdict.bug;
    if (error instanceof KernelBug) return error;
    throw error;
  }
}
