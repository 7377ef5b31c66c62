// What recorded events say of the page cache, before and after the pages are read.
import { type FsTask, type Gfs2Inode, Machine, O_RDONLY, REVISIONS, sysMmap, sysOpen, sysPread64 } from "@faultline/fs";
import type { Pfn } from "@faultline/kernel";
import { MAP_ANONYMOUS, MAP_PRIVATE, PG_READAHEAD, PROT_READ, PROT_WRITE } from "@faultline/mm";
import { expect, test } from "vitest";
import type { Expectation } from "./expectation.ts";
import { Foresight } from "./foresight.ts";
import { LockForesight } from "./lock-foresight.ts";
import { Names } from "./maps.ts";
import type { Progress } from "./progress.ts";
import type { RecordedEvent } from "./result.ts";

const PAGES = 64;

/** A file of 64 pages of which nothing is cached, or all. */
function taskOf(cached: boolean): FsTask {
  const machine = new Machine({ kernel: REVISIONS["6.12"] });
  machine.file("a", PAGES * 4096);
  const task = machine.task("reader");
  const fd = machine.call(task, sysOpen(task, "a", O_RDONLY));
  const length = PAGES * 4096;
  const buffer = machine.call(
    task,
    sysMmap(task, { length, prot: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS }),
  );
  if (cached) expect(machine.call(task, sysPread64(task, fd, buffer, length, 0))).toBe(length);
  return task;
}

const events = (...next: readonly RecordedEvent[]): readonly RecordedEvent[] => [["glock_nq", "a", "PR"], ...next];

function outlook(
  cached: boolean,
  list: readonly RecordedEvent[],
  interruptedAt: Progress["interruptedAt"] = null,
  at = 1,
): string {
  const names = new Names();
  const task = taskOf(cached);
  const inode = task.root.lookup("a", false);
  if (typeof inode !== "number") names.inodes.set(inode.ino, "a");
  Object.assign(names.declareMap("m"), { file: "a", length: PAGES * 4096 });
  const foresight = new Foresight({ scenario: { threads: [[]] }, positions: [[]] } as unknown as Expectation, names);
  const expected = { events: list, without: new Set<string>(), updates: [], cut: false };
  const progress = { lane: 0, op: 0, task, expected, got: list.slice(0, at), interruptedAt } as unknown as Progress;
  return foresight.outlook(progress).outlook;
}

test.each([
  { desc: "found read", list: events(["filemap_fault", 32, "ret", "LOCKED"]), want: ["later", "now"] },
  { desc: "found while it is read", list: events(["filemap_fault", 32, "ret", "RETRY"]), want: ["later", "never"] },
  {
    desc: "missing, with all of its window",
    list: events(
      ["filemap_fault", 32],
      ["iomap_begin", "pos", 65536, "len", 131072],
      ["filemap_fault", "ret", "MAJOR|RETRY"],
    ),
    want: ["now", "never"],
  },
  {
    desc: "missing, with the second half of its window",
    list: events(
      ["filemap_fault", 32],
      ["iomap_begin", "pos", 131072, "len", 65536],
      ["filemap_fault", "ret", "MAJOR|RETRY"],
    ),
    want: ["later", "never"],
  },
  {
    desc: "mapped around",
    list: events(["mm_fault", "m", 8192, "r"], ["map_pages", 0, 15], ["mm_fault", "ret", "NOPAGE"]),
    want: ["later", "now"],
  },
  {
    desc: "mapped around, and protected",
    list: events(
      ["mm_fault", "m", 8192, "r"],
      ["map_pages", 0, 15],
      ["mm_fault", "ret", "NOPAGE"],
      ["pf_user", "m", 16384, "wp"],
    ),
    want: ["later", "now"],
  },
  {
    desc: "not mapped around",
    list: events(["mm_fault", "m", 8192, "r"], ["map_pages", 0, 15], ["gfs2_fault", 2]),
    want: ["now", "never"],
  },
  {
    desc: "lost again, and read alone",
    list: [...events(["filemap_fault", 32]), ["read_folio"]] as readonly RecordedEvent[],
    want: ["now", "later"],
    at: 2,
  },
  { desc: "something else", list: events(["glock_dq", "a", "PR"]), want: ["any", "any"] },
])("a page is $desc", ({ list, want, at }) => {
  expect([outlook(false, list, null, at), outlook(true, list, null, at)]).toEqual(want);
});

