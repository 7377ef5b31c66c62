// When an eviction is to go on, by what others are to find of the file and by what is to be left of it.
import { type FsTask, type Gfs2Inode, Machine, O_RDONLY, REVISIONS, sysMmap, sysOpen, sysPread64 } from "@faultline/fs";
import { MAP_ANONYMOUS, MAP_PRIVATE, PG_LOCKED, PG_UPTODATE, PROT_READ, PROT_WRITE } from "@faultline/mm";
import { expect, test } from "vitest";
import { DropForesight } from "./drop-foresight.ts";
import type { Expectation } from "./expectation.ts";
import { Foresight, type Outlook } from "./foresight.ts";
import { Names } from "./maps.ts";
import type { Call } from "./ops.ts";
import type { Progress } from "./progress.ts";
import type { RecordedEvent } from "./result.ts";

const PAGES = 16;
const FIRST = 8;
const ALL = PAGES - FIRST;

interface Situation {
  readonly call?: Call;
  /** Pages that the eviction is to leave; undefined when it is not known. */
  readonly resident?: number;
  /** What another lane is to do; undefined when it is in no call. */
  readonly other?: readonly RecordedEvent[];
  /** Pages that somebody has locked. */
  readonly locked?: readonly number[];
  /** Pages that are being read. */
  readonly reading?: readonly number[];
  /** The page of the map that the other lane's call touches. */
  readonly touched?: number;
  /** The eviction is made once more. */
  readonly again?: boolean;
  /** The lock events of both lanes, in their order. */
  readonly order?: readonly (readonly [lane: number, text: string])[];
}

/** A file whose pages are cached. */
function cached(): FsTask {
  const machine = new Machine({ kernel: REVISIONS["7.2"] });
  machine.file("a", PAGES * 4096);
  const task = machine.task("evicting");
  const fd = machine.call(task, sysOpen(task, "a", O_RDONLY));
  const length = PAGES * 4096;
  const memory = { length, prot: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS };
  const buffer = machine.call(task, sysMmap(task, memory));
  expect(machine.call(task, sysPread64(task, fd, buffer, length, 0))).toBe(length);
  return task;
}

/** Of a lane that evicts pages 8 to 15. */
function outlook(situation: Situation): Outlook {
  const { call = "fadvise", resident, other, locked = [], reading = [], touched = 0, again = false } = situation;
  const { order = [] } = situation;
  const task = cached();
  const { mapping } = task.root.lookup("a", false) as Gfs2Inode;
  const { flags } = mapping.mem;
  for (const page of locked) flags[mapping.find(page)] |= PG_LOCKED;
  for (const page of reading) flags[mapping.find(page)] = (flags[mapping.find(page)] | PG_LOCKED) & ~PG_UPTODATE;
  const names = new Names();
  Object.assign(names.declareMap("m"), { file: "a", length: PAGES * 4096 });
  const op = { op: "evict", map: "m", off: FIRST * 4096, len: ALL * 4096 };
  const expectation = {
    scenario: { threads: [again ? [op, op] : [op], [{ op: "touch", map: "m", off: touched * 4096, len: 4096 }]] },
    positions: [0, 1, 2].map((at) => order.flatMap(([lane], position) => (lane === at ? [position] : []))),
    merged: order.map(([, text]) => ({ text })),
    result: () => ({ resident }),
  } as unknown as Expectation;
  const lane = { lane: 0, op: 0, merged: 0, idle: false, call, task, expected: null, got: [] } as unknown as Progress;
  const events: readonly RecordedEvent[] = other === undefined ? [] : [["glock_nq", "a", "PR"], ...other];
  const expected = { events, without: new Set<string>(), updates: [], cut: false };
  const got = events.slice(0, 1);
  const another = { lane: 1, op: 0, idle: false, call: null, merged: 0, task, expected, got } as unknown as Progress;
  return new DropForesight(expectation, names, new Foresight(expectation, names)).outlook(lane, [lane, another]);
}

