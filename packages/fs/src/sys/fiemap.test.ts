// Which extents a file has, told into user memory: what is in the array, what the caller may ask, and that the lock is not
// held while memory is faulted in. Who faults where, extent by extent, is in the recordings.

import { EBADF, EBADR, EFAULT, EINVAL, ENOTTY, err, type MayFault, offsetInPage, PAGE_SIZE } from "@faultline/kernel";
import { MAP_FIXED, MAP_PRIVATE, MAP_SHARED, unmapMappingPages } from "@faultline/mm";
import { describe, expect, test } from "vitest";
import {
  FIEMAP_EXTENT_SIZE,
  FIEMAP_FLAG_SYNC,
  FIEMAP_SIZE,
  type FsTask,
  GFS2_5_10,
  GFS2_6_12,
  GFS2_7_2,
  O_RDWR,
  sysFiemap,
  sysMmap,
  sysPipe2,
} from "../index.ts";
import { Rig } from "../testing/rig.ts";

interface Ask {
  readonly start?: bigint;
  readonly length?: bigint;
  readonly flags?: number;
  readonly room: number;
}

/** Put the header where the caller wants it. */
function ask(
  rig: Rig,
  address: number,
  { start = 0n, length = 2n ** 64n - 1n, flags = 0, room }: Ask,
  task: FsTask = rig.task,
): void {
  const header = new DataView(new ArrayBuffer(FIEMAP_SIZE));
  header.setBigUint64(0, start, true);
  header.setBigUint64(8, length, true);
  header.setUint32(16, flags, true);
  header.setUint32(24, room, true);
  rig.poke(address, new Uint8Array(header.buffer), task);
}

/** What came back: flags left, and the extents in pages, "first+count" with `!` for the last and `i` for inline data. */
function told(rig: Rig, address: number): { flags: number; extents: string[] } {
  const header = new DataView(rig.peek(address, FIEMAP_SIZE).slice().buffer);
  const mapped = Math.min(header.getUint32(20, true), header.getUint32(24, true));
  const extents = Array.from({ length: mapped }, (_, i) => {
    const at = address + FIEMAP_SIZE + i * FIEMAP_EXTENT_SIZE;
    const extent = new DataView(rig.peek(at, FIEMAP_EXTENT_SIZE).slice().buffer);
    const [logical, , length] = [0, 8, 16].map((offset) => Number(extent.getBigUint64(offset, true)));
    const flags = extent.getUint32(40, true);
    const inline = (flags & 0x200) !== 0;
    const size = inline ? `${length}i` : `${length / PAGE_SIZE}`;
    return `${logical / PAGE_SIZE}+${size}${(flags & 1) !== 0 ? "!" : ""}`;
  });
  return { flags: header.getUint32(16, true), extents };
}

function fiemap(rig: Rig, fd: number, address: number, asked: Ask): { ret: number } & ReturnType<typeof told> {
  ask(rig, address, asked);
  const ret = rig.run(sysFiemap(rig.task, fd, address));
  return { ret, ...told(rig, address) };
}

describe.each([GFS2_5_10, GFS2_7_2])("$name", (kernel) => {
  test.each([
    { desc: "all", size: "ddhdhh", asked: { room: 9 }, extents: ["0+2", "3+1!"] },
    { desc: "a file that ends with data", size: "hd", asked: { room: 9 }, extents: ["1+1!"] },
    { desc: "no room: counted", size: "dhd", asked: { room: 0 }, extents: [] },
    { desc: "room for fewer: none is the last", size: "dhdhd", asked: { room: 2 }, extents: ["0+1", "2+1"] },
    { desc: "nothing but holes", size: "hhh", asked: { room: 2 }, extents: [] },
    { desc: "behind the end", size: "d", asked: { start: 4096n, room: 2 }, extents: [] },
    { desc: "from within an extent", size: "dd", asked: { start: 5000n, length: 1n, room: 2 }, extents: ["1+1!"] },
    { desc: "data in the dinode", size: 100, asked: { room: 2 }, extents: ["0+100i!"] },
  ])("$desc", ({ size, asked, extents }) => {
    const rig = new Rig(kernel);
    rig.make("f", { size });
    const buffer = rig.buffer("..");
    expect(fiemap(rig, rig.open("f"), buffer, asked)).toEqual({ ret: 0, flags: 0, extents });
    rig.check();
  });

  test("what is wrong is told: no length, unknown flags, no struct, no file", () => {
    const rig = new Rig(kernel);
    rig.make("f", { size: "d" });
    const [fd, buffer] = [rig.open("f"), rig.buffer(".")];
    expect(fiemap(rig, fd, buffer, { length: 0n, room: 1 }).ret).toBe(err(EINVAL));
    expect(fiemap(rig, fd, buffer, { flags: FIEMAP_FLAG_SYNC | 6, room: 1 })).toMatchObject({
      ret: err(EBADR),
      flags: 6,
    });
    expect(fiemap(rig, fd, buffer, { room: 2 ** 32 - 1 }).ret).toBe(err(EINVAL));
    expect(rig.run(sysFiemap(rig.task, fd, 4096))).toBe(err(EFAULT));
    expect(rig.run(sysFiemap(rig.task, 99, buffer))).toBe(err(EBADF));
    const [pipe] = rig.run(sysPipe2(rig.task, 0)) as [number, number];
    expect(rig.run(sysFiemap(rig.task, pipe, buffer))).toBe(err(ENOTTY));
    rig.check();
  });

  test("FIEMAP_FLAG_SYNC: what is dirty goes to disk first", () => {
    const rig = new Rig(kernel);
    rig.make("f", { size: "d" });
    const fd = rig.open("f");
    rig.poke(rig.map(fd, 1, MAP_SHARED), [99]);
    expect(fiemap(rig, fd, rig.buffer("."), { flags: FIEMAP_FLAG_SYNC, room: 1 }).ret).toBe(0);
    expect(rig.onDisk("f")[0]).toBe(99);
    rig.check();
  });
});

