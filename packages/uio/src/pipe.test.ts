// Copying into a pipe, as splice did until 6.4: pages of files are linked, other bytes are appended to pages of the
// pipe's own, and moving back takes them out again. What the pipe holds is compared with a list of bytes.
import { EFAULT, PAGE_SIZE, type Pfn } from "@faultline/kernel";
import { FAULTS_DISABLED, pageAddress, putPage, putUserPages } from "@faultline/mm";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  copyFromIter,
  copyPageFromIterAtomic,
  copyPageToIter,
  copyPageToIterAtomic,
  copyToIter,
  copyToIterFull,
  dupIter,
  GRAB_FAULTING,
  type IovIter,
  ITER_DEST,
  ITER_SOURCE,
  iovIterAdvance,
  iovIterAlignment,
  iovIterGapAlignment,
  iovIterGetPages,
  iovIterGetPages2,
  iovIterIsAligned,
  iovIterNpages,
  iovIterPipe,
  iovIterRevert,
  iovIterSingleSegCount,
  iovIterZero,
  type PipeBuffers,
  pipeBuf,
  pipeBufRelease,
  userBackedIter,
} from "./index.ts";
import { allocFrames, makeRig, type Rig, run } from "./rig.ts";

interface Pipe extends PipeBuffers {
  tail: number;
}

interface PipeRig extends Rig {
  readonly pipe: Pipe;
  /** A page of a file. */
  readonly file: Pfn;
}

/** `slots` for buffers, of which `used` hold something already. */
function rigOf(slots = 4, used = 0, maxUsage = slots): PipeRig {
  const rig = makeRig();
  const file = allocFrames(rig, 4);
  for (let k = 0; k < 4 * PAGE_SIZE; k++) rig.mem.u8[pageAddress(file) + k] = (k * 3 + (k >> 12)) & 0xff;
  const pipe: Pipe = { mem: rig.mem, bufs: new Array(slots).fill(null), head: 0, tail: 0, maxUsage };
  for (let n = 0; n < used; n++) {
    pipe.bufs[pipe.head++ % slots] = { page: rig.mem.tryAllocPage(true), offset: 0, len: 1, anon: true };
  }
  return { ...rig, pipe, file };
}

/** [bytes, does the pipe own the page] of each buffer. */
function shape({ pipe }: PipeRig): [number, boolean][] {
  const buffers: [number, boolean][] = [];
  for (let head = pipe.tail; head < pipe.head; head++) {
    const { len, anon } = pipeBuf(pipe, head);
    buffers.push([len, anon]);
  }
  return buffers;
}

function contents({ pipe, mem }: PipeRig): number[] {
  const bytes: number[] = [];
  for (let head = pipe.tail; head < pipe.head; head++) {
    const { page, offset, len } = pipeBuf(pipe, head);
    bytes.push(...mem.u8.subarray(pageAddress(page) + offset, pageAddress(page) + offset + len));
  }
  return bytes;
}

function fileBytes({ mem, file }: PipeRig, offset: number, size: number): number[] {
  return [...mem.u8.subarray(pageAddress(file) + offset, pageAddress(file) + offset + size)];
}

describe("pages of files", () => {
  test("are linked, not copied, and keep a reference", () => {
    const rig = rigOf();
    const i = iovIterPipe(ITER_DEST, rig.pipe, 100000);
    expect(copyPageToIterAtomic(rig.task, rig.file, 100, 500, i)).toBe(500);
    expect(shape(rig)).toEqual([[500, false]]);
    expect(rig.mem.refcount[rig.file]).toBe(2);
    expect(i.count).toBe(99500);
    rig.mem.u8[pageAddress(rig.file) + 100] = 77;
    expect(contents(rig)[0]).toBe(77);
  });

  test("bytes that follow in the same page share the buffer; others begin a new one", () => {
    const rig = rigOf();
    const i = iovIterPipe(ITER_DEST, rig.pipe, 100000);
    copyPageToIterAtomic(rig.task, rig.file, 100, 500, i);
    copyPageToIterAtomic(rig.task, rig.file, 600, 10, i);
    copyPageToIterAtomic(rig.task, rig.file, 0, 7, i);
    copyPageToIterAtomic(rig.task, (rig.file + 1) as Pfn, 7, 8, i);
    expect(shape(rig)).toEqual([
      [510, false],
      [7, false],
      [8, false],
    ]);
    expect(rig.mem.refcount[rig.file]).toBe(3);
  });

  test("a run of frames takes one buffer a page, until the pipe is full", () => {
    const rig = rigOf(4, 1, 3);
    const i = iovIterPipe(ITER_DEST, rig.pipe, 100000);
    expect(run(rig, copyPageToIter(rig.task, rig.file, 4000, 3 * PAGE_SIZE, i, FAULTS_DISABLED))).toBe(4192);
    expect(shape(rig).slice(1)).toEqual([
      [96, false],
      [4096, false],
    ]);
    expect(copyPageToIterAtomic(rig.task, rig.file, 0, 10, i)).toBe(0);
    expect(i.count).toBe(100000 - 4192);
  });

  test("no more than the iterator still wants", () => {
    const rig = rigOf();
    const i = iovIterPipe(ITER_DEST, rig.pipe, 10);
    expect(copyPageToIterAtomic(rig.task, rig.file, 0, 100, i)).toBe(10);
    expect(copyPageToIterAtomic(rig.task, rig.file, 10, 100, i)).toBe(0);
    expect(shape(rig)).toEqual([[10, false]]);
  });
});

