// Direct I/O: what it refuses, what it leaves to the page cache, and how it keeps in step with what is cached.

import { type MayFault, PAGE_SIZE } from "@faultline/kernel";
import { MAP_PRIVATE, MAP_SHARED } from "@faultline/mm";
import { describe, expect, test } from "vitest";
import {
  GFS2_5_10,
  GFS2_6_12,
  GFS2_7_2,
  O_DIRECT,
  O_RDWR,
  POSIX_FADV_WILLNEED,
  sysCopyFileRange,
  sysFadvise,
  sysFallocate,
  sysPread64,
  sysPwrite64,
} from "../index.ts";
import { fileByte, fileBytes, Rig } from "../testing/rig.ts";

const K = 1024;

test.each([
  { desc: "all a multiple of 512", pos: 512, offset: 512, length: 1024, want: 1024 },
  { desc: "the position is not", pos: 100, offset: 0, length: 1024, want: "EINVAL" },
  { desc: "the length is not", pos: 0, offset: 0, length: 1000, want: "EINVAL" },
  { desc: "the buffer is not", pos: 0, offset: 100, length: 1024, want: "EINVAL" },
])("alignment: $desc", ({ pos, offset, length, want }) => {
  const rig = new Rig(GFS2_7_2);
  rig.make("f", { size: "dd" });
  const fd = rig.open("f", O_RDWR | O_DIRECT);
  const buffer = rig.buffer("rr") + offset;
  expect(rig.measure(sysPread64(rig.task, fd, buffer, length, pos)).ret).toBe(want);
  if (want === length) expect(rig.peek(buffer, length)).toEqual(fileBytes(pos, length));
  rig.check();
});

test("a hole asks for no alignment: it is zeroed by the CPU", () => {
  const rig = new Rig(GFS2_7_2);
  rig.make("f", { size: "hhd" });
  const fd = rig.open("f", O_RDWR | O_DIRECT);
  const buffer = rig.buffer("r") + 1;
  expect(rig.must(sysPread64(rig.task, fd, buffer, 100, 5))).toBe(100);
  expect(rig.peek(buffer, 101)).toEqual(Uint8Array.of(...Array(100).fill(0), fileByte(101, 2)));
  rig.check();
});

test("data, hole, data: one read goes through all", () => {
  const rig = new Rig(GFS2_7_2);
  rig.make("f", { size: "dhhd" });
  const buffer = rig.buffer("....");
  expect(rig.must(sysPread64(rig.task, rig.open("f", O_RDWR | O_DIRECT), buffer, 4 * PAGE_SIZE, 0))).toBe(
    4 * PAGE_SIZE,
  );
  expect(rig.peek(buffer, 4 * PAGE_SIZE)).toEqual(rig.content("f"));
  rig.check();
});

test.each([
  { desc: "inside the file", pos: 0, length: PAGE_SIZE, want: PAGE_SIZE },
  { desc: "across its end", pos: PAGE_SIZE, length: PAGE_SIZE, want: 1000 },
  { desc: "at its end", pos: 2 * PAGE_SIZE, length: PAGE_SIZE, want: 0 },
])("a read ends with the file: $desc", ({ pos, length, want }) => {
  const rig = new Rig(GFS2_7_2);
  rig.make("f", { size: PAGE_SIZE + 1000 });
  const buffer = rig.buffer("r");
  expect(rig.must(sysPread64(rig.task, rig.open("f", O_RDWR | O_DIRECT), buffer, length, pos))).toBe(want);
  expect(rig.peek(buffer, want)).toEqual(fileBytes(pos, want));
  rig.check();
});

describe("what the page cache has to do instead", () => {
  test.each([
    { desc: "a hole", size: "ddhd", pos: 2 * PAGE_SIZE },
    { desc: "behind the end", size: "d", pos: PAGE_SIZE },
    { desc: "stuffed data", size: 100, pos: 0 },
  ])("$desc is written there, to disk, and dropped", ({ size, pos }) => {
    const rig = new Rig(GFS2_7_2);
    rig.make("f", { size });
    const fd = rig.open("f", O_RDWR | O_DIRECT);
    expect(rig.must(sysPwrite64(rig.task, fd, rig.buffer("r"), PAGE_SIZE, pos))).toBe(PAGE_SIZE);
    const { mapping } = rig.inode("f");
    expect({ dirty: mapping.nrDirty, pages: mapping.nrpages }).toEqual({ dirty: 0, pages: 0 });
    expect(rig.onDisk("f").subarray(pos, pos + PAGE_SIZE)).toEqual(fileBytes(0, PAGE_SIZE, 2));
    rig.check();
  });

  test("blocks that were reserved are written directly", () => {
    const rig = new Rig(GFS2_7_2);
    rig.make("f", { size: "d" });
    const fd = rig.open("f", O_RDWR | O_DIRECT);
    rig.must(sysFallocate(rig.task, fd, 0, PAGE_SIZE, PAGE_SIZE));
    const from = rig.trace.count;
    expect(rig.must(sysPwrite64(rig.task, fd, rig.buffer("r"), PAGE_SIZE, PAGE_SIZE))).toBe(PAGE_SIZE);
    expect([...rig.trace.events(from)].map(({ name }) => name)).not.toContain("iomap_file_buffered_write");
    rig.check();
  });
});

