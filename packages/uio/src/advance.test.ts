// Does an iterator go where it is told: across segments, empty ones among them, back again, cut short and lengthened?
import { MAX_RW_COUNT, PAGE_SIZE, type Pfn } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import {
  dupIter,
  FolioQueue,
  folioqAppend,
  folioqExtend,
  type IovIter,
  ITER_DEST,
  ITER_SOURCE,
  iovIterAdvance,
  iovIterBvec,
  iovIterCount,
  iovIterDiscard,
  iovIterFolioQueue,
  iovIterInit,
  iovIterKvec,
  iovIterReexpand,
  iovIterRestore,
  iovIterRevert,
  iovIterSaveState,
  iovIterTruncate,
  iovIterUbuf,
  iovIterXarray,
  iterIsIovec,
  iterIsUbuf,
  userBackedIter,
} from "./index.ts";
import { BASE, makeMapping, makeRig } from "./rig.ts";

/** Segments of 10, 0, 20, 0, 0 and 5 bytes. */
const LENGTHS = [10, 0, 20, 0, 0, 5];
const TOTAL = 35;

function segments(lengths: readonly number[] = LENGTHS): { base: number; len: number }[] {
  return lengths.map((len, n) => ({ base: BASE + n * PAGE_SIZE, len }));
}

/** Where it stands: segments left, offset, bytes left. */
function position(i: IovIter): [number, number, number] {
  return [i.nrSegs, i.iovOffset, i.count];
}

const VECTORS: Record<string, () => IovIter> = {
  iovec: () => iovIterInit(ITER_SOURCE, segments(), TOTAL),
  kvec: () => iovIterKvec(ITER_SOURCE, segments(), TOTAL),
  bvec: () =>
    iovIterBvec(
      ITER_SOURCE,
      LENGTHS.map((len, n) => ({ page: (n + 2) as Pfn, offset: 0, len })),
      TOTAL,
    ),
};

describe.each(Object.entries(VECTORS))("%s", (_, make) => {
  test.each([
    { desc: "nothing", size: 0, want: [6, 0, 35] },
    { desc: "into the first", size: 9, want: [6, 9, 26] },
    { desc: "exactly the first, and empty ones behind it", size: 10, want: [4, 0, 25] },
    { desc: "into the third", size: 11, want: [4, 1, 24] },
    { desc: "to the last", size: 30, want: [1, 0, 5] },
    { desc: "all", size: 35, want: [0, 0, 0] },
    { desc: "more than all", size: 36, want: [0, 0, 0] },
    { desc: "far more", size: Number.MAX_SAFE_INTEGER, want: [0, 0, 0] },
  ])("advance: $desc", ({ size, want }) => {
    const i = make();
    iovIterAdvance(i, size);
    expect(position(i)).toEqual(want);
    expect(iovIterCount(i)).toBe(want[2]);
  });

  test("once nothing is left, advance leaves even empty segments alone", () => {
    const i = make();
    iovIterTruncate(i, 0);
    iovIterAdvance(i, 5);
    expect(position(i)).toEqual([6, 0, 0]);
  });

  test.each([
    { desc: "nothing", size: 0, want: [0, 0, 0] },
    { desc: "within the last", size: 4, want: [1, 1, 4] },
    { desc: "the last", size: 5, want: [1, 0, 5] },
    { desc: "over empty ones", size: 6, want: [4, 19, 6] },
    { desc: "exactly to a segment's start", size: 25, want: [4, 0, 25] },
    { desc: "all", size: 35, want: [6, 0, 35] },
    { desc: "more than Linux believes", size: MAX_RW_COUNT + 1, want: [0, 0, 0] },
  ])("revert from the end: $desc", ({ size, want }) => {
    const i = make();
    iovIterAdvance(i, 35);
    iovIterRevert(i, size);
    expect(position(i)).toEqual(want);
  });

  test("revert beyond the start is a bug", () => {
    const i = make();
    iovIterAdvance(i, 12);
    expect(() => iovIterRevert(i, 13)).toThrow("iov_iter_revert beyond the start");
  });

  test("advance and revert are inverse, byte by byte", () => {
    for (let n = 0; n <= TOTAL; n++) {
      for (let back = 0; back <= n; back++) {
        const i = make();
        const j = make();
        iovIterAdvance(i, n);
        iovIterRevert(i, back);
        iovIterAdvance(i, back);
        iovIterAdvance(j, n);
        expect(position(i)).toEqual(position(j));
      }
    }
  });

  test("saved state brings it back and forth", () => {
    const i = make();
    iovIterAdvance(i, 12);
    const early = iovIterSaveState(i);
    iovIterAdvance(i, 20);
    const late = iovIterSaveState(i);
    iovIterRestore(i, early);
    expect(position(i)).toEqual([4, 2, 23]);
    iovIterRestore(i, late);
    expect(position(i)).toEqual([1, 2, 3]);
  });

  test("a duplicate goes its own way, from here on", () => {
    const i = make();
    iovIterAdvance(i, 12);
    const copy = dupIter(i);
    iovIterAdvance(i, 20);
    expect(position(copy)).toEqual([4, 2, 23]);
    expect(copy.segments[0]).not.toBe(i.segments[2]);
    expect(copy.segments[0]).toEqual(i.segments[2]);
    iovIterRevert(copy, 2);
    expect(() => iovIterRevert(copy, 1)).toThrow("beyond the start");
  });

  test("truncate never lengthens; reexpand gives back what was cut, less what was done", () => {
    const i = make();
    iovIterTruncate(i, 100);
    expect(i.count).toBe(35);
    iovIterTruncate(i, 15);
    iovIterAdvance(i, 12);
    expect(position(i)).toEqual([4, 2, 3]);
    iovIterReexpand(i, 3 + 20);
    iovIterAdvance(i, 23);
    expect(position(i)).toEqual([0, 0, 0]);
  });
});

