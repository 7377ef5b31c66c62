// Segment counts, page counts and alignments of what remains, by hand and against a walk over every byte.
import { offsetInPage, PAGE_SIZE, type Pfn, pageIndex } from "@faultline/kernel";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  FolioQueue,
  folioqAppend,
  type IovIter,
  ITER_DEST,
  ITER_SOURCE,
  iovIterAdvance,
  iovIterAlignment,
  iovIterBvec,
  iovIterDiscard,
  iovIterFolioQueue,
  iovIterGapAlignment,
  iovIterInit,
  iovIterIsAligned,
  iovIterKvec,
  iovIterNpages,
  iovIterSingleSegCount,
  iovIterTruncate,
  iovIterUbuf,
  iovIterXarray,
  type Segment,
} from "./index.ts";
import { BASE, makeMapping, makeRig } from "./rig.ts";

const mapping = makeMapping(makeRig());

function iovec(...pieces: (readonly [number, number])[]): IovIter {
  const segments = pieces.map(([base, len]) => ({ base, len }));
  return iovIterInit(
    ITER_SOURCE,
    segments,
    segments.reduce((sum, { len }) => sum + len, 0),
  );
}

function folioq(offset: number, count: number): IovIter {
  const queue = new FolioQueue();
  folioqAppend(queue, 10 as Pfn, 3 * PAGE_SIZE);
  folioqAppend(queue, 20 as Pfn);
  return iovIterFolioQueue(ITER_SOURCE, queue, 0, offset, count);
}

describe("of one piece, and of none", () => {
  const rows: { desc: string; i: IovIter; seg: number; pages: number; alignment: number; gap: number }[] = [
    { desc: "ubuf", i: iovIterUbuf(ITER_SOURCE, 0x10200, 0x2000), seg: 0x2000, pages: 3, alignment: 0x12200, gap: 0 },
    {
      desc: "ubuf within a page",
      i: iovIterUbuf(ITER_SOURCE, 0x10fff, 1),
      seg: 1,
      pages: 1,
      alignment: 0x10fff,
      gap: 0,
    },
    { desc: "ubuf high up", i: iovIterUbuf(ITER_SOURCE, BASE + 4, 3), seg: 3, pages: 1, alignment: BASE + 7, gap: 0 },
    { desc: "ubuf, empty", i: iovIterUbuf(ITER_SOURCE, 0x10fff, 0), seg: 0, pages: 0, alignment: 0, gap: 0 },
    {
      desc: "xarray",
      i: iovIterXarray(ITER_DEST, mapping, 0x1234, 0x2000),
      seg: 0x2000,
      pages: 3,
      alignment: 0x3234,
      gap: 0xffffffff,
    },
    { desc: "folioq", i: folioq(0x1001, 0x2000), seg: 0x2000, pages: 3, alignment: 0x3001, gap: 0xffffffff },
    {
      desc: "folioq, more than its first folio",
      i: folioq(0, 0x4000),
      seg: 0x3000,
      pages: 4,
      alignment: 0x4000,
      gap: 0xffffffff,
    },
    { desc: "folioq, empty", i: folioq(0, 0), seg: 0, pages: 0, alignment: 0, gap: 0xffffffff },
    { desc: "discard", i: iovIterDiscard(ITER_DEST, 0x123), seg: 0x123, pages: 0, alignment: 0, gap: 0xffffffff },
    { desc: "iovec without segments", i: iovec(), seg: 0, pages: 0, alignment: 0, gap: 0 },
  ];
  test.each(rows)("$desc", ({ i, seg, pages, alignment, gap }) => {
    expect(iovIterSingleSegCount(i)).toBe(seg);
    expect(iovIterNpages(i, 1000)).toBe(pages);
    expect(iovIterNpages(i, 2)).toBe(Math.min(2, pages));
    expect(iovIterAlignment(i)).toBe(alignment);
    expect(iovIterGapAlignment(i)).toBe(gap);
  });
});