describe("in step with the page cache", () => {
  test("a read sees what was written and is not on disk yet", () => {
    const rig = new Rig(GFS2_7_2);
    rig.make("f", { size: "dd" });
    rig.must(sysPwrite64(rig.task, rig.open("f"), rig.buffer("r"), PAGE_SIZE, 0));
    const buffer = rig.buffer(".");
    rig.must(sysPread64(rig.task, rig.open("f", O_RDWR | O_DIRECT), buffer, PAGE_SIZE, 0));
    expect(rig.peek(buffer, PAGE_SIZE)).toEqual(fileBytes(0, PAGE_SIZE, 2));
    rig.check();
  });

  test.each([MAP_PRIVATE, MAP_SHARED])("a write shows in a mapping that had the page (flags %s)", (flags) => {
    const rig = new Rig(GFS2_7_2);
    rig.make("f", { size: "dd" });
    const fd = rig.open("f", O_RDWR | O_DIRECT);
    const map = rig.map(fd, 2, flags);
    expect(rig.peek(map, 1)).toEqual(fileBytes(0, 1));
    rig.must(sysPwrite64(rig.task, fd, rig.buffer("r"), PAGE_SIZE, 0));
    expect(rig.peek(map, PAGE_SIZE)).toEqual(fileBytes(0, PAGE_SIZE, 2));
    rig.check();
  });

  test("a page of one's own in a private mapping stays", () => {
    const rig = new Rig(GFS2_7_2);
    rig.make("f", { size: "dd" });
    const fd = rig.open("f", O_RDWR | O_DIRECT);
    const map = rig.map(fd, 2, MAP_PRIVATE);
    rig.poke(map, [99]);
    rig.must(sysPwrite64(rig.task, fd, rig.buffer("r"), PAGE_SIZE, 0));
    expect([...rig.peek(map, 2)]).toEqual([99, fileByte(1)]);
    rig.check();
  });
});

describe("the buffer ends early", () => {
  test("since the fix what was transferred counts, and the position moves by it", () => {
    const rig = new Rig(GFS2_6_12);
    rig.make("f", { size: "d".repeat(8) });
    const buffer = rig.buffer("rr..----");
    expect(rig.must(sysPread64(rig.task, rig.open("f", O_RDWR | O_DIRECT), buffer, 8 * PAGE_SIZE, 0))).toBe(
      4 * PAGE_SIZE,
    );
    expect(rig.peek(buffer, 4 * PAGE_SIZE)).toEqual(fileBytes(0, 4 * PAGE_SIZE));
    const tries = [...rig.trace.events()].flatMap((event) =>
      event.name === "iomap_dio_rw" ? [event.args.doneBefore] : [],
    );
    expect(tries).toEqual([0, 2 * PAGE_SIZE]);
    rig.check();
  });

  test("before the fix it was transferred, and the caller is told -EFAULT", () => {
    const rig = new Rig(GFS2_5_10);
    rig.make("f", { size: "d".repeat(8) });
    const buffer = rig.buffer("rrrr----");
    expect(rig.measure(sysPread64(rig.task, rig.open("f", O_RDWR | O_DIRECT), buffer, 8 * PAGE_SIZE, 0)).ret).toBe(
      "EFAULT",
    );
    expect(rig.peek(buffer, 4 * PAGE_SIZE)).toEqual(fileBytes(0, 4 * PAGE_SIZE));
    rig.check();
  });
});

test("an I/O error of one request is the result of the call, and nothing stays pinned", () => {
  const rig = new Rig(GFS2_7_2);
  rig.make("f", { size: "d".repeat(8) });
  const fd = rig.open("f", O_RDWR | O_DIRECT);
  const buffer = rig.buffer("r".repeat(8));
  for (const call of [sysPread64, sysPwrite64]) {
    rig.injections.set("disk-error", 1);
    expect(rig.measure(call(rig.task, fd, buffer, 32 * K, 0)).ret).toBe("EIO");
    rig.check();
  }
});

test("pages of the kernel are given back, too: copy_file_range from and to a file that is open for direct I/O", () => {
  const rig = new Rig(GFS2_6_12);
  rig.make("from", { size: "dd" });
  rig.make("to", { size: "hhdd" });
  const [from, to] = [rig.open("from", O_RDWR | O_DIRECT), rig.open("to", O_RDWR | O_DIRECT)];
  expect(rig.must(sysCopyFileRange(rig.task, from, 0, to, 2 * PAGE_SIZE, 2 * PAGE_SIZE))).toBe(2 * PAGE_SIZE);
  expect(rig.content("to").subarray(2 * PAGE_SIZE)).toEqual(fileBytes(0, 2 * PAGE_SIZE));
  rig.check();
});

test("a page that comes into the cache while it is written directly is dropped when the write is over", () => {
  const rig = new Rig(GFS2_6_12, { latency: 100 });
  rig.make("f", { size: "dd" });
  const fd = rig.open("f", O_RDWR | O_DIRECT);
  const buffer = rig.buffer("r");
  const other = rig.process("other");
  const fdOfOther = rig.open("f", O_RDWR, other);
  const write = function* (): MayFault<void> {
    expect(yield* sysPwrite64(rig.task, fd, buffer, PAGE_SIZE, 0)).toBe(PAGE_SIZE);
    expect(rig.inode("f").mapping.find(0)).toBe(0);
  };
  const bring = function* (): MayFault<void> {
    expect(yield* sysFadvise(other, fdOfOther, 0, 0, POSIX_FADV_WILLNEED)).toBe(0);
    expect(rig.inode("f").mapping.find(0)).not.toBe(0);
  };
  rig.machine.start(rig.task, write());
  rig.machine.start(other, bring());
  expect(rig.report()).toEqual(["COMPLETED"]);
});
