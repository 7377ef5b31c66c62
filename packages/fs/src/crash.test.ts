// A node crashes: what fsync returned for is there, what was not written is gone, and nothing else happens. The
// crash comes at every step of a history, one run for each step; what is on the volume then is compared, page by
// page, with what the file was at its last fsync and at each moment since.
import {
  EIO,
  err,
  FifoChooser,
  type MayFault,
  type MaySleep,
  PAGE_SIZE,
  PREEMPT,
  STOP,
  type Task,
} from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  O_CREAT,
  O_RDWR,
  sysFallocate,
  sysFstat,
  sysFtruncate,
  sysUnlink,
} from "./index.ts";
import { type Process, Rig } from "./testing/cluster-rig.ts";

const page = (letter: string, count = 1): string => letter.repeat(count * PAGE_SIZE);

/** Two nodes, the first with a file that was synced with three pages of a. */
function synced(): { rig: Rig; n1: Process; n2: Process; fd: number } {
  const rig = new Rig({ nodes: 2, memory: 2 << 20 });
  const [n1, n2] = [rig.process("n1", 1), rig.process("n2", 2)];
  const fd = n1.does(n1.open("f"));
  n1.does(n1.write(fd, page("a", 3), 0));
  expect(n1.does(n1.fsync(fd))).toBe(0);
  return { rig, n1, n2, fd };
}

describe("what was not synced never happened", () => {
  const punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  test.each([
    { desc: "an overwrite", act: (p: Process, fd: number) => p.write(fd, page("b", 2), 0) },
    { desc: "an append", act: (p: Process, fd: number) => p.write(fd, page("b", 5), 3 * PAGE_SIZE) },
    { desc: "a truncation", act: (p: Process, fd: number) => sysFtruncate(p.task, fd, 0) },
    { desc: "a truncation within a page", act: (p: Process, fd: number) => sysFtruncate(p.task, fd, 5000) },
    { desc: "a hole", act: (p: Process, fd: number) => sysFallocate(p.task, fd, punch, 0, 2 * PAGE_SIZE) },
    { desc: "blocks behind the end", act: (p: Process, fd: number) => sysFallocate(p.task, fd, 0, 0, 9 * PAGE_SIZE) },
  ])("$desc", ({ act }) => {
    const { rig, n1, n2, fd } = synced();
    const free = rig.machine.disk.freeBlocks;
    const [inode] = rig.machine.nodes[0].sbd.inodes();
    const { blocks } = inode.disk.map;
    n1.does(act(n1, fd));
    rig.machine.crash(rig.machine.nodes[0]);
    const other = n2.does(n2.open("f"));
    expect(n2.does(n2.read(other, 10 * PAGE_SIZE, 0))).toBe(page("a", 3));
    expect(rig.onDisk("f")).toBe(page("a", 3));
    expect(n2.does(sysFstat(n2.task, other))).toMatchObject({ size: 3 * PAGE_SIZE, blocks: blocks * 8 });
    expect(rig.machine.disk.freeBlocks).toBe(free);
    n2.does(n2.write(other, "on", 0));
    expect(n2.does(n2.fsync(other))).toBe(0);
    expect(rig.onDisk("f").slice(0, 4)).toBe("onaa");
  });

  test("the first bytes of a file that had none", () => {
    const rig = new Rig({ nodes: 2 });
    const [n1, n2] = [rig.process("n1", 1), rig.process("n2", 2)];
    n1.does(n1.write(n1.does(n1.open("f")), "stuffed", 0));
    rig.machine.crash(rig.machine.nodes[0]);
    expect(n2.does(n2.read(n2.does(n2.open("f")), 100, 0))).toBe("");
  });
});

test("others get its locks when its journal is recovered, and not before", () => {
  const { rig, n1, n2, fd } = synced();
  n1.does(n1.write(fd, "b", 0));
  const before = rig.machine.world.now;
  rig.machine.crash(rig.machine.nodes[0]);
  const other = n2.does(n2.open("f", O_RDWR));
  n2.does(n2.write(other, "c", 1));
  expect(rig.machine.world.now - before).toBeGreaterThanOrEqual(1_000_000);
  expect(n2.does(n2.read(other, 3, 0))).toBe("aca");
});

test("its tasks never go on, and those of other nodes are none the wiser", () => {
  const { rig, n1, n2, fd } = synced();
  const steps: string[] = [];
  const loop = function* (process: Process, name: string): MayFault<void> {
    const own = yield* process.open(name);
    for (let i = 0; i < 5; i++) {
      yield* process.sleeps(100);
      yield* process.write(own, "x", i);
      steps.push(name);
    }
  };
  rig.machine.start(n1.task, loop(n1, "mine"));
  rig.machine.start(n2.task, loop(n2, "theirs"));
  rig.machine.world.after(250, () => rig.machine.crash(rig.machine.nodes[0]));
  expect(rig.machine.run().verdict.kind).toBe("completed");
  expect(steps.filter((name) => name === "theirs").length).toBe(5);
  expect(steps.filter((name) => name === "mine").length).toBeLessThan(3);
  expect(fd).toBeGreaterThanOrEqual(0);
});

test("an unlinked file that only it had open is freed in its name", () => {
  const { rig, n1, n2, fd } = synced();
  expect(fd).toBe(0);
  expect(n1.does(sysUnlink(n1.task, "f"))).toBe(0);
  rig.machine.crash(rig.machine.nodes[0]);
  n2.does(n2.sleeps(2_000_000));
  expect(n2.does(n2.open("f", O_RDWR))).toBe(-2);
  const disk = new Rig({ disk: { capacityBlocks: 10 } }).machine.disk;
  expect(disk.freeBlocks).toBe(10);
});

