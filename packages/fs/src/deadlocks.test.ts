// The ways in which a read or write and a page fault can wait for each other: each ends badly before the fix, with
// a report that says who waits for whom and where, and ends well after it.
//
// Class D, a lockless read that pins the page cache against another node, needs two nodes: see the cluster's tests.

import { type MayFault, PAGE_SIZE } from "@faultline/kernel";
import { doMunmap, MAP_PRIVATE, MAP_SHARED, userStore } from "@faultline/mm";
import { describe, expect, test } from "vitest";
import {
  type FsTask,
  type Gfs2Revision,
  O_DIRECT,
  O_RDWR,
  REVISIONS,
  sysFtruncate,
  sysPread64,
  sysPwrite64,
} from "./index.ts";
import { fileByte, fileBytes, Rig } from "./testing/rig.ts";

const FIXED = ["v4", "5.16", "5.18", "6.1", "6.12", "7.2"];

function rigOf(name: string, latency = 0): Rig {
  return new Rig(REVISIONS[name] as Gfs2Revision, { latency });
}

/** Run calls as tasks. Returns: the report, as one text. */
function together(
  rig: Rig,
  calls: readonly (readonly [FsTask, MayFault<number>])[],
): { report: string; returns: number[] } {
  const returns: number[] = [];
  for (const [index, [task, call]] of calls.entries()) {
    const body = function* (): MayFault<void> {
      returns[index] = yield* call;
    };
    rig.machine.start(task, body());
  }
  return { report: rig.report().join("\n"), returns };
}

describe("A: a task that faults on the file that it reads or writes", () => {
  type Call = (rig: Rig, fd: number, map: number) => MayFault<number>;
  const read: Call = ({ task }, fd, map) => sysPread64(task, fd, map, PAGE_SIZE, PAGE_SIZE);
  const write: Call = ({ task }, fd, map) => sysPwrite64(task, fd, map, PAGE_SIZE, PAGE_SIZE);
  const cases: readonly { desc: string; call: Call; flags: number; held: string; by: string }[] = [
    { desc: "buffered read", call: read, flags: 0, held: "PR", by: "gfs2_file_read_iter" },
    { desc: "buffered write", call: write, flags: 0, held: "EX", by: "gfs2_iomap_begin" },
    { desc: "direct read", call: read, flags: O_DIRECT, held: "CW", by: "gfs2_file_direct_read" },
    { desc: "direct write", call: write, flags: O_DIRECT, held: "CW", by: "gfs2_file_direct_write" },
  ];

  /** Page 1 is read or written, page 0 is the buffer. */
  const play = (name: string, flags: number, call: Call): { rig: Rig; report: string; returns: number[] } => {
    const rig = rigOf(name);
    rig.make("a", { size: "dd" });
    const fd = rig.open("a", O_RDWR | flags);
    return { rig, ...together(rig, [[rig.task, call(rig, fd, rig.map(fd, 2, MAP_PRIVATE))]]) };
  };

  test.each(cases)("$desc: a BUG that names both holders (5.10)", ({ call, flags, held, by }) => {
    const { report } = play("5.10", flags, call);
    expect(report).toContain("BUG: kernel BUG at fs/gfs2/glock.c:1403!");
    expect(report).toMatch(new RegExp(`original: ${by}\\n.*\\n.*req lock state: ${held}`));
    expect(report).toMatch(/new: gfs2_fault\n.*\n.*req lock state: PR/);
  });

  test.each(FIXED.flatMap((name) => cases.map((each) => ({ name, ...each }))))(
    "$desc: done ($name)",
    ({ name, call, flags }) => {
      const { rig, report, returns } = play(name, flags, call);
      expect({ report, returns }).toEqual({ report: "COMPLETED", returns: [PAGE_SIZE] });
      rig.check();
    },
  );
});

describe("B: two tasks, two files, crosswise", () => {
  const play = (name: string, flags: number): { rig: Rig; report: string; returns: number[] } => {
    const rig = rigOf(name, 100);
    for (const file of ["a", "b"]) rig.make(file, { size: "dddd" });
    const [one, two] = [rig.task, rig.process("two")];
    const call = (task: FsTask, file: string, buffer: string): readonly [FsTask, MayFault<number>] => {
      const map = rig.map(rig.open(buffer, O_RDWR, task), 4, MAP_SHARED, 3, task);
      return [task, sysPread64(task, rig.open(file, O_RDWR | flags, task), map, 2 * PAGE_SIZE, 0)];
    };
    return { rig, ...together(rig, [call(one, "a", "b"), call(two, "b", "a")]) };
  };

  test.each([
    { desc: "buffered", flags: 0, held: "PR", wanted: "EX" },
    { desc: "direct", flags: O_DIRECT, held: "CW", wanted: "PR" },
  ])("$desc reads hang, each with what the other wants (5.10)", ({ flags, held, wanted }) => {
    const { report } = play("5.10", flags);
    expect(report).toMatch(/^DEADLOCK/);
    for (const [mine, other] of ["ab", "ba"]) {
      expect(report).toMatch(
        new RegExp(`glock ${mine} \\(${held}\\).*\\n(.*\\n)*?.*wants glock ${other} \\(${wanted}\\)`),
      );
    }
    expect(report).toMatch(/gfs2_glock_wait/);
    expect(report).toMatch(wanted === "EX" ? /gfs2_page_mkwrite/ : /gfs2_fault/);
    expect(report).toMatch(flags === 0 ? /gfs2_file_read_iter/ : /gfs2_file_direct_read/);
  });

  test.each(FIXED.flatMap((name) => [0, O_DIRECT].map((flags) => ({ name, flags }))))(
    "all done ($name, flags $flags)",
    ({ name, flags }) => {
      const { rig, report, returns } = play(name, flags);
      expect({ report, returns }).toEqual({ report: "COMPLETED", returns: [2 * PAGE_SIZE, 2 * PAGE_SIZE] });
      rig.check();
    },
  );
});