describe("bytes of the kernel", () => {
  const from = (rig: PipeRig): number => pageAddress(rig.file);

  test("are copied to pages of the pipe's own, which are filled up", () => {
    const rig = rigOf();
    const i = iovIterPipe(ITER_DEST, rig.pipe, 100000);
    for (const size of [1000, 3000, 200]) {
      expect(run(rig, copyToIter(rig.task, from(rig), size, i, FAULTS_DISABLED))).toBe(size);
    }
    expect(shape(rig)).toEqual([
      [4096, true],
      [104, true],
    ]);
    const want = [...fileBytes(rig, 0, 1000), ...fileBytes(rig, 0, 3000), ...fileBytes(rig, 0, 200)];
    expect(contents(rig)).toEqual(want);
  });

  test("behind a linked page a new page begins, and the other way round", () => {
    const rig = rigOf();
    const i = iovIterPipe(ITER_DEST, rig.pipe, 100000);
    run(rig, copyToIter(rig.task, from(rig), 5, i, FAULTS_DISABLED));
    copyPageToIterAtomic(rig.task, rig.file, 5, 6, i);
    run(rig, iovIterZero(rig.task, 7, i, FAULTS_DISABLED));
    expect(shape(rig)).toEqual([
      [5, true],
      [6, false],
      [7, true],
    ]);
    expect(contents(rig)).toEqual([...fileBytes(rig, 0, 11), 0, 0, 0, 0, 0, 0, 0]);
  });

  test("zeroes are zeroes in a page that held something else before", () => {
    const rig = rigOf();
    putPage(rig.mem, allocFrames(rig, 1, 0xee));
    const i = iovIterPipe(ITER_DEST, rig.pipe, 100);
    run(rig, iovIterZero(rig.task, 100, i, FAULTS_DISABLED));
    expect(contents(rig)).toEqual(new Array(100).fill(0));
  });

  test("until the pipe is full", () => {
    const rig = rigOf(4, 0, 2);
    const i = iovIterPipe(ITER_DEST, rig.pipe, 100000);
    expect(run(rig, copyToIter(rig.task, from(rig), 10000, i, FAULTS_DISABLED))).toBe(8192);
    expect(run(rig, copyToIter(rig.task, from(rig), 1, i, FAULTS_DISABLED))).toBe(0);
    iovIterRevert(i, 100);
    expect(run(rig, copyToIterFull(rig.task, from(rig), 101, i, FAULTS_DISABLED))).toBe(false);
    expect(contents(rig).length).toBe(8092);
    expect(run(rig, copyToIterFull(rig.task, from(rig), 100, i, FAULTS_DISABLED))).toBe(true);
  });

  test("as far as memory reaches", () => {
    const rig = rigOf();
    const held: Pfn[] = [];
    while (rig.mem.freePages > 1) held.push(rig.mem.tryAllocPage(false));
    const i = iovIterPipe(ITER_DEST, rig.pipe, 100000);
    expect(run(rig, copyToIter(rig.task, from(rig), 5000, i, FAULTS_DISABLED))).toBe(4096);
    for (const page of held) putPage(rig.mem, page);
  });
});