describe("is_aligned", () => {
  test.each([
    { desc: "both", i: iovIterUbuf(ITER_SOURCE, 0x1000, 0x200), addr: 511, len: 511, want: true },
    { desc: "address", i: iovIterUbuf(ITER_SOURCE, 0x1004, 0x200), addr: 511, len: 511, want: false },
    { desc: "address, a coarser mask", i: iovIterUbuf(ITER_SOURCE, 0x1004, 0x200), addr: 3, len: 511, want: true },
    { desc: "length", i: iovIterUbuf(ITER_SOURCE, 0x1000, 0x204), addr: 511, len: 511, want: false },
    { desc: "high addresses", i: iovIterUbuf(ITER_SOURCE, 2 ** 46 + 512, 512), addr: 511, len: 511, want: true },
    { desc: "all segments", i: iovec([0x1000, 512], [0x2200, 1024]), addr: 511, len: 511, want: true },
    { desc: "the last length", i: iovec([0x1000, 512], [0x2200, 1000]), addr: 511, len: 511, want: false },
    { desc: "the last address", i: iovec([0x1000, 512], [0x2201, 512]), addr: 511, len: 511, want: false },
    {
      desc: "an empty segment must lie well, too",
      i: iovec([0x1001, 0], [0x2200, 512]),
      addr: 511,
      len: 511,
      want: false,
    },
    { desc: "one behind the end need not", i: iovec([0x1000, 512], [0x2201, 0]), addr: 511, len: 511, want: true },
    { desc: "discard, whatever its length", i: iovIterDiscard(ITER_DEST, 0x123), addr: 511, len: 511, want: true },
    { desc: "no segments", i: iovec(), addr: 511, len: 511, want: true },
    { desc: "xarray", i: iovIterXarray(ITER_DEST, mapping, 512, 1024), addr: 511, len: 511, want: true },
    { desc: "xarray position", i: iovIterXarray(ITER_DEST, mapping, 513, 1024), addr: 511, len: 511, want: false },
    { desc: "xarray length", i: iovIterXarray(ITER_DEST, mapping, 512, 1), addr: 511, len: 511, want: false },
    { desc: "folioq", i: folioq(512, 512), addr: 511, len: 511, want: true },
    { desc: "folioq offset", i: folioq(500, 512), addr: 511, len: 511, want: false },
    {
      desc: "bvec counts from the page",
      i: iovIterBvec(ITER_DEST, [{ page: 3 as Pfn, offset: 512, len: 512 }], 512),
      addr: 0xffff,
      len: 511,
      want: false,
    },
    {
      desc: "bvec at the page's start",
      i: iovIterBvec(ITER_DEST, [{ page: 3 as Pfn, offset: 0, len: 512 }], 512),
      addr: 0xffff,
      len: 511,
      want: true,
    },
  ])("$desc: $want", ({ i, addr, len, want }) => {
    expect(iovIterIsAligned(i, addr, len)).toBe(want);
  });

  test("only what remains counts: a bad start that is done, a bad end that is cut off", () => {
    const i = iovec([0x1001, 511], [0x2000, 1000]);
    expect(iovIterIsAligned(i, 511, 511)).toBe(false);
    iovIterAdvance(i, 511);
    expect(iovIterIsAligned(i, 511, 511)).toBe(false);
    iovIterTruncate(i, 512);
    expect(iovIterIsAligned(i, 511, 511)).toBe(true);
    const within = iovec([0x1100, 0x300]);
    iovIterAdvance(within, 0x100);
    expect(iovIterIsAligned(within, 511, 511)).toBe(true);
    iovIterAdvance(within, 0x100);
    expect(iovIterIsAligned(within, 511, 0)).toBe(false);
  });
});

