// What is atomic about a pipe, also when the copy faults in the middle; what is not; and what both ends are told
// when there is no room, no data, no reader or no writer. Schedules are tried at random from fixed seeds.
import {
  EAGAIN,
  EBUSY,
  EFAULT,
  EINTR,
  EINVAL,
  EOPNOTSUPP,
  EPERM,
  EPIPE,
  err,
  type MayFault,
  PAGE_SIZE,
  PREEMPT,
  RandomChooser,
  type WaitChannel,
  type WorldOptions,
  wakeUpAll,
} from "@faultline/kernel";
import {
  doMunmap,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  pageAddress,
  ptePfn,
  userStore,
} from "@faultline/mm";
import { describe, expect, test } from "vitest";
import {
  GFS2_6_1,
  GFS2_6_12,
  type Gfs2Revision,
  Machine,
  O_NONBLOCK,
  PIPE_BUF,
  REVISIONS,
  RWF_NOWAIT,
  SIGPIPE,
  sysClose,
  sysFionread,
  sysMmap,
  sysPipe2,
  sysPreadv2,
  sysRead,
  sysSetPipeSize,
  sysWrite,
} from "../index.ts";
import type { FsTask } from "../sys/fs-task.ts";

/** A task with a pipe, and memory that ends after so many pages. */
class Stage {
  readonly machine: Machine;
  readonly task: FsTask;
  readonly reader: number;
  readonly writer: number;

  constructor(flags = 0, kernel: Gfs2Revision = GFS2_6_12, options: WorldOptions = {}) {
    this.machine = new Machine({ kernel, memory: 4 << 20, ...options });
    this.task = this.machine.task("main");
    const ends = this.call(sysPipe2(this.task, flags));
    if (typeof ends === "number") throw new Error("no pipe");
    [this.reader, this.writer] = ends;
  }

  call<T>(body: MayFault<T>): T {
    return this.machine.call(this.task, body);
  }

  /** New memory with a hole behind it. */
  memory(pages: number): number {
    const { task } = this;
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const length = (pages + 1) * PAGE_SIZE;
    const start = this.call(sysMmap(task, { address: 0, length, prot: PROT_READ | PROT_WRITE, flags }));
    expect(this.call(doMunmap(task, start + pages * PAGE_SIZE, PAGE_SIZE))).toBe(0);
    return start;
  }

  write(address: number, size: number): number {
    return this.call(sysWrite(this.task, this.writer, address, size));
  }

  read(address: number, size: number): number {
    return this.call(sysRead(this.task, this.reader, address, size));
  }

  get waiting(): number {
    return this.call(sysFionread(this.task, this.reader));
  }
}

describe("a fault in the middle of a write", () => {
  test.each([
    { desc: "can be handled: all is written", size: PIPE_BUF, good: 2, ret: PIPE_BUF },
    { desc: "cannot: nothing of an atomic write", size: PIPE_BUF, good: 1, ret: err(EFAULT) },
    { desc: "cannot, one byte before the end", size: PAGE_SIZE / 2 + 1, good: 1, ret: err(EFAULT) },
    { desc: "is not met: the write ends before it", size: PAGE_SIZE / 2, good: 1, ret: PAGE_SIZE / 2 },
    { desc: "cannot, in a larger write: the whole slots before it", size: 3 * PAGE_SIZE, good: 2, ret: PAGE_SIZE },
  ])("$desc", ({ size, good, ret }) => {
    for (const kernel of [REVISIONS["5.10"], GFS2_6_12, REVISIONS["7.2"]]) {
      const stage = new Stage(0, kernel);
      expect(stage.write(stage.memory(good) + PAGE_SIZE / 2, size)).toBe(ret);
      expect(stage.waiting).toBe(Math.max(ret, 0));
    }
  });

  test("behind data that leave room: the data stay as they were", () => {
    const stage = new Stage();
    const memory = stage.memory(1);
    expect(stage.write(memory, 100)).toBe(100);
    expect(stage.write(memory + PAGE_SIZE - 50, 100)).toBe(err(EFAULT));
    expect(stage.waiting).toBe(100);
    expect(stage.write(memory, 100)).toBe(100);
    expect(stage.read(stage.memory(1), PAGE_SIZE)).toBe(200);
  });

  test("of a read: what did not arrive is still in the pipe", () => {
    const stage = new Stage();
    const [source, target] = [stage.memory(2), stage.memory(1)];
    expect(stage.write(source, PAGE_SIZE)).toBe(PAGE_SIZE);
    expect(stage.write(source, PAGE_SIZE)).toBe(PAGE_SIZE);
    expect(stage.read(target, 2 * PAGE_SIZE)).toBe(PAGE_SIZE);
    expect(stage.read(target + PAGE_SIZE, PAGE_SIZE)).toBe(err(EFAULT));
    expect(stage.waiting).toBe(PAGE_SIZE);
  });
});