describe("moving", () => {
  test("back takes buffers out, and gives their pages back", () => {
    const rig = rigOf();
    const { freePages } = rig.mem;
    const i = iovIterPipe(ITER_DEST, rig.pipe, 100000);
    run(rig, copyToIter(rig.task, pageAddress(rig.file), 5000, i, FAULTS_DISABLED));
    copyPageToIterAtomic(rig.task, rig.file, 0, 100, i);
    expect(rig.mem.freePages).toBe(freePages - 2);
    iovIterRevert(i, 40);
    expect(shape(rig)).toEqual([
      [4096, true],
      [904, true],
      [60, false],
    ]);
    iovIterRevert(i, 60);
    expect([shape(rig), rig.mem.refcount[rig.file]]).toEqual([
      [
        [4096, true],
        [904, true],
      ],
      1,
    ]);
    iovIterRevert(i, 1000);
    expect(shape(rig)).toEqual([[4000, true]]);
    expect(rig.mem.freePages).toBe(freePages - 1);
    iovIterRevert(i, 4000);
    expect([shape(rig), i.count, rig.mem.freePages]).toEqual([[], 100000, freePages]);
    expect(() => iovIterRevert(i, 1)).toThrow("beyond the start");
  });

  test("back by just a buffer leaves none behind, and the page before it is filled on", () => {
    const rig = rigOf();
    const i = iovIterPipe(ITER_DEST, rig.pipe, 100000);
    run(rig, copyToIter(rig.task, pageAddress(rig.file), 5, i, FAULTS_DISABLED));
    copyPageToIterAtomic(rig.task, rig.file, 100, 60, i);
    iovIterRevert(i, 60);
    expect(shape(rig)).toEqual([[5, true]]);
    run(rig, copyToIter(rig.task, pageAddress(rig.file), 3, i, FAULTS_DISABLED));
    expect(shape(rig)).toEqual([[8, true]]);
  });

  test("what was in the pipe before is not touched", () => {
    const rig = rigOf(4, 2);
    const i = iovIterPipe(ITER_DEST, rig.pipe, 100000);
    run(rig, copyToIter(rig.task, pageAddress(rig.file), 50, i, FAULTS_DISABLED));
    iovIterRevert(i, 50);
    expect(shape(rig)).toEqual([
      [1, true],
      [1, true],
    ]);
    expect(() => iovIterRevert(i, 1)).toThrow("beyond the start");
  });

  test("get_pages makes room; advance says how much of it was used, and the rest is given back", () => {
    const rig = rigOf(8);
    const { freePages } = rig.mem;
    const i = iovIterPipe(ITER_DEST, rig.pipe, 100000);
    run(rig, copyToIter(rig.task, pageAddress(rig.file), 100, i, FAULTS_DISABLED));
    const got = run(rig, iovIterGetPages(rig.task, i, 10000, 16, GRAB_FAULTING));
    expect([got.bytes, got.pages.length, got.start]).toEqual([10000, 3, 100]);
    expect(i.count).toBe(99900);
    putUserPages(rig.task, got.pages, false);
    iovIterAdvance(i, 5000);
    expect([shape(rig), i.count]).toEqual([
      [
        [4096, true],
        [1004, true],
      ],
      94900,
    ]);
    expect(rig.mem.freePages).toBe(freePages - 2);
    iovIterAdvance(i, 0);
    expect(shape(rig)).toEqual([
      [4096, true],
      [1004, true],
    ]);
  });

  test("get_pages2 advances over all of it; revert gives back what was not used", () => {
    const rig = rigOf(8);
    const i = iovIterPipe(ITER_DEST, rig.pipe, 100000);
    const got = run(rig, iovIterGetPages2(rig.task, i, 100000, 2, GRAB_FAULTING));
    expect([got.bytes, got.pages.length, got.start]).toEqual([8192, 2, 0]);
    expect(i.count).toBe(100000 - 8192);
    expect(got.pages.map((page) => rig.mem.refcount[page])).toEqual([2, 2]);
    putUserPages(rig.task, got.pages, false);
    iovIterRevert(i, 5000);
    expect(shape(rig)).toEqual([[3192, true]]);
  });

  test("a full pipe has no room", () => {
    const rig = rigOf(4, 3, 3);
    const i = iovIterPipe(ITER_DEST, rig.pipe, 100);
    expect(run(rig, iovIterGetPages2(rig.task, i, 100, 16, GRAB_FAULTING))).toMatchObject({
      bytes: -EFAULT,
      pages: [],
    });
    expect(iovIterNpages(i, 16)).toBe(0);
    expect(run(rig, iovIterZero(rig.task, 1, i, FAULTS_DISABLED))).toBe(0);
  });
});

