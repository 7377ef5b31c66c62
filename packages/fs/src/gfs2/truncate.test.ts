// Files that change their size or lose their blocks: what is seen in the cache, in mappings and on disk.

import { PAGE_SIZE } from "@faultline/kernel";
import { MAP_SHARED } from "@faultline/mm";
import { describe, expect, test } from "vitest";
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  GFS2_6_12,
  GFS2_7_2,
  SEEK_DATA,
  SEEK_HOLE,
  sysFallocate,
  sysFsync,
  sysFtruncate,
  sysLseek,
  sysPread64,
  sysPwrite64,
} from "../index.ts";
import { fileByte, fileBytes, Rig } from "../testing/rig.ts";

const P = PAGE_SIZE;

/** A rig with an open file "f". */
function fileOf(size: number | string, kernel = GFS2_7_2, capacityBlocks?: number): { rig: Rig; fd: number } {
  const rig = new Rig(kernel, capacityBlocks === undefined ? {} : { capacityBlocks });
  rig.make("f", { size });
  return { rig, fd: rig.open("f") };
}

describe("ftruncate", () => {
  test.each([
    { desc: "in the middle of a page", from: 3 * P, to: P + 100 },
    { desc: "at a page border", from: 3 * P, to: P },
    { desc: "to nothing", from: 3 * P, to: 0 },
    { desc: "a stuffed file", from: 1000, to: 10 },
  ])("shorter, and longer again: zeroes where there were bytes ($desc)", ({ from, to }) => {
    for (const cached of [false, true]) {
      const { rig, fd } = fileOf(from);
      if (cached) rig.content("f");
      rig.must(sysFtruncate(rig.task, fd, to));
      rig.must(sysFtruncate(rig.task, fd, from));
      const want = new Uint8Array(from);
      want.set(fileBytes(0, to));
      expect(rig.content("f")).toEqual(want);
      rig.must(sysFsync(rig.task, fd));
      expect(rig.onDisk("f").length).toBe(from);
      rig.check();
    }
  });

  test("pages behind the end leave the mapping: SIGBUS, and zeroes in the page where it ends", () => {
    const { rig, fd } = fileOf("ddd");
    const map = rig.map(fd, 3, MAP_SHARED);
    expect(rig.peek(map, 3 * P).length).toBe(3 * P);
    rig.must(sysFtruncate(rig.task, fd, P + 10));
    expect(rig.peek(map, 3 * P).length).toBe(2 * P);
    expect([...rig.peek(map + P + 9, 3)]).toEqual([fileByte(P + 9), 0, 0]);
    rig.check();
  });

  test("blocks go back to the disk", () => {
    const { rig, fd } = fileOf("dddd", GFS2_7_2, 8);
    const { freeBlocks } = rig.machine.disk;
    rig.must(sysFtruncate(rig.task, fd, P));
    expect(rig.machine.disk.freeBlocks).toBe(freeBlocks + 3);
  });
});