test("a node whose write-back fails when another node asks withdraws: its caches go, then its locks", () => {
  const rig = new Rig({ nodes: 2, environment: { "disk-error": 1 }, chooser: new FirstFails() });
  const [n1, n2] = [rig.process("n1", 1), rig.process("n2", 2)];
  const [f1, f2] = [n1.does(n1.open("f")), n2.does(n2.open("f"))];
  n1.does(n1.write(f1, page("a", 2), 0));
  expect(n2.does(n2.read(f2, 10, 0)), "never written, so it never happened").toBe("");
  expect(n1.does(n1.read(f1, 10, 0))).toBe(`error ${err(EIO)}`);
  expect(n1.does(n1.fsync(f1))).toBe(err(EIO));
  expect(n2.does(n2.write(f2, "mine", 0))).toBe(4);
});

class FirstFails extends FifoChooser {
  override choose(): number {
    return 1;
  }
}

/** Preemptive, and stops at one step. A bystander, who can always go on and is never let, makes each step a choice. */
class StopAt extends FifoChooser {
  override readonly preemptive = true as never;
  left: number;

  constructor(step: number) {
    super();
    this.left = step;
  }

  override pickTask(runnable: readonly Task[] = []): number {
    return --this.left === 0 ? STOP : runnable.findIndex(({ comm }) => comm !== "bystander");
  }
}

function* bystander(): MaySleep<void> {
  for (;;) yield PREEMPT;
}

/** A file as the task means it to be, and all that it was since its last fsync. */
class Model {
  states: string[] = [""];

  get now(): string {
    return this.states[this.states.length - 1];
  }

  write(pos: number, text: string): void {
    // A write reaches the cache page by page.
    for (let at = 0; at < text.length; at += PAGE_SIZE) {
      const part = text.slice(at, at + PAGE_SIZE);
      const old = this.now.padEnd(pos + at, "\0");
      this.states.push(old.slice(0, pos + at) + part + old.slice(pos + at + part.length));
    }
  }

  truncate(size: number): void {
    this.states.push(this.now.slice(0, size).padEnd(size, "\0"));
  }

  sync(): void {
    this.states = [this.now];
  }

  /** Can the disk have this? Each page from some moment, and the size from one. Returns: what is wrong, or "". */
  explain(found: string): string {
    if (!this.states.some(({ length }) => length === found.length)) return `size ${found.length}`;
    for (let at = 0; at < found.length; at += PAGE_SIZE) {
      const length = Math.min(PAGE_SIZE, found.length - at);
      const part = found.slice(at, at + length);
      const same = (state: string): boolean => state.slice(at, at + length).padEnd(length, "\0") === part;
      if (!this.states.some(same)) return `page ${at / PAGE_SIZE}: ${part[0]}`;
    }
    return "";
  }
}

type Step = (process: Process, fd: number, model: Model) => MayFault<void>;

const write = (pos: number, text: string): Step =>
  function* (process, fd, model) {
    model.write(pos, text);
    yield* process.write(fd, text, pos);
  };
const truncate = (size: number): Step =>
  function* (process, fd, model) {
    model.truncate(size);
    expect(yield* sysFtruncate(process.task, fd, size)).toBe(0);
  };
const sync: Step = function* (process, fd, model) {
  expect(yield* process.fsync(fd)).toBe(0);
  model.sync();
};

describe("a crash at every step of", () => {
  test.each([
    {
      desc: "overwrites and appends",
      steps: [write(0, page("a", 3)), sync, write(PAGE_SIZE, page("b")), write(3 * PAGE_SIZE, page("c", 2)), sync],
    },
    {
      desc: "truncating and writing again",
      steps: [write(0, page("a", 4)), sync, truncate(6000), write(2 * PAGE_SIZE, page("b", 2)), sync],
    },
    {
      desc: "a file that moves into the dinode and out",
      steps: [write(0, page("a", 2)), sync, truncate(0), write(0, "small"), sync, write(10, page("b", 2)), sync],
    },
  ])("$desc", ({ steps }) => {
    let crashes = 0;
    for (let at = 1; ; at++) {
      const chooser = new StopAt(at);
      const rig = new Rig({ nodes: 2, memory: 2 << 20, chooser, dlm: { latency: 0 } });
      const { machine } = rig;
      const n1 = rig.process("n1", 1);
      const n2 = rig.process("n2", 2);
      const model = new Model();
      const history = function* (): MayFault<void> {
        const fd = yield* n1.open("f", O_RDWR | O_CREAT);
        for (const step of steps) yield* step(n1, fd, model);
      };
      const idler = machine.world.spawn("bystander", bystander, { daemon: true });
      const verdict = rig.run([n1, history()]);
      machine.world.abandon(idler);
      chooser.left = Number.POSITIVE_INFINITY;
      machine.crash(machine.nodes[0]);
      const found = n2.does(n2.read(n2.does(n2.open("f")), 10 * PAGE_SIZE, 0));
      expect(model.explain(found), `step ${at}`).toBe("");
      expect(rig.onDisk("f"), `step ${at}`).toBe(found);
      if (verdict.kind === "completed") break;
      crashes++;
    }
    expect(crashes).toBeGreaterThan(10);
  });
});
