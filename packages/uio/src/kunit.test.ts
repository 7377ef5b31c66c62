// What the kernel's own test of iterators asks (lib/tests/kunit_iov_iter.c), asked here of the kinds that it
// covers and of those over user memory: copy to and from ranges of a 1 MiB buffer whose pages are not in
// order, and extract the pages of those ranges. Every byte and every page must be the expected one, and the
// iterator must be where it says it is.
import { offsetInPage, PAGE_SIZE, type Pfn, pageIndex, pageStart } from "@faultline/kernel";
import { FAULTS_DISABLED, pageAddress, pageOf, putUserPages } from "@faultline/mm";
import { describe, expect, test } from "vitest";
import {
  copyFromIter,
  copyToIter,
  FolioQueue,
  folioqAppend,
  folioqExtend,
  folioqFull,
  GRAB_FAULTING,
  type IovIter,
  ITER_DEST,
  ITER_SOURCE,
  iovIterAdvance,
  iovIterBvec,
  iovIterExtractPages,
  iovIterExtractWillPin,
  iovIterFolioQueue,
  iovIterInit,
  iovIterKvec,
  iovIterUbuf,
  iovIterXarray,
} from "./index.ts";
import {
  allocFrames,
  BASE,
  firstDifference,
  makeMapping,
  makeRig,
  mapPages,
  physicalOf,
  type Rig,
  run,
} from "./rig.ts";

const SIZE = 0x100000;
const PAGES = SIZE / PAGE_SIZE;

type Range = readonly [from: number, to: number];

const RANGES: readonly Range[] = [
  [0x00002, 0x00002],
  [0x00027, 0x03000],
  [0x05193, 0x18794],
  [0x20000, 0x20000],
  [0x20000, 0x24000],
  [0x24000, 0x27001],
  [0x29000, 0xffffb],
  [0xffffd, 0xffffe],
];

/** For bvec: each within one page. */
const PAGE_RANGES: readonly Range[] = [
  [0x0002, 0x0002],
  [0x1027, 0x1893],
  [0x2193, 0x2794],
  [0x3000, 0x4000],
  [0x4000, 0x5000],
  [0x5000, 0x6000],
  [0x6000, 0x6ffb],
  [0x6ffd, 0x6ffe],
];

/** A rig with a buffer: the frames of its pages, in the buffer's order. */
interface Buffer extends Rig {
  readonly pages: readonly Pfn[];
}

interface Kind {
  readonly name: string;
  readonly ranges: readonly Range[];
  /** One iterator over all ranges, or one for each. */
  readonly perRange: boolean;
  readonly buffer: () => Buffer;
  readonly make: (buffer: Buffer, dataSource: boolean, ranges: readonly Range[]) => IovIter;
  /** Once all is consumed. */
  readonly atEnd: (i: IovIter, range: Range) => void;
}

const total = (ranges: readonly Range[]): number => ranges.reduce((sum, [from, to]) => sum + to - from, 0);
const noSegmentLeft = (i: IovIter): void => expect(i.nrSegs).toBe(0);

const KINDS: readonly Kind[] = [
  {
    name: "kvec",
    ranges: RANGES,
    perRange: false,
    buffer: orderedBuffer,
    make: ({ pages }, dataSource, ranges) =>
      iovIterKvec(
        dataSource,
        ranges.map(([from, to]) => ({ base: pageAddress(pages[0]) + from, len: to - from })),
        total(ranges),
      ),
    atEnd: noSegmentLeft,
  },
  {
    name: "bvec",
    ranges: PAGE_RANGES,
    perRange: false,
    buffer: shuffledBuffer,
    make: ({ pages }, dataSource, ranges) =>
      iovIterBvec(
        dataSource,
        ranges.map(([from, to]) => ({ page: pages[pageIndex(from)], offset: offsetInPage(from), len: to - from })),
        total(ranges),
      ),
    atEnd: noSegmentLeft,
  },
  {
    name: "folioq",
    ranges: RANGES,
    perRange: true,
    buffer: shuffledBuffer,
    make: ({ pages }, dataSource, [[from, to]]) => {
      const first = new FolioQueue();
      let last = first;
      for (const page of pages) {
        if (folioqFull(last)) last = folioqExtend(last);
        folioqAppend(last, page);
      }
      const i = iovIterFolioQueue(dataSource, first, 0, 0, to);
      iovIterAdvance(i, from);
      return i;
    },
    atEnd: (i, [, to]) => expect(i.iovOffset).toBe(to % PAGE_SIZE),
  },
  {
    name: "xarray",
    ranges: RANGES,
    perRange: true,
    buffer: shuffledBuffer,
    make: ({ mem, pages }, dataSource, [[from, to]]) => {
      return iovIterXarray(dataSource, makeMapping({ mem }, pages), from, to - from);
    },
    atEnd: (i, [from, to]) => expect(i.iovOffset).toBe(to - from),
  },
  {
    name: "iovec",
    ranges: RANGES,
    perRange: false,
    buffer: userBuffer,
    make: (_, dataSource, ranges) =>
      iovIterInit(
        dataSource,
        ranges.map(([from, to]) => ({ base: BASE + from, len: to - from })),
        total(ranges),
      ),
    atEnd: noSegmentLeft,
  },
  {
    name: "ubuf",
    ranges: RANGES,
    perRange: true,
    buffer: userBuffer,
    make: (_, dataSource, [[from, to]]) => iovIterUbuf(dataSource, BASE + from, to - from),
    atEnd: (i, [from, to]) => expect(i.iovOffset).toBe(to - from),
  },
];