test("an iterator that claims more than its segments hold cannot be made, and shows when it is reached", () => {
  expect(() => iovIterInit(ITER_DEST, segments([3, 4]), 8)).toThrow(RangeError);
  const i = iovIterInit(ITER_DEST, segments([3, 4]), 7);
  iovIterReexpand(i, 9);
  expect(() => iovIterAdvance(i, 9)).toThrow("iterator has fewer bytes than its count says");
});

describe("ubuf and xarray count from their start", () => {
  const mapping = makeMapping(makeRig());
  const kinds: [string, () => IovIter][] = [
    ["ubuf", () => iovIterUbuf(ITER_DEST, BASE + 5, 100)],
    ["xarray", () => iovIterXarray(ITER_DEST, mapping, 5, 100)],
  ];
  test.each(kinds)("%s", (_, make) => {
    const i = make();
    const { nrSegs } = i;
    iovIterAdvance(i, 30);
    expect(position(i)).toEqual([nrSegs, 30, 70]);
    iovIterAdvance(i, 71);
    expect(position(i)).toEqual([nrSegs, 100, 0]);
    iovIterRevert(i, 99);
    expect(position(i)).toEqual([nrSegs, 1, 99]);
    iovIterTruncate(i, 10);
    iovIterReexpand(i, 50);
    expect(position(i)).toEqual([nrSegs, 1, 50]);
    expect(() => iovIterRevert(i, 2)).toThrow("iov_iter_revert beyond the start");
    expect(position(i)).toEqual([nrSegs, 1, 50]);
    expect(position(dupIter(i))).toEqual([nrSegs, 1, 50]);
  });

  test("a ubuf can be restored, an xarray is left alone", () => {
    const [ubuf, xarray] = kinds.map(([, make]) => make());
    for (const i of [ubuf, xarray]) {
      const state = iovIterSaveState(i);
      iovIterAdvance(i, 30);
      iovIterRestore(i, state);
    }
    expect([ubuf.iovOffset, ubuf.count]).toEqual([0, 100]);
    expect([xarray.iovOffset, xarray.count]).toEqual([30, 70]);
  });
});

