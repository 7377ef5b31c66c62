// What is on disk when: write-back, fsync, O_DSYNC and O_SYNC, errors, and what may be dropped from the cache.

import { EIO, err, PAGE_SIZE } from "@faultline/kernel";
import { doMunmap, MAP_SHARED } from "@faultline/mm";
import { describe, expect, test } from "vitest";
import {
  GFS2_7_2,
  O_DSYNC,
  O_RDWR,
  O_SYNC,
  POSIX_FADV_DONTNEED,
  POSIX_FADV_WILLNEED,
  RWF_DSYNC,
  sysClose,
  sysFadvise,
  sysFsync,
  sysPread64,
  sysPwrite64,
  sysPwritev2,
  sysUnlink,
} from "../index.ts";
import { fileByte, fileBytes, Rig } from "../testing/rig.ts";

const P = PAGE_SIZE;

function fileOf(size: number | string, flags = 0): { rig: Rig; fd: number } {
  const rig = new Rig(GFS2_7_2);
  rig.make("f", { size });
  return { rig, fd: rig.open("f", O_RDWR | flags) };
}

describe("a write is on disk", () => {
  const written = (flags: number, rwf: number): { before: number; after: number } => {
    const { rig, fd } = fileOf("dd", flags);
    const vec = [{ base: rig.buffer("r"), len: 100 }];
    expect(rig.must(sysPwritev2(rig.task, fd, vec, 0, rwf))).toBe(100);
    const before = rig.onDisk("f")[0];
    rig.must(sysFsync(rig.task, fd));
    rig.check();
    return { before, after: rig.onDisk("f")[0] };
  };
  const [old, fresh] = [fileByte(0), fileByte(0, 2)];

  test.each([
    { desc: "at fsync", flags: 0, rwf: 0, before: old },
    { desc: "at once, with O_DSYNC", flags: O_DSYNC, rwf: 0, before: fresh },
    { desc: "at once, with O_SYNC", flags: O_SYNC, rwf: 0, before: fresh },
    { desc: "at once, with RWF_DSYNC", flags: 0, rwf: RWF_DSYNC, before: fresh },
  ])("$desc", ({ flags, rwf, before }) => expect(written(flags, rwf)).toEqual({ before, after: fresh }));
});

test("fsync writes what was stored through a mapping, and notices the next store again", () => {
  const { rig, fd } = fileOf("dd");
  const map = rig.map(fd, 2, MAP_SHARED);
  for (const value of [1, 2]) {
    rig.poke(map + P, [value]);
    rig.must(sysFsync(rig.task, fd));
    expect(rig.onDisk("f")[P]).toBe(value);
  }
  rig.check();
});

test("the size is on disk with the bytes", () => {
  const { rig, fd } = fileOf(0);
  rig.must(sysPwrite64(rig.task, fd, rig.buffer("rr"), 5000, 0));
  expect(rig.onDisk("f").length).toBe(0);
  rig.must(sysFsync(rig.task, fd));
  expect(rig.onDisk("f")).toEqual(fileBytes(0, 5000, 2));
});

test("an error of write-back is told once, by the next fsync", () => {
  const { rig, fd } = fileOf("d");
  rig.must(sysPwrite64(rig.task, fd, rig.buffer("r"), P, 0));
  rig.injections.set("disk-error", 1);
  expect([rig.run(sysFsync(rig.task, fd)), rig.run(sysFsync(rig.task, fd))]).toEqual([err(EIO), 0]);
  rig.check();
});

test("a page that cannot be read is -EIO for a read, SIGBUS for a load, and good again afterwards", () => {
  const { rig, fd } = fileOf("d");
  const map = rig.map(fd, 1, MAP_SHARED);
  rig.injections.set("disk-error", 10);
  expect(rig.measure(sysPread64(rig.task, fd, rig.buffer("r"), P, 0)).ret).toBe("EIO");
  rig.injections.set("disk-error", 10);
  expect(rig.peek(map, 1).length).toBe(0);
  rig.injections.clear();
  expect(rig.peek(map, 1)).toEqual(fileBytes(0, 1));
  rig.check();
});

describe("posix_fadvise", () => {
  const cachedPages = (rig: Rig): number => rig.inode("f").mapping.nrpages;

  test("DONTNEED drops clean pages and writes dirty ones, but not what is mapped", () => {
    const { rig, fd } = fileOf("dddd");
    const map = rig.map(fd, 4, MAP_SHARED);
    rig.content("f");
    rig.must(sysPwrite64(rig.task, fd, rig.buffer("r"), P, P));
    rig.poke(map, [5]);
    rig.must(sysFadvise(rig.task, fd, 0, 0, POSIX_FADV_DONTNEED));
    rig.settle();
    rig.must(sysFadvise(rig.task, fd, 0, 0, POSIX_FADV_DONTNEED));
    // Fault-around mapped nothing else: the store was the first fault.
    expect(rig.inode("f").mapping.find(0)).not.toBe(0);
    expect(rig.inode("f").mapping.find(1)).toBe(0);
    expect(rig.onDisk("f")[P]).toBe(fileByte(0, 2));
    rig.check();
  });

  test("WILLNEED brings pages in before anybody asks", () => {
    const { rig, fd } = fileOf("dddd");
    rig.must(sysFadvise(rig.task, fd, 0, 0, POSIX_FADV_WILLNEED));
    rig.settle();
    expect(cachedPages(rig)).toBe(4);
    rig.check();
  });
});

test("an unlinked file lives on as long as it is open or mapped; then its blocks are free", () => {
  const rig = new Rig(GFS2_7_2, { capacityBlocks: 16 });
  const { freeBlocks } = rig.machine.disk;
  rig.make("f", { size: "dd" });
  const fd = rig.open("f");
  rig.must(sysPwrite64(rig.task, fd, rig.buffer("r"), P, 0));
  const map = rig.map(fd, 2, MAP_SHARED);
  rig.must(sysUnlink(rig.task, "f"));
  expect(rig.measure(sysPread64(rig.task, fd, rig.buffer("."), P, 0)).ret).toBe(P);
  rig.must(sysClose(rig.task, fd));
  expect(rig.peek(map, 1)).toEqual(fileBytes(0, 1, 2));
  rig.check();
  rig.must(doMunmap(rig.task, map, P));
  expect(rig.peek(map + P, 1)).toEqual(fileBytes(P, 1));
  rig.must(doMunmap(rig.task, map + P, P));
  rig.check();
  expect(rig.machine.disk.freeBlocks).toBe(freeBlocks);
});