const ASKS_FIRST: NonNullable<Situation["order"]> = [
  [0, "glock_nq a PR"],
  [1, "gfs2_fault 9"],
];
const FOUND: readonly RecordedEvent[] = [["filemap_fault", 9, "ret", "LOCKED"]];
const MISSED: readonly RecordedEvent[] = [
  ["filemap_fault", 9],
  ["iomap_begin", "pos", 9 * 4096, "len", 7 * 4096],
  ["filemap_fault", "ret", "MAJOR|RETRY"],
];
const HELD: Situation = { other: [...FOUND, ...MISSED], locked: [9] };
const UNMAPS: Situation = { call: "madvise", other: [["file_read"]] };
const LOSES: Situation = {
  call: "madvise",
  other: [
    ["gfs2_fault", "ret", "MAJOR|RETRY"],
    ["mm_fault", "m", FIRST * 4096, "r"],
    ["map_pages", 8, 15],
    ["mm_fault", "ret", "NOPAGE"],
    ["pf_kernel", "m", FIRST * 4096, "r"],
  ],
};
const ASKS = [0, "glock_nq a PR"] as const;
const RETURNS = [1, "gfs2_fault ret MAJOR|RETRY"] as const;
const NUMBERS = Array.from({ length: ALL }, (_, i) => FIRST + i);

test.each<{ desc: string; situation: Situation; want: Outlook }>([
  { desc: "nothing is known", situation: {}, want: "any" },
  { desc: "nothing is to be left", situation: { resident: 0 }, want: "any" },
  { desc: "one page is to be left that nobody holds yet", situation: { resident: 1 }, want: "later" },
  { desc: "the one page that is to be left is held", situation: { resident: 1, locked: [9] }, want: "any" },
  { desc: "a page is to go that is held", situation: { resident: 0, locked: [9] }, want: "later" },
  { desc: "all are to be left that are read just now", situation: { resident: ALL, reading: NUMBERS }, want: "now" },
  { desc: "others are to find the page", situation: { other: FOUND }, want: "later" },
  { desc: "others hold the page that they are to find", situation: { other: FOUND, locked: [9] }, want: "any" },
  { desc: "others are to find it gone", situation: { other: MISSED }, want: "any" },
  { desc: "others are to find it gone, and it is held", situation: { other: MISSED, locked: [9] }, want: "later" },
  { desc: "others are to find it, and gone before", situation: { other: [...MISSED, ...FOUND] }, want: "any" },
  { desc: "others hold it when they find it, and it is gone then", situation: HELD, want: "later" },
  { desc: "the same, and it is dropped once more", situation: { ...HELD, again: true }, want: "any" },
  { desc: "others keep what they touch of the map", situation: { ...UNMAPS, touched: FIRST }, want: "later" },
  { desc: "others touch something else", situation: { ...UNMAPS, touched: FIRST - 1 }, want: "any" },
  {
    desc: "others come out of their fault first, and then lose what they have",
    situation: { ...LOSES, order: [RETURNS, ASKS] },
    want: "later",
  },
  {
    desc: "they lose it after it asks for its next lock, and that before they come out",
    situation: { ...LOSES, order: [ASKS, RETURNS] },
    want: "any",
  },
  { desc: "nobody is in a call, and pages are read still", situation: { resident: 0, reading: [9] }, want: "later" },
  {
    desc: "somebody is in a call, and pages are read still",
    situation: { resident: 0, reading: [9], other: [["file_read"]] },
    want: "any",
  },
  { desc: "pages are missing when they are counted", situation: { call: "mincore", resident: 9 }, want: "later" },
  { desc: "all are there when they are counted", situation: { call: "mincore", resident: ALL }, want: "now" },
  {
    desc: "what others map is to be left",
    situation: { call: "madvise", resident: ALL, other: [["file_read"]], touched: 9 },
    want: "now",
  },
  {
    desc: "what others map is to be dropped",
    situation: { call: "madvise", resident: 0, other: [["file_read"]], touched: 9 },
    want: "later",
  },
  {
    desc: "others wait for a lock that comes later",
    situation: { call: "madvise", resident: 0, other: [["gfs2_fault", 9]], touched: 9, order: ASKS_FIRST },
    want: "any",
  },
  { desc: "the file is opened first", situation: { call: "open", resident: 1 }, want: "any" },
])("$desc: $want", ({ situation, want }) => {
  expect(outlook(situation)).toBe(want);
});