/** Bytes in the pipe's order, after `count` writers wrote `writes` times `size` bytes each, all their own number. */
function mixture(seed: number, size: number, count: number, writes: number): number[] {
  const stage = new Stage(0, GFS2_6_12, { chooser: new RandomChooser(seed) });
  const { machine, task } = stage;
  expect(stage.call(sysSetPipeSize(task, stage.writer, 2 * PAGE_SIZE))).toBe(2 * PAGE_SIZE);
  const target = stage.memory(1);
  const buffers = Array.from({ length: count }, () => stage.memory(Math.ceil(size / PAGE_SIZE) + 1) + PAGE_SIZE / 2);
  const { u8 } = task.mm.mem;
  const scratch = pageAddress(task.mm.mem.tryAllocPage(true));
  for (const [i, buffer] of buffers.entries()) {
    // The first page only: the rest is faulted in by the writes.
    u8.fill(i + 1, scratch, scratch + PAGE_SIZE / 2);
    expect(stage.call(userStore(task, buffer, scratch, PAGE_SIZE / 2)).signal).toBe(0);
  }
  for (const [i, buffer] of buffers.entries()) {
    const writer = machine.thread(task, `writer ${i + 1}`);
    machine.start(writer, repeatWrite(writer, stage.writer, buffer, size, writes));
  }
  const bytes: number[] = [];
  const reader = machine.thread(task, "reader");
  machine.start(reader, drain(reader, stage.reader, target, size * count * writes, bytes));
  expect(machine.run().verdict.kind).toBe("completed");
  return bytes;
}

function* repeatWrite(task: FsTask, fd: number, buffer: number, size: number, writes: number): MayFault<void> {
  for (let i = 0; i < writes; i++) expect(yield* sysWrite(task, fd, buffer, size)).toBe(size);
}

function* drain(task: FsTask, fd: number, target: number, total: number, bytes: number[]): MayFault<void> {
  while (bytes.length < total) {
    const got = yield* sysRead(task, fd, target, PAGE_SIZE);
    expect(got).toBeGreaterThan(0);
    const start = pageAddress(ptePfn(task.mm.pgd.get(target / PAGE_SIZE)));
    bytes.push(...task.mm.mem.u8.subarray(start, start + got));
    yield PREEMPT;
  }
}

/** The first half of every write says who it is from, the second is zero: is each in one piece? */
function isInOnePiece(bytes: readonly number[], size: number): boolean {
  for (let at = 0; at < bytes.length; at += size) {
    const piece = bytes.slice(at, at + size);
    const named = Math.min(size, PAGE_SIZE / 2);
    if (piece[0] === 0 || piece.some((byte, i) => byte !== (i < named ? piece[0] : 0))) return false;
  }
  return true;
}

const SEEDS = Array.from({ length: 12 }, (_, seed) => seed);

describe("several writers", () => {
  test.each([PIPE_BUF, PIPE_BUF - 96, 512])("of %i bytes each are never mixed, though all fault", (size) => {
    for (const seed of SEEDS) expect(isInOnePiece(mixture(seed, size, 3, 2), size)).toBe(true);
  });

  test("of more than PIPE_BUF may be, and in some order are", () => {
    const size = 3 * PAGE_SIZE;
    expect(SEEDS.map((seed) => isInOnePiece(mixture(seed, size, 2, 1), size))).toContain(false);
  });
});

describe("O_NONBLOCK", () => {
  test("an atomic write that does not fit leaves nothing; a larger one what fits", () => {
    const stage = new Stage(O_NONBLOCK);
    const memory = stage.memory(4);
    expect(stage.call(sysSetPipeSize(stage.task, stage.writer, 2 * PAGE_SIZE))).toBe(2 * PAGE_SIZE);
    expect(stage.write(memory, PAGE_SIZE)).toBe(PAGE_SIZE);
    expect(stage.write(memory, 3 * PAGE_SIZE)).toBe(PAGE_SIZE);
    expect(stage.write(memory, 1)).toBe(err(EAGAIN));
    expect(stage.waiting).toBe(2 * PAGE_SIZE);
  });

  test("an empty pipe is EAGAIN, without a writer the end", () => {
    const stage = new Stage(O_NONBLOCK);
    const memory = stage.memory(1);
    expect(stage.read(memory, 10)).toBe(err(EAGAIN));
    expect(stage.write(memory, 3)).toBe(3);
    expect(stage.call(sysClose(stage.task, stage.writer))).toBe(0);
    expect([stage.read(memory, 10), stage.read(memory, 10)]).toEqual([3, 0]);
  });

  test.each([
    { kernel: GFS2_6_1, ret: err(EOPNOTSUPP) },
    { kernel: GFS2_6_12, ret: err(EAGAIN) },
  ])("RWF_NOWAIT asks for the same for one call: $kernel.name", ({ kernel, ret }) => {
    const stage = new Stage(0, kernel);
    const vec = [{ base: stage.memory(1), len: 10 }];
    expect(stage.call(sysPreadv2(stage.task, stage.reader, vec, -1, RWF_NOWAIT))).toBe(ret);
  });
});

