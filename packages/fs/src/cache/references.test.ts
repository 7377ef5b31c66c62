// Who refers to a page of a file, as a pipe does, keeps the page and its bytes, and nobody from taking it out of the
// cache: recorded on real kernels, with a pipe. Here somebody just takes a reference.

import { PAGE_SIZE, type Pfn } from "@faultline/kernel";
import { getPage, pageAddress, pageMapping, putPage } from "@faultline/mm";
import { expect, test } from "vitest";
import {
  type Gfs2Revision,
  O_DIRECT,
  O_RDWR,
  POSIX_FADV_DONTNEED,
  REVISIONS,
  sysFadvise,
  sysFtruncate,
  sysPwrite64,
} from "../index.ts";
import { Rig as Cluster } from "../testing/cluster-rig.ts";
import { fileBytes, Rig } from "../testing/rig.ts";

const KERNELS = ["5.10", "v4", "5.16", "5.18", "6.1", "6.12", "7.2"];

/** What takes pages out of the cache, whether it does when they are referred to, and what the call returns. */
const TAKERS: readonly {
  desc: string;
  goes: boolean;
  ret: number;
  take: (rig: Rig, buffer: number) => Generator<never, number, void>;
}[] = [
  {
    desc: "a direct write over them",
    goes: true,
    ret: PAGE_SIZE,
    take: (rig, buffer) => sysPwrite64(rig.task, rig.open("f", O_RDWR | O_DIRECT), buffer, PAGE_SIZE, 0) as never,
  },
  {
    desc: "truncation",
    goes: true,
    ret: 0,
    take: (rig) => sysFtruncate(rig.task, rig.open("f"), 0) as never,
  },
  {
    desc: "advice that they are not needed",
    goes: false,
    ret: 0,
    take: (rig) => sysFadvise(rig.task, rig.open("f"), 0, 0, POSIX_FADV_DONTNEED) as never,
  },
];

test.each(KERNELS.flatMap((kernel) => TAKERS.map((taker) => ({ kernel, ...taker }))))(
  "$desc (goes: $goes, $kernel)",
  ({ kernel, goes, ret, take }) => {
    const rig = new Rig(REVISIONS[kernel] as Gfs2Revision);
    rig.make("f", { size: "dd", cached: true });
    const buffer = rig.buffer("rr");
    const { mapping } = rig.inode("f");
    const { mem } = mapping;
    const frame = mapping.find(0) as Pfn;
    getPage(mem, frame);
    const from = rig.trace.count;
    expect(rig.measure(take(rig, buffer)).ret).toBe(ret);
    const buffered = [...rig.trace.events(from)].some(({ name }) => name === "iomap_file_buffered_write");
    expect(buffered, "no way round through the page cache").toBe(false);
    expect(pageMapping(mem, frame) === mapping).toBe(!goes);
    const bytes = mem.u8.subarray(pageAddress(frame), pageAddress(frame) + PAGE_SIZE);
    expect(Buffer.compare(bytes, fileBytes(0, PAGE_SIZE))).toBe(0);
    putPage(mem, frame);
    rig.check();
  },
);

test.each(KERNELS)("another node that wants the lock gets it, and the bytes that are true (%s)", (kernel) => {
  const rig = new Cluster({ nodes: 2, kernel: REVISIONS[kernel] });
  const [here, there] = [rig.process("here", 1), rig.process("there", 2)];
  const fd = here.does(here.open("f"));
  here.does(here.write(fd, "a".repeat(PAGE_SIZE), 0));
  const inode = here.task.files.get(fd)?.inode;
  const { mem } = here.task.mm;
  const frame = inode?.mapping.find(0) as Pfn;
  getPage(mem, frame);
  const far = there.does(there.open("f"));
  expect(there.does(there.write(far, "b", 0))).toBe(1);
  expect(inode?.mapping.find(0)).toBe(0);
  expect(mem.u8[pageAddress(frame)]).toBe("a".charCodeAt(0));
  expect(here.does(here.read(fd, 2, 0))).toBe("ba");
  putPage(mem, frame);
});