describe("folioq", () => {
  /** Batches of two, two and one folios; the second folio is two pages. */
  function make(offset = 0, count = 6 * PAGE_SIZE): IovIter {
    const first = new FolioQueue();
    folioqAppend(first, 10 as Pfn);
    folioqAppend(first, 20 as Pfn, 2 * PAGE_SIZE);
    const second = folioqExtend(first);
    folioqAppend(second, 30 as Pfn);
    folioqAppend(second, 40 as Pfn);
    folioqAppend(folioqExtend(second), 50 as Pfn);
    return iovIterFolioQueue(ITER_SOURCE, first, 0, offset, count);
  }
  const place = (i: IovIter): number[] => [i.folioq?.folios[i.segment]?.page ?? 0, i.iovOffset, i.count];

  test.each([
    { desc: "nothing", size: 0, want: [10, 0, 24576] },
    { desc: "to the next folio", size: 4096, want: [20, 0, 20480] },
    { desc: "into the second page of a folio", size: 8193, want: [20, 4097, 16383] },
    { desc: "to the next batch", size: 12288, want: [30, 0, 12288] },
    { desc: "into the last", size: 20481, want: [50, 1, 4095] },
    { desc: "all", size: 24576, want: [0, 0, 0] },
  ])("advance and back: $desc", ({ size, want }) => {
    const i = make();
    iovIterAdvance(i, size);
    expect(place(i)).toEqual(want);
    for (let back = 0; back <= size; back += 512) {
      const j = make();
      iovIterAdvance(j, size);
      iovIterRevert(j, back);
      const k = make();
      iovIterAdvance(k, size - back);
      // The end of a folio and the start of the next are one place.
      iovIterAdvance(j, 0);
      expect(place(j)).toEqual(place(k));
    }
  });

  test("at its end it waits for more folios to be linked", () => {
    const queue = new FolioQueue();
    folioqAppend(queue, 10 as Pfn);
    const i = iovIterFolioQueue(ITER_SOURCE, queue, 0, 0, PAGE_SIZE);
    iovIterAdvance(i, PAGE_SIZE);
    folioqAppend(folioqExtend(queue), 11 as Pfn);
    iovIterReexpand(i, PAGE_SIZE);
    iovIterAdvance(i, 7);
    expect(place(i)).toEqual([11, 7, PAGE_SIZE - 7]);
  });

  test("beyond its start it is a bug", () => {
    const i = make(100, 1000);
    iovIterAdvance(i, 50);
    iovIterRevert(i, 150);
    expect(place(i)).toEqual([10, 0, 1100]);
    expect(() => iovIterRevert(i, 1)).toThrow("beyond the start");
  });
});

test("discard only counts", () => {
  const i = iovIterDiscard(ITER_DEST, 10);
  iovIterAdvance(i, 4);
  iovIterRevert(i, 1);
  expect(position(i)).toEqual([0, 0, 7]);
  expect(() => iovIterDiscard(ITER_SOURCE, 10)).toThrow("iov_iter_discard as a source");
});

test("which kinds touch user memory", () => {
  const ubuf = iovIterUbuf(ITER_DEST, BASE, 1);
  const iovec = iovIterInit(ITER_DEST, segments(), 1);
  const kvec = iovIterKvec(ITER_DEST, segments(), 1);
  expect([ubuf, iovec, kvec].map(userBackedIter)).toEqual([true, true, false]);
  expect([ubuf, iovec, kvec].map(iterIsUbuf)).toEqual([true, false, false]);
  expect([ubuf, iovec, kvec].map(iterIsIovec)).toEqual([false, true, false]);
  expect([ubuf.nrSegs, iovec.nrSegs, iovIterDiscard(ITER_DEST, 1).nrSegs]).toEqual([1, 6, 0]);
  expect([ubuf.nofault, iovec.nofault]).toEqual([false, false]);
});
