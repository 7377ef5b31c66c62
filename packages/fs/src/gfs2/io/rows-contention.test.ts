// What happens to a read or write while somebody else wants the same lock, or takes its pages away: rows 26, 27
// and 30. The tasks meet while one of them faults its buffer in.

import { type MayFault, PAGE_SIZE } from "@faultline/kernel";
import { MAP_PRIVATE, unmapMappingPages } from "@faultline/mm";
import { describe, expect, test } from "vitest";
import {
  type FsTask,
  type Gfs2Revision,
  O_DIRECT,
  O_RDWR,
  REVISIONS,
  sysPread64,
  sysPreadv,
  sysPwrite64,
  sysPwritev,
} from "../../index.ts";
import { Rig } from "../../testing/rig.ts";

/** Far enough apart that fault-around and read-ahead do not bring the one with the other. */
const APART = 150;

/**
 * Task A reads or writes two pages of "f", with a buffer that is two pages of "g", the first of which is there.
 * While it faults the second in, from disk, task B does the same to "f".
 *
 * Returns: what A's call returned.
 */
function contend(name: string, how: "read" | "write", flags: number, rival: "read" | "write"): number {
  const rig = new Rig(REVISIONS[name] as Gfs2Revision, { latency: 100 });
  rig.make("f", { size: "dddd" });
  rig.make("g", { size: "d".repeat(APART + 1) });
  const [a, b] = [rig.task, rig.process("B")];
  const fd = rig.open("f", O_RDWR | flags);
  const map = rig.map(rig.open("g"), APART + 1, MAP_PRIVATE);
  rig.poke(map, [1]);
  const fdOfB = rig.open("f", O_RDWR, b);
  const bufferOfB = rig.buffer("r", b);
  let ret = 0;
  const bodyOfA = function* (): MayFault<void> {
    const vec = [0, APART].map((page) => ({ base: map + page * PAGE_SIZE, len: PAGE_SIZE }));
    ret = yield* (how === "read" ? sysPreadv : sysPwritev)(a, fd, vec, 0);
  };
  const bodyOfB = function* (task: FsTask): MayFault<void> {
    expect(yield* (rival === "read" ? sysPread64 : sysPwrite64)(task, fdOfB, bufferOfB, PAGE_SIZE, 2 * PAGE_SIZE)).toBe(
      PAGE_SIZE,
    );
  };
  for (const event of ["fault_in_readable", "fault_in_safe_writeable", "fault_in_user_pages"] as const) {
    rig.trace.on(event, () => {
      if (!b.alive) rig.machine.start(b, bodyOfB(b));
      for (const each of ["fault_in_readable", "fault_in_safe_writeable", "fault_in_user_pages"] as const)
        rig.trace.off(each);
    });
  }
  rig.machine.start(a, bodyOfA());
  expect(rig.report()).toEqual(["COMPLETED"]);
  rig.check();
  return ret;
}

describe.each([
  { row: "26", desc: "a buffered read, against a write", how: "read", flags: 0, rival: "write", short: ["5.16"] },
  { row: "26", desc: "a buffered write, against a read", how: "write", flags: 0, rival: "read", short: ["5.16"] },
  {
    row: "27",
    desc: "a direct read, against a read through the cache",
    how: "read",
    flags: O_DIRECT,
    rival: "read",
    short: [],
  },
] as const)("row $row: the glock is lost during the fault-in of $desc", ({ how, flags, rival, short }) => {
  test.each(["5.16", "5.18", "6.1", "6.12", "7.2"])("%s", (name) => {
    const want = (short as readonly string[]).includes(name) ? PAGE_SIZE : 2 * PAGE_SIZE;
    expect(contend(name, how, flags, rival)).toBe(want);
  });
});

/** Take every page of "g" out of the page tables again, as soon as it was faulted in. */
function zapping(
  name: string,
  flags: number,
  how: "read" | "write",
  times: number,
): { outcome: number | string; rig: Rig } {
  const rig = new Rig(REVISIONS[name] as Gfs2Revision);
  rig.make("f", { size: "dddd" });
  rig.make("g", { size: "dddd" });
  const fd = rig.open("f", O_RDWR | flags);
  const map = rig.map(rig.open("g"), 4, MAP_PRIVATE);
  let left = times;
  const zap = (): void => {
    if (left-- > 0) unmapMappingPages(rig.task, rig.inode("g").mapping, 0, 4, true);
  };
  rig.trace.on("fault_in_readable_ret", zap);
  rig.trace.on("fault_in_safe_writeable_ret", zap);
  const call = how === "read" ? sysPread64 : sysPwrite64;
  const { ret } = rig.measure(call(rig.task, fd, map, 4 * PAGE_SIZE, 0));
  return { outcome: ret, rig };
}

describe("row 30: pages go away again as soon as they were faulted in", () => {
  test.each(["5.16", "5.18", "6.1", "6.12", "7.2"])("ten times: %s gets there", (name) => {
    for (const how of ["read", "write"] as const) {
      const { outcome, rig } = zapping(name, 0, how, 10);
      expect(outcome).toBe(4 * PAGE_SIZE);
      rig.check();
    }
  });

  test.each(["5.16", "5.18", "6.1", "6.12", "7.2"])("each time: a buffered write on %s never ends", (name) => {
    expect(zapping(name, 0, "write", Number.POSITIVE_INFINITY).outcome).toBe("livelock");
    expect(zapping(name, 0, "read", Number.POSITIVE_INFINITY).outcome).toBe("livelock");
  });

  test("each time: a direct write is left to the page cache after two rounds in vain, from 6.4 on", () => {
    // The two rounds of the direct write, and the buffered write's first.
    expect(zapping("6.12", O_DIRECT, "write", 3).outcome).toBe(4 * PAGE_SIZE);
    expect(zapping("5.18", O_DIRECT, "write", Number.POSITIVE_INFINITY).outcome).toBe("livelock");
  });
});