describe.each(KINDS)("$name", (kind) => {
  test("copy to: every byte lands where the ranges say", () => {
    const buffer = kind.buffer();
    const scratch = scratchOf(buffer);
    const image = new Uint8Array(SIZE);
    for (let k = 0; k < SIZE; k++) buffer.mem.u8[scratch + k] = pattern(k);
    let done = 0;
    for (const ranges of batches(kind)) {
      const i = kind.make(buffer, ITER_DEST, ranges);
      const size = total(ranges);
      expect(run(buffer, copyToIter(buffer.task, scratch + done, size, i, FAULTS_DISABLED))).toBe(size);
      expect(i.count).toBe(0);
      kind.atEnd(i, ranges[0]);
      done += size;
    }
    let k = 0;
    for (const [from, to] of kind.ranges) for (let at = from; at < to; at++) image[at] = pattern(k++);
    expect(k).toBe(done);
    expect(firstDifference(contents(buffer), image)).toBe(-1);
  });

  test("copy from: every byte comes from where the ranges say", () => {
    const buffer = kind.buffer();
    const scratch = scratchOf(buffer);
    const image = new Uint8Array(SIZE);
    buffer.pages.forEach((page, index) => {
      for (let k = 0; k < PAGE_SIZE; k++) buffer.mem.u8[pageAddress(page) + k] = pattern(index * PAGE_SIZE + k);
    });
    let done = 0;
    for (const ranges of batches(kind)) {
      const i = kind.make(buffer, ITER_SOURCE, ranges);
      const size = total(ranges);
      expect(run(buffer, copyFromIter(buffer.task, scratch + done, size, i, FAULTS_DISABLED))).toBe(size);
      expect(i.count).toBe(0);
      kind.atEnd(i, ranges[0]);
      done += size;
    }
    let k = 0;
    for (const [from, to] of kind.ranges) for (let at = from; at < to; at++) image[k++] = pattern(at);
    expect(firstDifference(buffer.mem.u8.slice(scratch, scratch + SIZE), image)).toBe(-1);
  });

  test("extract pages, 100 KiB or 8 pages at a time: the pages of the ranges, in order, and nothing else", () => {
    const buffer = kind.buffer();
    const { mem, task } = buffer;
    for (const ranges of batches(kind)) {
      const i = kind.make(buffer, ITER_DEST, ranges);
      const wanted = ranges.flatMap(([from, to]) => {
        const parts: { page: number; offset: number; len: number }[] = [];
        for (let at = from; at < to; at = pageStart(at) + PAGE_SIZE) {
          const len = Math.min(pageStart(at) + PAGE_SIZE, to) - at;
          parts.push({ page: buffer.pages[pageIndex(at)], offset: offsetInPage(at), len });
        }
        return parts;
      });
      const found: typeof wanted = [];
      for (let left = total(ranges); left > 0; ) {
        const references = mem.refcount[buffer.pages[PAGES - 1]];
        const { bytes, pages, start } = run(buffer, iovIterExtractPages(task, i, 100 * 1024, 8, GRAB_FAULTING));
        expect(bytes).toBeGreaterThan(0);
        expect(bytes).toBeLessThanOrEqual(Math.min(left, 100 * 1024));
        expect(pages.length).toBeLessThanOrEqual(8);
        left -= bytes;
        expect(i.count).toBe(left);
        let rest: number = bytes;
        pages.forEach((page, n) => {
          const offset = n === 0 ? start : 0;
          const len = Math.min(rest, PAGE_SIZE - offset);
          found.push({ page, offset, len });
          rest -= len;
        });
        expect(rest).toBe(0);
        const pinned = pages.includes(buffer.pages[PAGES - 1]) && iovIterExtractWillPin(i) ? 1 : 0;
        expect(mem.refcount[buffer.pages[PAGES - 1]]).toBe(references + pinned);
        if (iovIterExtractWillPin(i)) putUserPages(task, pages, true);
      }
      expect(found).toEqual(wanted);
      kind.atEnd(i, ranges[0]);
      expect(run(buffer, iovIterExtractPages(task, i, 4096, 8, GRAB_FAULTING)).bytes).toBe(0);
    }
  });
});

function batches(kind: Kind): (readonly Range[])[] {
  return kind.perRange ? kind.ranges.map((range) => [range]) : [kind.ranges];
}

function pattern(k: number): number {
  return (k * 7 + (k >> 8) * 13 + (k >> 16) * 5) & 0xff;
}

function orderedBuffer(): Buffer {
  const rig = makeRig({ memory: 4 << 20 });
  const first = allocFrames(rig, PAGES);
  return { ...rig, pages: Array.from({ length: PAGES }, (_, n) => (first + n) as Pfn) };
}

/** No page lies behind its predecessor. */
function shuffledBuffer(): Buffer {
  const buffer = orderedBuffer();
  return { ...buffer, pages: buffer.pages.map((_, n) => buffer.pages[(n * 101) % PAGES]) };
}

function userBuffer(): Buffer {
  const rig = makeRig({ memory: 4 << 20 });
  mapPages(rig, "w".repeat(PAGES));
  const pages = Array.from({ length: PAGES }, (_, n) => pageOf(physicalOf(rig, BASE + n * PAGE_SIZE)));
  for (const page of pages) rig.mem.u8.fill(0, pageAddress(page), pageAddress(page) + PAGE_SIZE);
  return { ...rig, pages };
}

/** Physically contiguous memory of the buffer's size. */
function scratchOf(buffer: Buffer): number {
  return pageAddress(allocFrames(buffer, PAGES));
}

function contents(buffer: Buffer): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  buffer.pages.forEach((page, index) => {
    bytes.set(buffer.mem.u8.subarray(pageAddress(page), pageAddress(page) + PAGE_SIZE), index * PAGE_SIZE);
  });
  return bytes;
}
