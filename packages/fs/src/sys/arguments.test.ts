// What a call gets that C could not have made: a TypeError or RangeError that names the argument, nothing has
// happened, and the machine goes on.
import { type MayFault, type MaySleep, RunError } from "@faultline/kernel";
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "@faultline/mm";
import { describe, expect, test } from "vitest";
import * as fs from "../index.ts";
import { Machine, O_CREAT, O_RDWR } from "../index.ts";

const machine = new Machine({ memory: 1 << 20 });
const task = machine.task("caller");
const sys = machine.syscalls(task);
const fd = sys.open("a", O_RDWR | O_CREAT);
const memory = sys.mmap({ length: 4096, prot: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS });

/** What a number may not be. */
const BAD: readonly unknown[] = [Number.NaN, 0.5, Number.POSITIVE_INFINITY, 2 ** 53, "1", null, undefined, {}, 1n];

type Call = (task: never, ...args: never[]) => MayFault<unknown> | MaySleep<unknown>;
const vec = [{ base: memory, len: 10 }];
const mmapArgs = { length: 4096, prot: 0, flags: MAP_PRIVATE };

/** Each call with good arguments, and the names of those that are numbers, by place. */
const CALLS: readonly {
  name: keyof typeof fs & `sys${string}`;
  good: readonly unknown[];
  numbers: readonly string[];
}[] = [
  { name: "sysOpen", good: ["a", 0], numbers: ["", "flags"] },
  { name: "sysClose", good: [99], numbers: ["fd"] },
  { name: "sysDup", good: [99], numbers: ["fd"] },
  { name: "sysLseek", good: [fd, 0, 0], numbers: ["fd", "offset", "whence"] },
  { name: "sysFstat", good: [fd], numbers: ["fd"] },
  { name: "sysFsync", good: [fd], numbers: ["fd"] },
  { name: "sysFtruncate", good: [fd, 0], numbers: ["fd", "length"] },
  { name: "sysFallocate", good: [fd, 0, 0, 1], numbers: ["fd", "mode", "offset", "length"] },
  { name: "sysFadvise", good: [fd, 0, 0, 0], numbers: ["fd", "offset", "length", "advice"] },
  { name: "sysCopyFileRange", good: [fd, 0, fd, 0, 0], numbers: ["fdIn", "posIn", "fdOut", "posOut", "length"] },
  { name: "sysPipe2", good: [0], numbers: ["flags"] },
  { name: "sysSetPipeSize", good: [fd, 1], numbers: ["fd", "size"] },
  { name: "sysFiemap", good: [99, 0], numbers: ["fd", "address"] },
  { name: "sysFionread", good: [fd], numbers: ["fd"] },
  { name: "sysRead", good: [fd, memory, 1], numbers: ["fd", "buf", "count"] },
  { name: "sysWrite", good: [fd, memory, 1], numbers: ["fd", "buf", "count"] },
  { name: "sysPread64", good: [fd, memory, 1, 0], numbers: ["fd", "buf", "count", "pos"] },
  { name: "sysPwrite64", good: [fd, memory, 1, 0], numbers: ["fd", "buf", "count", "pos"] },
  { name: "sysReadv", good: [fd, vec], numbers: ["fd"] },
  { name: "sysWritev", good: [fd, vec], numbers: ["fd"] },
  { name: "sysPreadv", good: [fd, vec, 0], numbers: ["fd", "", "pos"] },
  { name: "sysPwritev", good: [fd, vec, 0], numbers: ["fd", "", "pos"] },
  { name: "sysPreadv2", good: [fd, vec, 0, 0], numbers: ["fd", "", "pos", "flags"] },
  { name: "sysPwritev2", good: [fd, vec, 0, 0], numbers: ["fd", "", "pos", "flags"] },
];

/** Make a call. Throws what it throws. */
function make(name: string, who: unknown, args: readonly unknown[]): unknown {
  const call = (fs as unknown as Record<string, Call>)[name];
  return machine.call(task, call(who as never, ...(args as never[])) as MayFault<unknown>);
}

function failure(attempt: () => unknown): unknown {
  try {
    attempt();
  } catch (error) {
    return error;
  }
  return "nothing was thrown";
}

function namesArgument(error: unknown, name: string): boolean {
  const isOurs = error instanceof TypeError || error instanceof RangeError;
  return isOurs && error.message.startsWith(`${name} must be `);
}

const size = (): unknown => sys.fstat(fd);

