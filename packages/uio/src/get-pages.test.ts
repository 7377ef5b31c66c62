// The pages behind an iterator: which, how many bytes they hold, whether each has a reference, what happens to pages
// that are not there, and that the iterator moves by just the bytes returned.
import { EFAULT, MAX_RW_COUNT, type Pfn } from "@faultline/kernel";
import { FOLL_WRITE, pageOf, putUserPages } from "@faultline/mm";
import { describe, expect, test } from "vitest";
import {
  type BioVec,
  FolioQueue,
  folioqAppend,
  folioqExtend,
  GRAB_FAULTING,
  GRAB_NOFAULT,
  type IovIter,
  ITER_DEST,
  ITER_SOURCE,
  type IterPages,
  iovIterAdvance,
  iovIterBvec,
  iovIterDiscard,
  iovIterExtractPages,
  iovIterExtractWillPin,
  iovIterFolioQueue,
  iovIterGetPages,
  iovIterGetPages2,
  iovIterGetPagesAlloc2,
  iovIterInit,
  iovIterKvec,
  iovIterUbuf,
  iovIterXarray,
} from "./index.ts";
import { allocFrames, BASE, makeMapping, makeRig, mapPages, physicalOf, type Rig, run } from "./rig.ts";

const ALL = 1 << 30;

function rigOf(pages: string): Rig {
  const rig = makeRig();
  mapPages(rig, pages);
  return rig;
}

function iovec(dataSource: boolean, ...pieces: (readonly [number, number])[]): IovIter {
  const segments = pieces.map(([from, len]) => ({ base: BASE + from, len }));
  return iovIterInit(
    dataSource,
    segments,
    segments.reduce((sum, { len }) => sum + len, 0),
  );
}

/** Bytes, number of pages and start; the pages must be those of user memory from `from` on, each with one reference more. */
function checkUserPages(rig: Rig, got: IterPages, from: number, references: number): [number, number, number] {
  got.pages.forEach((page, n) => {
    expect(page).toBe(pageOf(physicalOf(rig, BASE + from - (from % 4096) + n * 4096)));
    expect(rig.mem.refcount[page]).toBe(1 + references);
  });
  return [got.bytes, got.pages.length, got.start];
}