test("who was interrupted goes on once somebody has added the page", () => {
  const at = { ino: 1, page: 7 };
  expect([outlook(false, events(), at), outlook(true, events(), at)]).toEqual(["later", "any"]);
});

test("somebody else adds the pages before the next request, and the one behind it", () => {
  const foresight = new Foresight({} as Expectation, new Names());
  const list = events(["iomap_begin", "pos", 8192, "len", 8192], ["iomap_begin", "pos", 20480, "len", 4096]);
  const progress = { expected: { events: list }, got: [] } as unknown as Progress;
  const added = (inHand: number): boolean[] =>
    [0, 1, 2, 3, 4, 5].map((page) => foresight.isAddedByOther(progress, page, inHand));
  expect(added(0)).toEqual([true, true, false, false, false, false]);
  expect(added(1)).toEqual([false, false, false, false, true, false]);
});

test("what is read begins behind the page that is missing: nobody has to have added anything before", () => {
  const list = events(
    ["filemap_fault", 32],
    ["iomap_begin", "pos", 140 * 1024, "len", 4096],
    ["filemap_fault", "ret", "MAJOR|RETRY"],
  );
  expect([outlook(false, list), outlook(true, list)]).toEqual(["now", "never"]);
});

test("a read without the lock that copies something found its page read, and its mark gone", () => {
  const task = taskOf(true);
  const { mapping } = task.root.lookup("a", false) as Gfs2Inode;
  const names = new Names();
  names.fds.set("fd", { fd: 3, file: "a" } as never);
  const op = { op: "pread", fd: "fd", pos: 16 * 4096, iov: [["m", 0, 8192]] };
  const foresight = new Foresight({ scenario: { threads: [[op]] }, positions: [[]] } as unknown as Expectation, names);
  const list: RecordedEvent[] = [["filemap_read"], ["pf_kernel", "m", 0, "w"], ["filemap_read", "ret", -14]];
  const expected = { events: list, without: new Set<string>(), updates: [], cut: false };
  const progress = {
    lane: 0,
    op: 0,
    task,
    expected,
    got: [["filemap_read"]],
    interruptedAt: null,
  } as unknown as Progress;
  names.inodes.set(mapping.ino, "a");
  const finds = (): boolean[] => [mapping.ino, mapping.ino + 1].map((ino) => foresight.findsUnmarked(progress, ino));
  expect(foresight.outlook(progress)).toMatchObject({ outlook: "now", goesOn: true });
  expect(finds()).toEqual([true, false]);
  mapping.mem.flags[mapping.find(16)] |= PG_READAHEAD;
  expect(foresight.outlook(progress).outlook).toBe("later");
  expect(finds()).toEqual([false, false]);
});

test("a read that reads nothing ahead takes the lock when all is there that its mark would have had brought in", () => {
  const names = new Names();
  names.fds.set("fd", { fd: 3, file: "a" });
  const op = { op: "pread", fd: "fd", pos: 4096, iov: [["m", 0, 16 * 4096]] };
  const foresight = new Foresight({ scenario: { threads: [[op]] }, positions: [[]] } as unknown as Expectation, names);
  const list: RecordedEvent[] = [
    ["filemap_read", "ret", 4096],
    ["glock_nq", "a", "PR"],
    ["generic_read"],
    ["filemap_read", "ret", 14 * 4096],
  ];
  /** Without one page; is page 8 marked? */
  const without = (page: number, marked: boolean): string => {
    const task = taskOf(true);
    const { mapping } = task.root.lookup("a", false) as Gfs2Inode;
    if (marked) mapping.mem.flags[mapping.find(8)] |= PG_READAHEAD;
    const find = mapping.find.bind(mapping);
    mapping.find = (at) => (at === page ? (0 as Pfn) : find(at));
    const expected = { events: list, without: new Set<string>(), updates: [], cut: false };
    const got = list.slice(0, 1);
    const progress = { lane: 0, op: 0, task, expected, got, interruptedAt: null } as unknown as Progress;
    return foresight.outlook(progress).outlook;
  };
  expect([1, 2, 15, 16, 47, 48].map((page) => without(page, true))).toEqual([
    "any",
    "later",
    "later",
    "later",
    "later",
    "any",
  ]);
  expect([2, 16].map((page) => without(page, false))).toEqual(["later", "any"]);
});