describe("nobody reads", () => {
  test("EPIPE and SIGPIPE, except for nothing at all", () => {
    const stage = new Stage();
    const memory = stage.memory(1);
    expect(stage.call(sysClose(stage.task, stage.reader))).toBe(0);
    expect(stage.write(memory, 0)).toBe(0);
    expect(stage.task.pendingSignals.has(SIGPIPE)).toBe(false);
    expect(stage.write(memory, 1)).toBe(err(EPIPE));
    expect(stage.task.pendingSignals.has(SIGPIPE)).toBe(true);
  });

  test("any more, while a large write waits for room: what was written counts, and SIGPIPE all the same", () => {
    const stage = new Stage();
    const { machine, task } = stage;
    const memory = stage.memory(20);
    const writer = machine.thread(task, "writer");
    machine.start(writer, sysWrite(writer, stage.writer, memory, 20 * PAGE_SIZE));
    machine.start(task, sysClose(task, stage.reader));
    expect(machine.run().verdict.kind).toBe("completed");
    expect(writer.result).toBe(16 * PAGE_SIZE);
    expect(writer.pendingSignals.has(SIGPIPE)).toBe(true);
  });
});

test("a fatal signal ends both waits", () => {
  const stage = new Stage();
  const { machine, task } = stage;
  const memory = stage.memory(17);
  const calls = [
    (each: FsTask) => sysRead(each, stage.reader, memory, 1),
    (each: FsTask) => sysWrite(each, stage.writer, memory, 17 * PAGE_SIZE),
  ];
  const ends = calls.map((call) => {
    const each = machine.thread(task, "waiter");
    machine.start(each, call(each));
    machine.world.after(1000, () => {
      each.fatalSignal = true;
      wakeUpAll(each.sleepingOn as WaitChannel);
    });
    return { verdict: machine.run().verdict.kind, result: each.result };
  });
  expect(ends).toEqual([
    { verdict: "completed", result: err(EINTR) },
    { verdict: "completed", result: 16 * PAGE_SIZE },
  ]);
});

describe("F_SETPIPE_SZ", () => {
  const full = (slots: number): Stage => {
    const stage = new Stage(O_NONBLOCK);
    const memory = stage.memory(slots + 1);
    expect(stage.write(memory, slots * PAGE_SIZE)).toBe(slots * PAGE_SIZE);
    return stage;
  };
  test.each([
    { size: 0, ret: PAGE_SIZE },
    { size: 1, ret: PAGE_SIZE },
    { size: PAGE_SIZE + 1, ret: 2 * PAGE_SIZE },
    { size: 5 * PAGE_SIZE, ret: 8 * PAGE_SIZE },
    { size: 1024 * 1024, ret: 1024 * 1024 },
    { size: 1024 * 1024 + 1, ret: err(EPERM) },
    { size: 2 ** 31 + 1, ret: err(EINVAL) },
    { size: -1, ret: err(EINVAL) },
  ])("$size bytes: $ret", ({ size, ret }) => {
    const stage = new Stage();
    expect(stage.call(sysSetPipeSize(stage.task, stage.reader, size))).toBe(ret);
  });

  test("no smaller than what it holds, and then there is room for so much", () => {
    const stage = full(3);
    const { task, writer } = stage;
    expect(stage.call(sysSetPipeSize(task, writer, 2 * PAGE_SIZE))).toBe(err(EBUSY));
    expect(stage.call(sysSetPipeSize(task, writer, 4 * PAGE_SIZE))).toBe(4 * PAGE_SIZE);
    expect(stage.write(stage.memory(2), 2 * PAGE_SIZE)).toBe(PAGE_SIZE);
  });
});

test("what nobody will read any more is freed with the last end", () => {
  const stage = new Stage();
  const { mem } = stage.task.mm;
  const memory = stage.memory(3);
  expect(stage.write(memory, 3 * PAGE_SIZE)).toBe(3 * PAGE_SIZE);
  const before = mem.freePages;
  for (const fd of [stage.reader, stage.writer]) expect(stage.call(sysClose(stage.task, fd))).toBe(0);
  expect(mem.freePages - before).toBe(3);
});