describe.each([
  ["get_pages2", iovIterGetPages2],
  ["extract_pages", iovIterExtractPages],
])("%s of user memory", (_, take) => {
  test.each([
    { desc: "a page", pages: "w", pieces: [[0, 4096]], size: ALL, max: 16, want: [4096, 1, 0] },
    { desc: "across an edge", pages: "ww", pieces: [[4000, 200]], size: ALL, max: 16, want: [200, 2, 4000] },
    { desc: "no more than maxsize", pages: "www", pieces: [[100, 12000]], size: 5000, max: 16, want: [5000, 2, 100] },
    { desc: "no more than maxpages", pages: "wwww", pieces: [[100, 16000]], size: ALL, max: 2, want: [8092, 2, 100] },
    {
      desc: "only the first segment",
      pages: "www",
      pieces: [
        [10, 20],
        [4096, 8192],
      ],
      size: ALL,
      max: 16,
      want: [20, 1, 10],
    },
    {
      desc: "that is not empty",
      pages: "www",
      pieces: [
        [0, 0],
        [99, 0],
        [4100, 20],
        [0, 5],
      ],
      size: ALL,
      max: 16,
      want: [20, 1, 4],
    },
    { desc: "pages that are not there yet", pages: "..", pieces: [[0, 8192]], size: ALL, max: 16, want: [8192, 2, 0] },
    {
      desc: "as far as they can be had",
      pages: "w-",
      pieces: [[1000, 8192]],
      size: ALL,
      max: 16,
      want: [3096, 1, 1000],
    },
    { desc: "a hole", pages: "-", pieces: [[0, 100]], size: ALL, max: 16, want: [-EFAULT, 0, 0] },
    { desc: "maxpages of 0", pages: "w", pieces: [[0, 100]], size: ALL, max: 0, want: [0, 0, 0] },
    { desc: "maxsize of 0", pages: "w", pieces: [[0, 100]], size: 0, max: 16, want: [0, 0, 0] },
    { desc: "nothing left", pages: "w", pieces: [[0, 0]], size: ALL, max: 16, want: [0, 0, 0] },
  ] as const)("$desc", ({ pages, pieces, size, max, want }) => {
    const makers = [() => iovec(ITER_DEST, ...pieces)];
    if (pieces.length === 1) makers.push(() => iovIterUbuf(ITER_DEST, BASE + pieces[0][0], pieces[0][1]));
    for (const make of makers) {
      const rig = rigOf(pages);
      const i = make();
      const { count } = i;
      const first = pieces.find(([, len]) => len > 0)?.[0] ?? 0;
      const got = run(rig, take(rig.task, i, size, max, GRAB_FAULTING));
      expect(checkUserPages(rig, got, first, 1)).toEqual(want);
      expect(i.count).toBe(count - Math.max(0, want[0]));
      putUserPages(rig.task, got.pages, false);
      checkUserPages(rig, got, first, 0);
    }
  });

  test("a destination needs pages that can be written, a source does not", () => {
    for (const [dataSource, want] of [
      [ITER_DEST, -EFAULT],
      [ITER_SOURCE, 4096],
    ] as const) {
      const rig = rigOf("r");
      const got = run(rig, take(rig.task, iovIterUbuf(dataSource, BASE, 4096), ALL, 16, GRAB_FAULTING));
      expect(got.bytes).toBe(want);
    }
  });

  test("a destination gets a page of its own in place of the zero page", () => {
    const rig = rigOf("z");
    const zero = physicalOf(rig, BASE);
    const got = run(rig, take(rig.task, iovIterUbuf(ITER_DEST, BASE, 4096), ALL, 16, GRAB_FAULTING));
    expect(got.bytes).toBe(4096);
    expect(got.pages[0]).not.toBe(pageOf(zero));
  });

  test.each([
    { desc: "all there", pages: "ww", want: [8192, 2, 0] },
    { desc: "as far as they are there", pages: "w.", want: [4096, 1, 0] },
    { desc: "none there", pages: ".w", want: [-EFAULT, 0, 0] },
    { desc: "only readable", pages: "z", want: [-EFAULT, 0, 0] },
  ])("nofault: $desc", ({ pages, want }) => {
    for (const grab of [GRAB_FAULTING, GRAB_NOFAULT]) {
      const rig = rigOf(pages);
      const i = iovIterUbuf(ITER_DEST, BASE, 8192);
      i.nofault = true;
      const got = run(rig, take(rig.task, i, ALL, 16, grab as typeof GRAB_FAULTING));
      expect([got.bytes, got.pages.length, got.start]).toEqual(want);
      expect(i.count).toBe(8192 - Math.max(0, want[0]));
    }
  });

  test("who cannot fault has to say so in the iterator", () => {
    const rig = rigOf("w");
    expect(() => run(rig, take(rig.task, iovIterUbuf(ITER_DEST, BASE, 1), ALL, 1, GRAB_NOFAULT))).toThrow(
      "not nofault",
    );
  });

  test("MAX_RW_COUNT is the most, and the pages asked for are those of the clipped size", () => {
    const rig = rigOf("w");
    const i = iovIterUbuf(ITER_SOURCE, BASE + 5, 2 ** 40);
    let asked = 0;
    const got = run(
      rig,
      take(rig.task, i, 2 ** 40, 2 ** 40, function* (_task, start, count, flags, pages) {
        expect([start, flags & FOLL_WRITE]).toEqual([BASE, 0]);
        asked = count;
        for (let n = 0; n < count; n++) pages.push(1 as Pfn);
        return count;
      }),
    );
    expect([got.bytes, asked]).toEqual([MAX_RW_COUNT, MAX_RW_COUNT / 4096 + 1]);
  });
});

test("iov_iter_get_pages, until 5.19, leaves the iterator where it is", () => {
  const rig = rigOf("ww");
  const i = iovec(ITER_DEST, [0, 0], [100, 5000]);
  for (let time = 1; time <= 2; time++) {
    const got = run(rig, iovIterGetPages(rig.task, i, 4096, 16, GRAB_FAULTING));
    expect(checkUserPages(rig, got, 100, time)).toEqual([4096, 2, 100]);
    expect([i.nrSegs, i.iovOffset, i.count]).toEqual([2, 0, 5000]);
  }
});

