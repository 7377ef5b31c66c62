// iomap's write loop: page by page; what a short copy means; when a file grows.

import { PAGE_SIZE, type TraceEvent } from "@faultline/kernel";
import { MAP_PRIVATE, PG_DIRTY, PG_UPTODATE, pageAddress, unmapMappingPages } from "@faultline/mm";
import { describe, expect, test } from "vitest";
import { GFS2_6_12, GFS2_7_2, type Gfs2Inode, O_RDWR, sysPwrite64, sysPwritev } from "../index.ts";
import { fileByte, fileBytes, Rig } from "../testing/rig.ts";

/** What iomap_write_end said, page by page. */
function taken(rig: Rig, from: number): number[] {
  const ends = [...rig.trace.events(from)].filter((event) => event.name === "iomap_write_end_ret");
  return ends.map((event) => (event as Extract<TraceEvent, { name: "iomap_write_end_ret" }>).args.ret);
}

const flagsOf = ({ mapping }: Gfs2Inode, index: number): number => {
  const frame = mapping.find(index);
  return frame === 0 ? 0 : mapping.mem.flags[frame];
};

test.each([
  { desc: "whole pages", pos: 0, length: 2 * PAGE_SIZE, chunks: 2 },
  { desc: "across one border", pos: 100, length: PAGE_SIZE, chunks: 2 },
  { desc: "inside one page", pos: 100, length: 200, chunks: 1 },
  { desc: "nothing", pos: 100, length: 0, chunks: 0 },
])("$desc: $chunks pages", ({ pos, length, chunks }) => {
  const rig = new Rig(GFS2_7_2);
  rig.make("f", { size: "dddd" });
  const fd = rig.open("f");
  const buffer = rig.buffer("rrrr");
  const from = rig.trace.count;
  expect(rig.must(sysPwrite64(rig.task, fd, buffer, length, pos))).toBe(length);
  expect(taken(rig, from)).toEqual(Array(chunks).fill(1));
  const want = fileBytes(0, 4 * PAGE_SIZE);
  want.set(fileBytes(0, length, 2), pos);
  expect(rig.content("f")).toEqual(want);
  rig.check();
});

/**
 * Write page 0 of "f" from 100 bytes before a page border of "g" on. The second page of the source goes away between
 * iomap's look at it and the copy, once.
 */
function cutShort(cached: boolean): { rig: Rig; seen: number[]; ret: number } {
  const rig = new Rig(GFS2_7_2);
  rig.make("f", { size: "dd", cached });
  rig.make("g", { size: "dddd" });
  const fd = rig.open("f");
  const map = rig.map(rig.open("g"), 4, MAP_PRIVATE);
  let inIomap = false;
  const seen: number[] = [];
  rig.trace.on("iomap_file_buffered_write", () => {
    inIomap = true;
  });
  rig.trace.on("fault_in_readable_ret", () => {
    if (!inIomap) return;
    rig.trace.off("fault_in_readable_ret");
    unmapMappingPages(rig.task, rig.inode("g").mapping, 1, 1, false);
  });
  rig.trace.on("iomap_write_end_ret", () => void seen.push(flagsOf(rig.inode("f"), 0) & (PG_UPTODATE | PG_DIRTY)));
  const ret = rig.must(sysPwrite64(rig.task, fd, map + PAGE_SIZE - 100, PAGE_SIZE, 0));
  return { rig, seen, ret };
}

describe("the copy falls short, after 100 bytes", () => {
  test("into a page that is not uptodate: thrown away, and tried again with what was copied", () => {
    const { rig, seen, ret } = cutShort(false);
    // Nobody may see the page after the first try: it has 100 new bytes, and what the frame held before.
    expect(seen).toEqual([0, PG_UPTODATE | PG_DIRTY, PG_UPTODATE | PG_DIRTY]);
    expect(ret).toBe(PAGE_SIZE);
    const want = fileBytes(0, 2 * PAGE_SIZE);
    want.set(fileBytes(PAGE_SIZE - 100, PAGE_SIZE));
    expect(rig.content("f")).toEqual(want);
    rig.check();
  });

  test("into an uptodate page: it counts", () => {
    const { rig, seen, ret } = cutShort(true);
    expect(seen).toEqual([PG_UPTODATE | PG_DIRTY, PG_UPTODATE | PG_DIRTY]);
    expect(ret).toBe(PAGE_SIZE);
    rig.check();
  });
});