test("what it says of itself", () => {
  const rig = rigOf(8, 1);
  const i = iovIterPipe(ITER_DEST, rig.pipe, 5000);
  expect([iovIterNpages(i, 16), iovIterNpages(i, 3), iovIterSingleSegCount(i)]).toEqual([7, 3, 5000]);
  expect([iovIterAlignment(i), iovIterGapAlignment(i)]).toEqual([5000, 0xffffffff]);
  expect([iovIterIsAligned(i, 0xfff, 0xfff), userBackedIter(i)]).toEqual([false, false]);
  run(rig, copyToIter(rig.task, pageAddress(rig.file), 7, i, FAULTS_DISABLED));
  // The page that holds 7 bytes still has room.
  expect([iovIterNpages(i, 16), iovIterAlignment(i)]).toEqual([7, 4993 | 7]);
  expect([iovIterIsAligned(i, 7, 0), iovIterIsAligned(i, 8, 2), iovIterIsAligned(i, 8, 1)]).toEqual([
    false,
    true,
    false,
  ]);
  copyPageToIterAtomic(rig.task, rig.file, 0, 1, i);
  expect([iovIterNpages(i, 16), iovIterAlignment(i)]).toEqual([5, 4992]);
  const full = iovIterPipe(ITER_DEST, rig.pipe, 5000);
  run(rig, copyToIter(rig.task, pageAddress(rig.file), 4096, full, FAULTS_DISABLED));
  expect(iovIterNpages(full, 16)).toBe(4);
});

test("it is a destination only, cannot be duplicated, and needs room to begin with", () => {
  const rig = rigOf(2, 1);
  const i = iovIterPipe(ITER_DEST, rig.pipe, 100);
  expect(copyPageFromIterAtomic(rig.task, rig.file, 0, 10, i)).toBe(0);
  expect(run(rig, copyFromIter(rig.task, pageAddress(rig.file), 10, i, FAULTS_DISABLED))).toBe(0);
  expect(() => dupIter(i)).toThrow("dup_iter of a pipe");
  expect(() => iovIterPipe(ITER_SOURCE, rig.pipe, 100)).toThrow("iov_iter_pipe as a source");
  expect(() => iovIterPipe(ITER_DEST, rigOf(2, 2).pipe, 100)).toThrow("full pipe");
});

test("somebody else's bytes in between are a bug", () => {
  const rig = rigOf();
  const i = iovIterPipe(ITER_DEST, rig.pipe, 100);
  rig.pipe.bufs[rig.pipe.head++] = { page: rig.mem.tryAllocPage(true), offset: 0, len: 1, anon: true };
  expect(() => copyPageToIterAtomic(rig.task, rig.file, 0, 10, i)).toThrow("somebody else");
});

test("random histories: the pipe holds the bytes that were put in and not taken out, and no page is lost", () => {
  const step = fc.record({
    op: fc.constantFrom("link", "copy", "zero", "revert", "read"),
    offset: fc.nat(2 * PAGE_SIZE),
    size: fc.oneof(fc.nat(50), fc.nat(2 * PAGE_SIZE)),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), fc.integer({ min: 1, max: 5 }), (steps, maxUsage) => {
      const rig = rigOf(8, 0, maxUsage);
      const { freePages } = rig.mem;
      const { pipe, file, task } = rig;
      let i: IovIter | null = null;
      let model: number[] = [];
      let mine = 0;
      for (const { op, offset, size } of steps) {
        if (op === "read") {
          // A reader empties a buffer; only while nobody splices.
          i = null;
          if (pipe.head === pipe.tail) continue;
          model = model.slice(pipeBuf(pipe, pipe.tail).len);
          pipeBufRelease(pipe, pipe.tail++);
          continue;
        }
        if (i === null) {
          i = iovIterPipe(ITER_DEST, pipe, 1 << 20);
          mine = 0;
        }
        const { count } = i;
        if (op === "revert") {
          const n = Math.min(size, mine);
          iovIterRevert(i, n);
          model = model.slice(0, model.length - n);
        } else if (op === "link") {
          const done = copyPageToIterAtomic(task, file, offset, size, i);
          model.push(...fileBytes(rig, offset, done));
        } else if (op === "copy") {
          const done = run(rig, copyToIter(task, pageAddress(file) + offset, size, i, FAULTS_DISABLED));
          model.push(...fileBytes(rig, offset, done));
        } else {
          const done = run(rig, iovIterZero(task, size, i, FAULTS_DISABLED));
          model.push(...new Array(done).fill(0));
        }
        mine += count - i.count;
        expect(contents(rig)).toEqual(model);
        expect(pipe.head - pipe.tail).toBeLessThanOrEqual(maxUsage);
      }
      while (pipe.head > pipe.tail) pipeBufRelease(pipe, pipe.tail++);
      expect(rig.mem.freePages).toBe(freePages);
      expect(rig.mem.refcount[file]).toBe(1);
    }),
    { numRuns: 150, seed: 5 },
  );
});