describe.each(CALLS)("$name", ({ name, good, numbers }) => {
  test("wants whole numbers", () => {
    const before = size();
    for (const [place, argument] of numbers.entries()) {
      if (argument === "") continue;
      for (const bad of BAD) {
        const error = failure(() => make(name, task, good.with(place, bad)));
        expect(`${argument} ${String(bad)}: ${namesArgument(error, argument) || error}`).toBe(
          `${argument} ${String(bad)}: true`,
        );
      }
    }
    expect(size()).toEqual(before);
    expect(sys.pwrite(fd, memory, 8, 0)).toBe(8);
  });

  test.each([null, undefined, {}, 1])("wants a task, not %s", (who) => {
    expect(
      namesArgument(
        failure(() => make(name, who, good)),
        "task",
      ),
    ).toBe(true);
  });
});

test.each([
  { args: { ...mmapArgs, length: Number.NaN }, argument: "length" },
  { args: { ...mmapArgs, prot: "r" }, argument: "prot" },
  { args: { ...mmapArgs, flags: 0.5 }, argument: "flags" },
  { args: { ...mmapArgs, fd: null }, argument: "fd" },
  { args: { ...mmapArgs, offset: 2 ** 53 }, argument: "offset" },
  { args: { ...mmapArgs, address: {} }, argument: "address" },
])("mmap wants whole numbers: $argument", ({ args, argument }) => {
  expect(
    namesArgument(
      failure(() => make("sysMmap", task, [args])),
      argument,
    ),
  ).toBe(true);
});

test.each([1, null, undefined, {}])("a path is a string, not %s", (path) => {
  for (const [name, rest] of [
    ["sysOpen", [0]],
    ["sysUnlink", []],
  ] as const) {
    expect(
      namesArgument(
        failure(() => make(name, task, [path, ...rest])),
        "path",
      ),
    ).toBe(true);
  }
});

test.each([
  { segments: "ab", says: "vec must be an array" },
  { segments: undefined, says: "vec must be an array" },
  { segments: [vec[0], null], says: "vec[1] must be { base, len }" },
  { segments: [{ base: 0.5, len: 1 }], says: "uvec[0].base must be a whole number" },
  { segments: [{ base: 0 }], says: "uvec[0].len must be a number" },
])("segments are pairs of numbers: $says", ({ segments, says }) => {
  const error = failure(() => make("sysReadv", task, [fd, segments]));
  expect((error as Error).message).toContain(says);
});

describe("a machine", () => {
  test("a task has a name", () => {
    for (const comm of [3, null, undefined])
      expect(() => new Machine().task(comm as never)).toThrow(/comm must be a string/);
  });

  test.each([
    { options: { kernel: "5.11" }, says: 'there is no "5.11"; there are 5.10, ' },
    { options: { kernel: {} }, says: "kernel must be a revision" },
    { options: { memory: -1 }, says: "must be" },
  ])("is not made of $options", ({ options, says }) => {
    expect(() => new Machine(options as never)).toThrow(says);
  });

  test.each([
    { name: "a/../../b", content: 1, says: "is no path on the disk: EINVAL" },
    { name: "no/such", content: 1, says: "is no path on the disk: ENOENT" },
    { name: "twice", content: 1, says: "cannot be made: EEXIST" },
    { name: "new", content: -1, says: "content must be" },
    { name: "new", content: "text", says: "content must be" },
    { name: 5, content: 1, says: "name must be a string" },
  ])("has no file $name of $content", ({ name, content, says }) => {
    const fresh = new Machine({ memory: 1 << 20 });
    expect(fresh.file("twice", new Uint8Array([1, 2, 3]))).toBe("twice");
    expect(() => fresh.file(name as never, content as never)).toThrow(says);
    const sys = fresh.syscalls(fresh.task("reader"));
    expect(sys.fstat(sys.open("twice", 0))).toMatchObject({ size: 3 });
  });

  test("gives the system calls of its tasks only", () => {
    expect(() => machine.syscalls({} as never)).toThrow("task must be a FsTask");
  });
});

test("a call that never returns says so, and other machines do not notice", () => {
  const stuck = new Machine({ memory: 1 << 20 });
  const alone = stuck.syscalls(stuck.task("reader"));
  const ends = alone.pipe2(0) as [number, number];
  const buffer = alone.mmap({ length: 4096, prot: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  const error = failure(() => alone.read(ends[0], buffer, 1));
  expect(error).toBeInstanceOf(RunError);
  expect((error as RunError).verdict.kind).toBe("deadlock");
  expect(sys.pwrite(fd, memory, 8, 0)).toBe(8);
});