/** The extents lie behind a page border, in memory that is mapped from the file itself. */
function ontoItself(rig: Rig): { call: MayFault<number>; address: number } {
  rig.make("f", { size: "dhdhd" });
  const fd = rig.open("f");
  const address = rig.map(fd, 5, MAP_PRIVATE) + PAGE_SIZE - FIEMAP_SIZE;
  ask(rig, address, { room: 9 });
  return { call: sysFiemap(rig.task, fd, address), address };
}

test("into a mapping of the same file: a BUG on 5.10, with the walk in the report", () => {
  const rig = new Rig(GFS2_5_10);
  rig.machine.start(rig.task, ontoItself(rig).call);
  const report = rig.report().join("\n");
  expect(report).toContain("kernel BUG at fs/gfs2/glock.c:1403!");
  expect(report).toMatch(/original: gfs2_fiemap[\s\S]*new: gfs2_fault/);
});

test("into a mapping of the same file: done on 6.12, though the page goes away once more", () => {
  const rig = new Rig(GFS2_6_12);
  const { call, address } = ontoItself(rig);
  let held = 0;
  let rounds = 0;
  rig.trace.on("gfs2_promote", () => void held++);
  rig.trace.on("gfs2_glock_queue", ([, queued]) => {
    if (queued === 0) held--;
  });
  rig.trace.on("fault_in_safe_writeable", () => {
    rounds++;
    expect(held).toBe(0);
  });
  rig.trace.on("fault_in_safe_writeable_ret", () => {
    if (rounds === 1) unmapMappingPages(rig.task, rig.inode("f").mapping, 1, 1, true);
  });
  expect(rig.must(call)).toBe(0);
  expect(rounds).toBe(2);
  expect(told(rig, address).extents).toEqual(["0+1", "2+1", "4+1!"]);
  rig.check();
});

test("room that would not be needed is faulted in, too: if it cannot be had, the call fails (5.10 does not ask)", () => {
  for (const [kernel, want] of [
    [GFS2_5_10, 0],
    [GFS2_6_12, err(EFAULT)],
  ] as const) {
    const rig = new Rig(kernel);
    rig.make("f", { size: "dhd" });
    // The extents begin on a page that is not there; nothing follows it.
    const address = rig.buffer("..") + PAGE_SIZE - FIEMAP_SIZE;
    expect(offsetInPage(address + FIEMAP_SIZE)).toBe(0);
    expect(fiemap(rig, rig.open("f"), address, { room: 100 }).ret).toBe(want);
    rig.check();
  }
});

test("two tasks, two files, crosswise: extents of each into a shared mapping of the other", () => {
  const play = (kernel: typeof GFS2_5_10): string => {
    const rig = new Rig(kernel, { latency: 100 });
    for (const name of ["a", "b"]) rig.make(name, { size: "dhdhd" });
    const [one, two] = [rig.task, rig.process("two")];
    const calls: [FsTask, MayFault<number>][] = [];
    for (const [task, file, buffer] of [
      [one, "a", "b"],
      [two, "b", "a"],
    ] as const) {
      // The header lies in memory of its own; what follows it is the other file, which nobody has read yet.
      const border = rig.buffer("r", task) + PAGE_SIZE;
      const fd = rig.open(buffer, O_RDWR, task);
      rig.must(
        sysMmap(task, { address: border, length: 5 * PAGE_SIZE, prot: 3, flags: MAP_SHARED | MAP_FIXED, fd }),
        task,
      );
      ask(rig, border - FIEMAP_SIZE, { room: 9 }, task);
      calls.push([task, sysFiemap(task, rig.open(file, O_RDWR, task), border - FIEMAP_SIZE)]);
    }
    for (const [task, call] of calls) rig.machine.start(task, call);
    return rig.report().join("\n");
  };
  const report = play(GFS2_5_10);
  for (const part of [/^DEADLOCK/, /glock a \(PR\)/, /wants glock a \(EX\)/, /gfs2_page_mkwrite/, /gfs2_fiemap/])
    expect(report).toMatch(part);
  expect(play(GFS2_6_12)).toBe("COMPLETED");
});