test("iov_iter_get_pages_alloc2 brings as many pages as it takes, and no array without bytes", () => {
  const rig = rigOf("www-");
  const i = iovIterUbuf(ITER_DEST, BASE + 1, 4 * 4096 - 1);
  const got = run(rig, iovIterGetPagesAlloc2(rig.task, i, ALL, GRAB_FAULTING));
  expect([got.bytes, got.pages?.length, got.start]).toEqual([12287, 3, 1]);
  expect(run(rig, iovIterGetPagesAlloc2(rig.task, i, ALL, GRAB_FAULTING))).toMatchObject({
    bytes: -EFAULT,
    pages: null,
  });
  iovIterAdvance(i, ALL);
  expect(run(rig, iovIterGetPagesAlloc2(rig.task, i, ALL, GRAB_FAULTING))).toMatchObject({ bytes: 0, pages: null });
});

describe("kernel-backed kinds", () => {
  /** Twenty frames, and an iterator over some of them. */
  const setUp = (): { rig: Rig; first: Pfn } => {
    const rig = makeRig();
    return { rig, first: allocFrames(rig, 20) };
  };
  const refs = (rig: Rig, pages: readonly Pfn[]): number[] => pages.map((page) => rig.mem.refcount[page]);

  test("bvec: get_pages2 takes the first piece, extract_pages those that meet at page edges", () => {
    const { rig, first } = setUp();
    const piece = (n: number, offset: number, len: number): BioVec => ({ page: (first + n) as Pfn, offset, len });
    const pieces = [
      piece(0, 0, 0),
      piece(1, 4000, 96),
      piece(5, 0, 4096),
      piece(4, 0, 100),
      piece(4, 100, 50),
      piece(9, 0, 10),
    ];
    const make = (): IovIter => iovIterBvec(ITER_DEST, pieces, 4352);

    const i = make();
    const got: IterPages[] = [];
    while (i.count > 0) got.push(run(rig, iovIterGetPages2(rig.task, i, ALL, 16, GRAB_FAULTING)));
    expect(got).toEqual([
      { bytes: 96, pages: [first + 1], start: 4000 },
      { bytes: 4096, pages: [first + 5], start: 0 },
      { bytes: 100, pages: [first + 4], start: 0 },
      { bytes: 50, pages: [first + 4], start: 100 },
      { bytes: 10, pages: [first + 9], start: 0 },
    ]);
    expect(
      refs(
        rig,
        got.flatMap(({ pages }) => pages),
      ),
    ).toEqual([2, 2, 3, 3, 2]);

    const j = make();
    const extracted: IterPages[] = [];
    while (j.count > 0) extracted.push(run(rig, iovIterExtractPages(rig.task, j, ALL, 16, GRAB_FAULTING)));
    expect(extracted).toEqual([
      { bytes: 4292, pages: [first + 1, first + 5, first + 4], start: 4000 },
      { bytes: 50, pages: [first + 4], start: 100 },
      { bytes: 10, pages: [first + 9], start: 0 },
    ]);
    expect(refs(rig, [(first + 1) as Pfn])).toEqual([2]);
    expect(iovIterExtractWillPin(j)).toBe(false);
  });

  test("bvec: a piece that begins within a page is not taken with one that ends at a page edge", () => {
    const { rig, first } = setUp();
    const pieces = [
      { page: first, offset: 4000, len: 96 },
      { page: (first + 2) as Pfn, offset: 1, len: 4095 },
    ];
    const i = iovIterBvec(ITER_DEST, pieces, 4191);
    const extract = (): IterPages => run(rig, iovIterExtractPages(rig.task, i, ALL, 16, GRAB_FAULTING));
    expect(extract()).toEqual({ bytes: 96, pages: [first], start: 4000 });
    expect(extract()).toEqual({ bytes: 4095, pages: [first + 2], start: 1 });
  });

  test("bvec: limits of size and pages", () => {
    const { rig, first } = setUp();
    const make = (): IovIter => iovIterBvec(ITER_DEST, [{ page: first, offset: 100, len: 12000 }], 12000);
    for (const take of [iovIterGetPages2, iovIterExtractPages]) {
      const one = run(rig, take(rig.task, make(), ALL, 2, GRAB_FAULTING));
      expect(one).toEqual({ bytes: 8092, pages: [first, first + 1], start: 100 });
      const two = run(rig, take(rig.task, make(), 4000, 16, GRAB_FAULTING));
      expect(two).toEqual({ bytes: 4000, pages: [first, first + 1], start: 100 });
    }
  });

  test("kvec: get_pages2 refuses, extract_pages takes the first segment that is not empty", () => {
    const { rig, first } = setUp();
    const base = first * 4096;
    const make = (): IovIter =>
      iovIterKvec(
        ITER_SOURCE,
        [
          { base, len: 0 },
          { base: base + 4090, len: 10 },
          { base, len: 5 },
        ],
        15,
      );
    const i = make();
    expect(run(rig, iovIterGetPages2(rig.task, i, ALL, 16, GRAB_FAULTING)).bytes).toBe(-EFAULT);
    expect(i.count).toBe(15);
    const got = run(rig, iovIterExtractPages(rig.task, i, ALL, 16, GRAB_FAULTING));
    expect(got).toEqual({ bytes: 10, pages: [first, first + 1], start: 4090 });
    expect(refs(rig, got.pages)).toEqual([1, 1]);
    expect(run(rig, iovIterExtractPages(rig.task, i, ALL, 16, GRAB_FAULTING))).toMatchObject({ bytes: 5, start: 0 });
  });

  test("folioq: over folios and batches, up to the limits", () => {
    for (const [take, references] of [
      [iovIterGetPages2, 2],
      [iovIterExtractPages, 1],
    ] as const) {
      const { rig, first } = setUp();
      const queue = new FolioQueue();
      folioqAppend(queue, first);
      folioqAppend(queue, (first + 4) as Pfn, 8192);
      folioqAppend(folioqExtend(queue), (first + 8) as Pfn);
      const i = iovIterFolioQueue(ITER_DEST, queue, 0, 50, 4 * 4096 - 50);
      const got = run(rig, take(rig.task, i, 10000, 16, GRAB_FAULTING));
      expect(got).toEqual({ bytes: 10000, pages: [first, first + 4, first + 5], start: 50 });
      expect(refs(rig, got.pages)).toEqual([references, references, references]);
      const rest = run(rig, take(rig.task, i, ALL, 1, GRAB_FAULTING));
      expect(rest).toEqual({ bytes: 2238, pages: [first + 5], start: 1858 });
      expect(run(rig, take(rig.task, i, ALL, 16, GRAB_FAULTING))).toEqual({
        bytes: 4096,
        pages: [first + 8],
        start: 0,
      });
      expect(i.count).toBe(0);
    }
  });

  test("xarray: as far as the page cache has no gap", () => {
    for (const [take, references] of [
      [iovIterGetPages2, 2],
      [iovIterExtractPages, 1],
    ] as const) {
      const { rig, first } = setUp();
      const mapping = makeMapping(rig);
      for (const index of [3, 4, 6]) mapping.pages.set(index, first + index);
      const i = iovIterXarray(ITER_DEST, mapping, 3 * 4096 + 10, 4 * 4096 - 10);
      const got = run(rig, take(rig.task, i, ALL, 16, GRAB_FAULTING));
      expect(got).toEqual({ bytes: 8182, pages: [first + 3, first + 4], start: 10 });
      expect(refs(rig, got.pages)).toEqual([references, references]);
      expect(run(rig, take(rig.task, i, ALL, 16, GRAB_FAULTING)).bytes).toBe(0);
      iovIterAdvance(i, 4096);
      expect(run(rig, take(rig.task, i, 100, 16, GRAB_FAULTING))).toEqual({ bytes: 100, pages: [first + 6], start: 0 });
    }
  });

  test("discard has no pages", () => {
    const { rig } = setUp();
    for (const take of [iovIterGetPages2, iovIterExtractPages]) {
      expect(run(rig, take(rig.task, iovIterDiscard(ITER_DEST, 10), ALL, 16, GRAB_FAULTING)).bytes).toBe(-EFAULT);
    }
  });
});