describe("gap_alignment", () => {
  test.each([
    { desc: "one segment", i: iovec([0x1234, 0x100]), want: 0 },
    { desc: "two that meet at page edges", i: iovec([0x1234, 0xdcc], [0x5000, 10]), want: 0x7000 },
    { desc: "the first ends within a page", i: iovec([0x1000, 0x10], [0x5000, 10]), want: 0x5010 },
    { desc: "the second begins within a page", i: iovec([0x1000, 0x1000], [0x5008, 10]), want: 0x7008 },
    { desc: "empty ones are no boundary", i: iovec([0x1000, 0x1000], [0x5001, 0], [0x8000, 10]), want: 0xa000 },
    {
      desc: "segments behind the end do not count",
      i: iovec([0x1000, 0x1000], [0x8000, 10], [0x8001, 0]),
      want: 0xa000,
    },
  ])("$desc", ({ i, want }) => {
    expect(iovIterGapAlignment(i)).toBe(want);
  });

  test("a truncated iterator ends early", () => {
    const i = iovec([0x1000, 0x1000], [0x8000, 10], [0x9003, 5]);
    iovIterTruncate(i, 0x1005);
    expect(iovIterGapAlignment(i)).toBe(0xa000);
  });
});

/** Pieces of what remains, empty ones left out. */
function rest(segments: readonly Segment[], from: number, count: number): Segment[] {
  let skip = from;
  let left = count;
  return segments.flatMap(({ base, len }) => {
    const passed = Math.min(skip, len);
    const part = Math.min(len - passed, left);
    skip -= passed;
    left -= part;
    return part > 0 ? [{ base: base + passed, len: part }] : [];
  });
}

test.each(["iovec", "kvec", "bvec"] as const)("random %s: as a walk over all bytes says", (kind) => {
  const lens = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 3 * PAGE_SIZE }));
  const pieces = fc.array(fc.tuple(fc.integer({ min: 2 * PAGE_SIZE, max: 64 * PAGE_SIZE }), lens), { maxLength: 5 });
  fc.assert(
    fc.property(pieces, fc.nat(20000), fc.nat(20000), (list, advance, truncate) => {
      const segments = list.map(([base, len]) => ({ base, len }));
      const total = segments.reduce((sum, { len }) => sum + len, 0);
      const i =
        kind === "iovec"
          ? iovIterInit(ITER_SOURCE, segments, total)
          : kind === "kvec"
            ? iovIterKvec(ITER_SOURCE, segments, total)
            : iovIterBvec(
                ITER_SOURCE,
                segments.map(({ base, len }) => ({ page: pageIndex(base) as Pfn, offset: offsetInPage(base), len })),
                total,
              );
      iovIterAdvance(i, advance);
      iovIterTruncate(i, truncate);
      const from = Math.min(advance, total);
      const left = rest(segments, from, i.count);
      const address = ({ base }: Segment): number => (kind === "bvec" ? offsetInPage(base) : base);
      let pages = 0;
      let bits = 0;
      for (const piece of left) {
        bits |= address(piece) | piece.len;
        for (let n = 0; n < piece.len; n++) if (n === 0 || offsetInPage(piece.base + n) === 0) pages++;
      }
      expect(iovIterNpages(i, Number.MAX_SAFE_INTEGER)).toBe(pages);
      // Of a piece that begins within a larger one, Linux counts the offset from the larger one's page.
      if (kind !== "bvec") expect(iovIterAlignment(i)).toBe(bits);
      else expect(iovIterAlignment(i) & 0xfff).toBe(bits & 0xfff);
      // The current segment, or all when it is the last.
      const at = i.segments[i.segment];
      const single = i.nrSegs > 1 ? Math.min(i.count, at.len - i.iovOffset) : i.count;
      expect(iovIterSingleSegCount(i)).toBe(single);
      if (left.length > 0 && iovIterSingleSegCount(i) > 0) expect(single).toBe(left[0].len);
    }),
    { numRuns: 300, seed: 1 },
  );
});
