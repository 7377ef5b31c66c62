// What is read of a thread's account: pages, windows and allowances, and which pages were clean for sure.
import { expect, test } from "vitest";
import { chargeLedger, type Entry } from "./charge-ledger.ts";
import type { Expectation } from "./expectation.ts";
import type { Op, Scenario } from "./op.ts";
import type { OpTrace, RecordedEvent, Recording } from "./result.ts";

const BARRIER: Op = { op: "barrier" };
const EVICT: Op = { op: "evict", map: "m", off: 0, len: 65536 };
const WRITE: Op = { op: "pwrite", fd: "f", pos: 5000, iov: [["m", 0, 20000]] };
const READ: Op = { op: "pread", fd: "f", pos: 5000, iov: [["m", 0, 20000]] };

type Traces = readonly (readonly [thread: number, op: number, events: readonly RecordedEvent[]])[];

function ledger(threads: Op[][], traces: Traces, unseen: readonly string[] = []): (readonly Entry[])[][] {
  const ops: Op[] = [
    { op: "open", fd: "f", file: "a", flags: ["O_RDWR"] },
    { op: "open", fd: "g", file: "b", flags: ["O_RDWR"] },
    { op: "mmap", map: "m", len: 65536, prot: "rw", flags: ["shared"], fd: "g", off: 0 },
  ];
  const trace: OpTrace[] = traces.map(([thread, op, events]) => ({ thread, op, events }));
  const expectation: Partial<Expectation> = {
    scenario: { ops, threads } as Partial<Scenario> as Scenario,
    recording: { trace } as Partial<Recording> as Recording,
    unseen: new Set(unseen),
  };
  return chargeLedger(expectation as Expectation).map(({ ops }) => ops.map((list) => list.flat()));
}

const page = (file: string, at: number, sure = true): Entry => ({ kind: "page", file, page: at, sure });

test("a write dirties the pages that it copies, and looks at the throttle before the next one", () => {
  const events: RecordedEvent[] = [
    ["file_write"],
    ["update_time"],
    ["fault_in_readable", "m", 0, 11384],
    ["iomap_write"],
    ["write_end", "ret", 1],
    ["fault_in_readable", "m", 3192, 4096, "ret", 0],
    ["write_end", "ret", 1],
    ["balance_dirty", 32],
    ["write_end", "ret", 0],
    ["iomap_write", "ret", 7288],
    ["fault_in_readable", "m", 7288, 12712],
  ];
  expect(ledger([[WRITE]], [[0, 0, events]])).toEqual([
    [
      [
        { kind: "update", file: "a" },
        { kind: "window", pages: 3, least: false },
        page("a", 1),
        { kind: "look" },
        page("a", 2),
        { kind: "balance", pages: 32 },
        { kind: "window", pages: 4, least: true },
      ],
    ],
  ]);
});

test("a fault for writing dirties a page of the file that is mapped, and that file's dinode", () => {
  const events: RecordedEvent[] = [
    ["fault_in_safe_w", "m", 0, 20000],
    ["mm_fault", "m", 0, "w"],
    ["gfs2_mkwrite", 3],
    ["update_time"],
    ["gfs2_mkwrite", "ret", "LOCKED"],
    ["mm_fault", "ret", "LOCKED|COMPLETED"],
    ["mm_fault", "m", 4096, "w"],
    ["gfs2_mkwrite", 4],
    ["gfs2_mkwrite", "ret", "NOPAGE"],
  ];
  expect(ledger([[READ]], [[0, 0, events]])).toEqual([
    [
      [
        { kind: "window", pages: 6, least: true },
        page("b", 3),
        { kind: "update", file: "b" },
        { kind: "look" },
        page("b", 4, false),
      ],
    ],
  ]);
});

test("a page that may be dirty does not count for sure, until its file was made durable by itself", () => {
  const fault: RecordedEvent[] = [
    ["mm_fault", "m", 0, "w"],
    ["gfs2_mkwrite", 3],
    ["gfs2_mkwrite", "ret", "LOCKED"],
  ];
  const again = ledger(
    [[READ, BARRIER, READ, BARRIER, EVICT, BARRIER, READ]],
    [
      [0, 0, fault],
      [0, 2, fault],
      [0, 6, fault],
    ],
  );
  expect(again).toEqual([
    [[page("b", 3)]],
    [[page("b", 3, false)]],
    [[{ kind: "commit", file: "b" }]],
    [[page("b", 3)]],
  ]);
  // Who of two dirties it is not known.
  const both = ledger(
    [[READ], [READ]],
    [
      [0, 0, fault],
      [1, 0, fault],
    ],
  );
  expect(both).toEqual([[[page("b", 3, false)], [page("b", 3, false)]]]);
});

test("nothing is known of an operation that changes a file otherwise, or whose events were not seen", () => {
  const unknown = [[[{ kind: "unknown" }]]];
  expect(ledger([[{ op: "ftruncate", fd: "f", len: 0 }]], [])).toEqual(unknown);
  expect(ledger([[READ]], [[0, 0, []]], ["gfs2_mkwrite"])).toEqual(unknown);
});