describe("fallocate", () => {
  test("blocks without bytes: zeroes, and the size only if asked for", () => {
    const { rig, fd } = fileOf("d");
    rig.must(sysFallocate(rig.task, fd, FALLOC_FL_KEEP_SIZE, P, 2 * P));
    expect(rig.inode("f").size).toBe(P);
    rig.must(sysFallocate(rig.task, fd, 0, P, 2 * P));
    expect(rig.inode("f").size).toBe(3 * P);
    const want = new Uint8Array(3 * P);
    want.set(fileBytes(0, P));
    expect(rig.content("f")).toEqual(want);
    rig.check();
  });

  test.each([
    { desc: "whole pages", offset: P, length: P },
    { desc: "parts at both ends", offset: P - 100, length: P + 200 },
    { desc: "inside a page", offset: 100, length: 50 },
    { desc: "across the end of the file", offset: 3 * P - 50, length: P },
  ])("a hole reads as zeroes, and the size stays: $desc", ({ offset, length }) => {
    for (const cached of [false, true]) {
      const { rig, fd } = fileOf("ddd");
      if (cached) rig.content("f");
      rig.must(sysFallocate(rig.task, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length));
      const want = fileBytes(0, 3 * P);
      want.fill(0, offset, offset + length);
      expect(rig.content("f")).toEqual(want);
      expect(rig.inode("f").size).toBe(3 * P);
      rig.check();
    }
  });

  test("what was mapped shows the hole", () => {
    const { rig, fd } = fileOf("ddd");
    const map = rig.map(fd, 3, MAP_SHARED);
    rig.poke(map + P, [1, 2, 3]);
    rig.must(sysFallocate(rig.task, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, P, P));
    expect([...rig.peek(map + P, 3)]).toEqual([0, 0, 0]);
    rig.poke(map + P, [7]);
    rig.must(sysFsync(rig.task, fd));
    expect(rig.onDisk("f")[P]).toBe(7);
    rig.check();
  });

  test("no room: -ENOSPC, and nothing is lost that was there", () => {
    const { rig, fd } = fileOf("dd", GFS2_6_12, 4);
    const { freeBlocks } = rig.machine.disk;
    expect(rig.measure(sysFallocate(rig.task, fd, 0, 2 * P, 8 * P)).ret).toBe("ENOSPC");
    expect(rig.measure(sysPwrite64(rig.task, fd, rig.buffer("rrrrrrrr"), 8 * P, 2 * P)).ret).toBe("ENOSPC");
    expect(rig.machine.disk.freeBlocks).toBe(freeBlocks);
    expect(rig.content("f")).toEqual(fileBytes(0, 2 * P));
    rig.check();
  });
});

describe("SEEK_DATA and SEEK_HOLE", () => {
  test.each([
    { desc: "the first page has data", whence: SEEK_DATA, from: 10, want: 10 },
    { desc: "behind the hole", whence: SEEK_DATA, from: P + 1, want: 3 * P },
    { desc: "the hole begins", whence: SEEK_HOLE, from: 10, want: P },
    { desc: "in the hole", whence: SEEK_HOLE, from: P + 5, want: P + 5 },
    { desc: "every file ends in a hole", whence: SEEK_HOLE, from: 3 * P, want: 4 * P },
  ])("$desc", ({ whence, from, want }) => {
    const { rig, fd } = fileOf("dhhd");
    expect(rig.must(sysLseek(rig.task, fd, from, whence))).toBe(want);
  });

  test("no data behind: -ENXIO", () => {
    const { rig, fd } = fileOf("dhh");
    expect(rig.measure(sysLseek(rig.task, fd, P, SEEK_DATA)).ret).toBe("ENXIO");
  });

  test("a page that was only read is a hole still, and one that was stored to is not", () => {
    const { rig, fd } = fileOf("dhhd");
    const map = rig.map(fd, 4, MAP_SHARED);
    rig.peek(map, 4 * P);
    expect(rig.must(sysLseek(rig.task, fd, 0, SEEK_HOLE))).toBe(P);
    rig.poke(map + P, [1]);
    expect(rig.must(sysLseek(rig.task, fd, 0, SEEK_HOLE))).toBe(2 * P);
  });
});

test("a write that comes short gives back the blocks that it did not use", () => {
  const { rig, fd } = fileOf("d", GFS2_7_2, 64);
  const { freeBlocks } = rig.machine.disk;
  expect(rig.must(sysPwrite64(rig.task, fd, rig.buffer("rr------"), 8 * P, P))).toBe(2 * P);
  expect(rig.machine.disk.freeBlocks).toBe(freeBlocks - 2);
  rig.check();
});

test("reading a hole allocates nothing", () => {
  const { rig, fd } = fileOf("hhhd", GFS2_7_2, 64);
  const { freeBlocks } = rig.machine.disk;
  const buffer = rig.buffer("....");
  expect(rig.must(sysPread64(rig.task, fd, buffer, 4 * P, 0))).toBe(4 * P);
  expect(rig.peek(buffer, 3 * P)).toEqual(new Uint8Array(3 * P));
  expect(rig.machine.disk.freeBlocks).toBe(freeBlocks);
  rig.check();
});