describe("E: references to the buffer that outlive the fault-in", () => {
  test.each(FIXED)("none does: the buffer's pages can be dropped while the call goes on (%s)", (name) => {
    const rig = rigOf(name);
    rig.make("a", { size: "dd" });
    rig.make("b", { size: "dd" });
    const map = rig.map(rig.open("b"), 2, MAP_PRIVATE);
    const { mapping } = rig.inode("b");
    const extra: number[] = [];
    // Whoever has a page: the cache, and an entry.
    for (const event of ["fault_in_readable_ret", "fault_in_safe_writeable_ret"] as const) {
      rig.trace.on(event, () => {
        mapping.pages.forEach(
          0,
          2,
          (_index, frame) => void extra.push(mapping.mem.refcount[frame] - mapping.mem.mapcount[frame] - 1),
        );
      });
    }
    expect(rig.must(sysPwrite64(rig.task, rig.open("a"), map, 2 * PAGE_SIZE, 0))).toBe(2 * PAGE_SIZE);
    expect(extra.filter((count) => count !== 0)).toEqual([]);
    expect(rig.content("a")).toEqual(fileBytes(0, 2 * PAGE_SIZE));
    rig.check();
  });
});

describe("F: the page that is written is the page that is read", () => {
  // Before the fix, too: the source is touched before the page is locked, and the copy takes no fault.
  test.each(["5.10", ...FIXED])("one byte, through a mapping that is there (248, %s)", (name) => {
    const rig = rigOf(name);
    rig.make("a", { size: 5 });
    const fd = rig.open("a");
    const map = rig.map(fd, 1, MAP_SHARED);
    rig.peek(map, 1);
    expect(rig.must(sysPwrite64(rig.task, fd, map + 2, 1, 3))).toBe(1);
    expect([...rig.content("a")]).toEqual([0, 1, 2, 2, 4].map((i) => fileByte(i)));
    rig.check();
  });

  test.each(FIXED)("a page onto itself that is not there and not cached (%s)", (name) => {
    const rig = rigOf(name, 100);
    rig.make("a", { size: "dd" });
    const fd = rig.open("a");
    const map = rig.map(fd, 2, MAP_SHARED);
    expect(rig.must(sysPwrite64(rig.task, fd, map + 100, 2 * PAGE_SIZE - 100, 0))).toBe(2 * PAGE_SIZE - 100);
    rig.check();
  });
});

describe("G: mmap_lock in between", () => {
  /**
   * The reader holds the glock of "a" and waits for the disk. The writer stores to a mapping of "a": it has mmap_lock and
   * wants the glock. The third waits for mmap_lock, which keeps out whoever comes after it: the reader, whose buffer is
   * not there.
   */
  const play = (name: string): { rig: Rig; report: string } => {
    const rig = rigOf(name, 100);
    rig.make("a", { size: "d".repeat(200) });
    const fd = rig.open("a");
    const map = rig.map(fd, 200, MAP_SHARED);
    const page = map + 150 * PAGE_SIZE;
    rig.peek(page, 1);
    const [buffer, spare] = [rig.buffer(".."), rig.buffer(".")];
    const [writer, third] = [rig.thread(rig.task, "writer"), rig.thread(rig.task, "third")];
    const store = function* (): MayFault<number> {
      const { left } = yield* userStore(writer, page, 0, 1);
      return left;
    };
    const calls = [
      [rig.task, sysPread64(rig.task, fd, buffer, 2 * PAGE_SIZE, 0)],
      [writer, store()],
      [third, doMunmap(third, spare, PAGE_SIZE)],
    ] as const;
    return { rig, ...together(rig, calls) };
  };

  // On 5.16 the reader's glock is on call by then, but whoever has waited for it since before that is not told.
  test.each(["5.10", "5.16"])("hangs on %s, and the ring goes through both locks", (name) => {
    const { report } = play(name);
    expect(report).toMatch(/^DEADLOCK/);
    expect(report).toMatch(/holds glock a \(PR\)\n.*wants mmap_lock \(read\)/);
    expect(report).toMatch(/holds mmap_lock \(read\)\n.*wants glock a \(EX\)/);
    expect(report).toMatch(/third \(pid \d+\) wants mmap_lock \(write\)/);
  });

  test.each(FIXED.filter((name) => name !== "5.16"))("all done (%s)", (name) => {
    const { rig, report } = play(name);
    expect(report).toBe("COMPLETED");
    rig.check();
  });
});

test("a file is truncated while it is the buffer: bytes or -EFAULT, and nothing is left behind", () => {
  for (const name of FIXED) {
    const rig = rigOf(name, 100);
    rig.make("a", { size: "dd" });
    rig.make("b", { size: "dddd" });
    const map = rig.map(rig.open("b"), 4, MAP_PRIVATE);
    const other = rig.process("truncate");
    const { report, returns } = together(rig, [
      [rig.task, sysPwrite64(rig.task, rig.open("a"), map, 4 * PAGE_SIZE, 0)],
      [other, sysFtruncate(other, rig.open("b", O_RDWR, other), PAGE_SIZE)],
    ]);
    expect({ name, report }).toEqual({ name, report: "COMPLETED" });
    expect(returns[0] === -14 || returns[0] % PAGE_SIZE === 0).toBe(true);
    rig.check();
  }
});