test("who has come to a page and gone no further waits for the disk that has its file", () => {
  const foresight = new Foresight({} as Expectation, new Names());
  const from = (...got: readonly RecordedEvent[]): string | undefined => {
    const expected = { events: got, without: new Set<string>(), updates: [], cut: false };
    return foresight.readsFrom({ got, expected } as unknown as Progress);
  };
  const fault: readonly RecordedEvent[] = [
    ["glock_nq", "a", "EX"],
    ["glock_nq", "b", "PR"],
    ["filemap_fault", 3],
    ["readahead"],
  ];
  expect(from(...fault)).toBe("b");
  expect(from(...fault, ["filemap_fault", "ret", "RETRY"])).toBeUndefined();
  expect(from(...fault, ["glock_nq", "a", "PR"])).toBeUndefined();
});

test("who grants a lock to somebody when it asks for it itself let that one ask while it held the lock", () => {
  const task = taskOf(true);
  const expectation = { scenario: { threads: [[], []] }, positions: [[0]] } as unknown as Expectation;
  const foresight = new Foresight(expectation, new Names());
  const locks = new LockForesight(expectation);
  const { glock } = task.root.lookup("a", false) as Gfs2Inode;
  const at = (list: readonly RecordedEvent[], done: number, merged = 1): Progress =>
    ({
      lane: 0,
      merged,
      op: 0,
      task,
      expected: { events: list, without: new Set(), updates: [], cut: false },
      got: list.slice(0, done),
      interruptedAt: null,
    }) as unknown as Progress;
  const grants: readonly RecordedEvent[] = [
    ["glock_nq", "a", "PR"],
    ["glock_dq", "a", "PR"],
    ["glock_nq", "a", "PR"],
    ["generic_read", "ret", 4096],
    ["glock_dq", "a", "PR"],
    ["glock_nq", "a", "PR"],
    ["glock_grant", "a", "EX"],
  ];
  const outlooks = (): string[] => [0, 1, 2, 3, 4, 5].map((done) => foresight.outlook(at(grants, done)).outlook);
  expect(outlooks()).toEqual(["any", "any", "any", "later", "later", "later"]);
  // The other one asks the last time once it can wait.
  const asks: readonly RecordedEvent[] = [
    ["glock_nq", "a", "EX"],
    ["glock_nq", "a", "EX"],
  ];
  const early = (asked: number, done: number): boolean => locks.asksTooEarly(at(asks, asked), [at(grants, done)]);
  expect([early(0, 2), early(1, 2), early(1, 3), early(1, 5)]).toEqual([false, true, false, false]);
  const others = [at(grants.with(6, ["glock_grant", "a", "PR"]), 2), at(grants.slice(0, 6), 2)];
  expect(locks.asksTooEarly(at(asks, 1), others)).toBe(false);
  // As long as the order is recorded it leads.
  expect(foresight.outlook(at(grants, 3, 0)).outlook).toBe("any");
  expect(locks.asksTooEarly(at(asks, 1, 0), [at(grants, 2)])).toBe(false);
  // Somebody waits.
  const waiting = { length: 1, holders: () => [] };
  Object.defineProperty(glock, "queue", { value: waiting });
  expect(outlooks()).toEqual(["any", "any", "any", "any", "any", "any"]);
});

test.each([
  { desc: "ends with its first batch", pages: 31, steps: 0, want: ["later", "now"] },
  { desc: "ends with its first batch, and has read that", pages: 31, steps: 1, want: ["now", "never"] },
  { desc: "ends in its second batch", pages: 40, steps: 0, want: ["later", "now"] },
  { desc: "ends in its second batch, and has read the first", pages: 40, steps: 1, want: ["now", "never"] },
  { desc: "reads everything", pages: PAGES, steps: 2, want: ["later", "now"] },
  { desc: "reads nothing", pages: 0, steps: 0, want: ["now", "never"] },
])("without a lock, a read that $desc", ({ pages, steps, want }) => {
  const found = [false, true].map((cached) => {
    const names = new Names();
    names.fds.set("f", { fd: 3, file: "a" });
    const read = { op: "pread", fd: "f", pos: 0, iov: [["m", 0, PAGES * 4096]] };
    const expectation = { scenario: { threads: [[read]] }, positions: [[]] } as unknown as Expectation;
    const list: readonly RecordedEvent[] = [["filemap_read", "ret", pages * 4096 || -11]];
    const expected = { events: list, without: new Set<string>(), updates: [], cut: false };
    const got = [["filemap_read"]];
    const lane = { lane: 0, op: 0, task: taskOf(cached), expected, got, steps, interruptedAt: null };
    return new Foresight(expectation, names).outlook(lane as unknown as Progress).outlook;
  });
  expect(found).toEqual(want);
});