test("into a page behind the end of the file: thrown away, and the page leaves the cache before the next try", () => {
  const rig = new Rig(GFS2_7_2);
  rig.make("f", { size: 0 });
  rig.make("g", { size: "dddd" });
  const fd = rig.open("f");
  const map = rig.map(rig.open("g"), 4, MAP_PRIVATE);
  let looks = 0;
  const cached: boolean[] = [];
  rig.trace.on("fault_in_readable", () => {
    if (++looks > 2) cached.push(rig.inode("f").mapping.find(0) !== 0);
  });
  // gfs2's own look comes first, iomap's second.
  rig.trace.on("fault_in_readable_ret", () => {
    if (looks === 2) unmapMappingPages(rig.task, rig.inode("g").mapping, 1, 1, false);
  });
  expect(rig.must(sysPwrite64(rig.task, fd, map + PAGE_SIZE - 100, PAGE_SIZE, 0))).toBe(PAGE_SIZE);
  expect(cached[0]).toBe(false);
  expect(rig.content("f")).toEqual(fileBytes(PAGE_SIZE - 100, PAGE_SIZE));
});

test("into part of a new block: it counts, and until the rest is written the page shows what its frame held", () => {
  const rig = new Rig(GFS2_7_2);
  rig.make("f", { size: "h" });
  rig.make("g", { size: "dddd" });
  const fd = rig.open("f");
  const map = rig.map(rig.open("g"), 4, MAP_PRIVATE);
  const shown: number[] = [];
  let looks = 0;
  rig.trace.on("iomap_write_begin_ret", () => {
    rig.trace.off("iomap_write_begin_ret");
    const { mapping } = rig.inode("f");
    // What was in the frame before: it could be anything.
    mapping.mem.u8.fill(0xee, pageAddress(mapping.find(0)), pageAddress(mapping.find(0)) + 1000);
  });
  rig.trace.on("fault_in_readable", () => {
    const { mapping } = rig.inode("f");
    if (flagsOf(rig.inode("f"), 0) & PG_UPTODATE) shown.push(mapping.mem.u8[pageAddress(mapping.find(0)) + 500]);
  });
  // gfs2's own look comes first, iomap's second.
  rig.trace.on("fault_in_readable_ret", () => {
    if (++looks === 2) unmapMappingPages(rig.task, rig.inode("g").mapping, 1, 1, false);
  });
  expect(rig.must(sysPwrite64(rig.task, fd, map + PAGE_SIZE - 100, 1000, 0))).toBe(1000);
  expect(shown[0]).toBe(0xee);
  const want = new Uint8Array(PAGE_SIZE);
  want.set(fileBytes(PAGE_SIZE - 100, 1000));
  expect(rig.content("f")).toEqual(want);
  rig.check();
});

test("the file has grown when the page is unlocked, and not before the copy", () => {
  const rig = new Rig(GFS2_6_12);
  rig.make("f", { size: "d" });
  const fd = rig.open("f");
  const sizes: number[] = [];
  rig.trace.on("iomap_write_begin_ret", () => void sizes.push(rig.inode("f").size));
  rig.trace.on("iomap_file_buffered_write_ret", () => void sizes.push(rig.inode("f").size));
  rig.must(sysPwrite64(rig.task, fd, rig.buffer("rr"), 2 * PAGE_SIZE, PAGE_SIZE));
  expect(sizes).toEqual([1, 2, 3].map((pages) => pages * PAGE_SIZE));
});

test("a page that could not be made behind the end of the file does not stay in the cache", () => {
  const rig = new Rig(GFS2_7_2);
  rig.make("f", { size: "d" });
  const fd = rig.open("f");
  const vec = [
    { base: rig.buffer("r"), len: 100 },
    { base: rig.buffer("-"), len: 100 },
  ];
  // The second segment ends the write inside the page.
  expect(rig.must(sysPwritev(rig.task, fd, vec, PAGE_SIZE + 50))).toBe(100);
  expect(rig.inode("f").size).toBe(PAGE_SIZE + 150);
  const bytes = rig.content("f");
  expect([bytes[PAGE_SIZE + 49], bytes[PAGE_SIZE + 50]]).toEqual([0, fileByte(0, 2)]);
  rig.check();
});

test("no memory for a page: what was written before counts, and the file is no longer than that", () => {
  const rig = new Rig(GFS2_7_2);
  rig.make("f", { size: "d" });
  const fd = rig.open("f", O_RDWR);
  const buffer = rig.buffer("rrrr");
  rig.trace.on("iomap_write_begin_ret", () => void rig.injections.set("alloc-fail", 1000));
  const { ret } = rig.measure(sysPwrite64(rig.task, fd, buffer, 4 * PAGE_SIZE, 0));
  rig.injections.clear();
  rig.trace.off("iomap_write_begin_ret");
  expect(ret).toBe(PAGE_SIZE);
  expect(rig.inode("f").size).toBe(PAGE_SIZE);
  rig.check();
});
