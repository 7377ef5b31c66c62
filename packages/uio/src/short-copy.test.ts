// Every copy, for every kind of iterator that can fall short: does it do all, stop in the middle of a page, stop at a
// page edge, or do nothing; does it leave the rest of the destination alone; and does the iterator move by just that?
//
// Each case is a row of user pages (see rig.ts) and segments over them; what must come out is counted byte by
// byte from the letters.
import { offsetInPage, PAGE_SIZE, type Pfn } from "@faultline/kernel";
import { FAULTS_DISABLED, FAULTS_ENABLED, MM_5_10, MM_LATEST, type MmRevision, pageAddress } from "@faultline/mm";
import { describe, expect, test } from "vitest";
import {
  copyFromIter,
  copyFromIterFull,
  copyFromIterNocache,
  copyPageFromIter,
  copyPageFromIterAtomic,
  copyPageToIter,
  copyPageToIterAtomic,
  copyPageToIterNofault,
  copyToIter,
  copyToIterFull,
  finishCopyPageFromIter,
  finishCopyPageToIter,
  type IovIter,
  ITER_DEST,
  ITER_SOURCE,
  iovIterCopyFromUserAtomic,
  iovIterInit,
  iovIterUbuf,
  iovIterZero,
  type Segment,
  tryCopyPageFromIter,
  tryCopyPageToIter,
  UIO_5_10,
  UIO_LATEST,
  type UioRevision,
} from "./index.ts";
import {
  allocFrames,
  BASE,
  firstDifference,
  makeRig,
  mapPages,
  POISON,
  peek,
  physicalBytes,
  type Rig,
  run,
} from "./rig.ts";

/** Bytes of the iterator, and what each segment says. */
interface Layout {
  readonly desc: string;
  readonly pages: string;
  /** Offsets from BASE, and lengths. */
  readonly segments: readonly (readonly [number, number])[];
}

const LAYOUTS: readonly Layout[] = [
  { desc: "all: one page", pages: "w", segments: [[0, 4096]] },
  { desc: "all: two pages, not aligned", pages: "www", segments: [[100, 8192]] },
  {
    desc: "all: several segments, empty ones among them",
    pages: "ww",
    segments: [
      [50, 0],
      [10, 7],
      [5000, 3000],
      [4096, 0],
      [1, 1],
      [9, 0],
    ],
  },
  { desc: "mid-page: poison", pages: "p", segments: [[0, 4096]] },
  { desc: "mid-page: poison in the second page", pages: "wp", segments: [[1000, 7000]] },
  { desc: "mid-page of the kernel's page: hole", pages: "w-", segments: [[4000, 2000]] },
  {
    desc: "mid-page: poison in the second segment",
    pages: "wp",
    segments: [
      [0, 100],
      [8, 0],
      [6000, 2000],
      [0, 5],
    ],
  },
  { desc: "page edge: hole behind an aligned page", pages: "w-", segments: [[0, 8192]] },
  {
    desc: "page edge: the first segment ends where the hole begins",
    pages: "w-",
    segments: [
      [0, 4096],
      [4096, 100],
    ],
  },
  {
    desc: "page edge: last byte there, first byte not",
    pages: "w-w",
    segments: [
      [4095, 2],
      [8192, 10],
    ],
  },
  {
    desc: "page edge: hole between good segments",
    pages: "w-w",
    segments: [
      [8192, 100],
      [4096, 0],
      [4096, 1],
      [0, 50],
    ],
  },
  { desc: "page edge: two pages, then read-only", pages: "wwr", segments: [[0, 12288]] },
  { desc: "page edge: then no access", pages: "wn", segments: [[2000, 4000]] },
  { desc: "none: hole", pages: "-", segments: [[0, 100]] },
  {
    desc: "none: hole behind empty segments",
    pages: "w-",
    segments: [
      [0, 0],
      [4095, 0],
      [4096, 10],
      [0, 10],
    ],
  },
  { desc: "none: poison at once", pages: "p", segments: [[POISON, 64]] },
  { desc: "none: read-only", pages: "r", segments: [[1, 500]] },
  { desc: "not there yet", pages: ".w", segments: [[4000, 200]] },
  { desc: "there, then not yet", pages: "w.", segments: [[4000, 200]] },
  { desc: "zero page", pages: "wz", segments: [[0, 8192]] },
  {
    desc: "beyond user space",
    pages: "w",
    segments: [
      [0, 10],
      [2 ** 47 - 100 - BASE, 200],
    ],
  },
  { desc: "nothing at all", pages: "w", segments: [[0, 0]] },
];

const FRAMES = 4;
const OLD = 0xee;

interface Copy {
  readonly name: string;
  /** Out of the iterator, into it, or zeroes into it. */
  readonly moves: "out" | "in" | "zero";
  readonly faults: boolean;
  /** It leaves the iterator where it was, always, or unless it did everything. */
  readonly stays?: "always" | "short";
  /** A segment that cannot be had in full counts as nothing. */
  readonly wholeSegments?: boolean;
  /** Bytes done, or true or false for all or nothing. */
  readonly run: (rig: Rig, frame: Pfn, offset: number, bytes: number, i: IovIter) => number | boolean;
}

const at = (frame: Pfn, offset: number): number => pageAddress(frame) + offset;

const COPIES: readonly Copy[] = [
  {
    name: "copyPageFromIterAtomic",
    moves: "out",
    faults: false,
    run: ({ task }, frame, offset, bytes, i) => copyPageFromIterAtomic(task, frame, offset, bytes, i),
  },
  {
    name: "iovIterCopyFromUserAtomic",
    moves: "out",
    faults: false,
    stays: "always",
    run: ({ task }, frame, offset, bytes, i) => iovIterCopyFromUserAtomic(task, frame, offset, bytes, i),
  },
  {
    name: "copyPageToIterAtomic",
    moves: "in",
    faults: false,
    run: ({ task }, frame, offset, bytes, i) => copyPageToIterAtomic(task, frame, offset, bytes, i),
  },
  {
    name: "copyPageToIterNofault",
    moves: "in",
    faults: false,
    wholeSegments: true,
    run: ({ task }, frame, offset, bytes, i) => copyPageToIterNofault(task, frame, offset, bytes, i),
  },
  ...[FAULTS_DISABLED, FAULTS_ENABLED].flatMap((user): Copy[] => {
    const { faults } = user;
    const tag = faults ? "faults" : "no faults";
    const access = user as typeof FAULTS_ENABLED;
    return [
      {
        name: `copyPageFromIter, ${tag}`,
        moves: "out",
        faults,
        run: (rig, frame, offset, bytes, i) => run(rig, copyPageFromIter(rig.task, frame, offset, bytes, i, access)),
      },
      {
        name: `copyPageToIter, ${tag}`,
        moves: "in",
        faults,
        run: (rig, frame, offset, bytes, i) => run(rig, copyPageToIter(rig.task, frame, offset, bytes, i, access)),
      },
      {
        name: `tryCopyPageFromIter and finish, ${tag}`,
        moves: "out",
        faults,
        run: (rig, frame, offset, bytes, i) => {
          const done = tryCopyPageFromIter(rig.task, frame, offset, bytes, i, access);
          return run(rig, finishCopyPageFromIter(rig.task, frame, offset, bytes, i, access, done));
        },
      },
      {
        name: `tryCopyPageToIter and finish, ${tag}`,
        moves: "in",
        faults,
        run: (rig, frame, offset, bytes, i) => {
          const done = tryCopyPageToIter(rig.task, frame, offset, bytes, i, access);
          return run(rig, finishCopyPageToIter(rig.task, frame, offset, bytes, i, access, done));
        },
      },
      {
        name: `copyFromIter, ${tag}`,
        moves: "out",
        faults,
        run: (rig, frame, offset, bytes, i) => run(rig, copyFromIter(rig.task, at(frame, offset), bytes, i, access)),
      },
      {
        name: `copyFromIterNocache, ${tag}`,
        moves: "out",
        faults,
        run: (rig, frame, offset, bytes, i) =>
          run(rig, copyFromIterNocache(rig.task, at(frame, offset), bytes, i, access)),
      },
      {
        name: `copyFromIterFull, ${tag}`,
        moves: "out",
        faults,
        stays: "short",
        run: (rig, frame, offset, bytes, i) =>
          run(rig, copyFromIterFull(rig.task, at(frame, offset), bytes, i, access)),
      },
      {
        name: `copyToIter, ${tag}`,
        moves: "in",
        faults,
        run: (rig, frame, offset, bytes, i) => run(rig, copyToIter(rig.task, at(frame, offset), bytes, i, access)),
      },
      {
        name: `copyToIterFull, ${tag}`,
        moves: "in",
        faults,
        stays: "short",
        run: (rig, frame, offset, bytes, i) => run(rig, copyToIterFull(rig.task, at(frame, offset), bytes, i, access)),
      },
      {
        name: `iovIterZero, ${tag}`,
        moves: "zero",
        faults,
        run: (rig, _frame, _offset, bytes, i) => run(rig, iovIterZero(rig.task, bytes, i, access)),
      },
    ];
  }),
];

const REVISIONS: readonly (readonly [MmRevision, UioRevision])[] = [
  [MM_5_10, UIO_5_10],
  [MM_LATEST, UIO_LATEST],
];

for (const [mm, uio] of REVISIONS) {
  describe(uio.name, () => {
    for (const copy of COPIES) {
      test.each(LAYOUTS)(`${copy.name}: $desc`, (layout) => {
        // The kernel's page edges lie elsewhere than the iterator's for one of the two.
        check(mm, uio, copy, layout, "iovec", 1000);
        check(mm, uio, copy, layout, layout.segments.length === 1 ? "ubuf" : "iovec", 0);
      });
    }
  });
}

function check(
  mm: MmRevision,
  uio: UioRevision,
  copy: Copy,
  layout: Layout,
  kind: "ubuf" | "iovec",
  offset: number,
): void {
  const rig = makeRig({ revision: mm });
  const frame = allocFrames(rig, FRAMES, OLD);
  for (let k = 0; k < FRAMES * PAGE_SIZE && copy.moves === "in"; k++) rig.mem.u8[pageAddress(frame) + k] = k % 249;
  mapPages(rig, layout.pages);
  const before = peek(rig, BASE, layout.pages.length * PAGE_SIZE);
  const segments = layout.segments.map(([from, len]) => ({ base: BASE + from, len }));
  const cells: number[] = [];
  for (const { base, len } of segments) for (let n = 0; n < len; n++) cells.push(base + n);
  const dataSource = copy.moves === "out" ? ITER_SOURCE : ITER_DEST;
  const i =
    kind === "ubuf"
      ? iovIterUbuf(dataSource, segments[0].base, cells.length, uio)
      : iovIterInit(dataSource, segments, cells.length, uio);

  const want = bytesThere(copy, layout, segments, offset);
  const got = copy.run(rig, frame, offset, cells.length, i);

  expect(got).toBe(copy.stays === "short" ? want === cells.length : want);
  const moved = copy.stays === "always" || (copy.stays === "short" && want < cells.length) ? 0 : want;
  expect(i.count).toBe(cells.length - moved);
  expect(remaining(i)).toEqual(without(segments, moved));
  if (copy.moves === "out") {
    const image = new Uint8Array(FRAMES * PAGE_SIZE).fill(OLD);
    for (let k = 0; k < want; k++) image[offset + k] = before[cells[k] - BASE];
    expect(firstDifference(physicalBytes(rig, pageAddress(frame), image.length), image)).toBe(-1);
  } else {
    for (let k = 0; k < want; k++) before[cells[k] - BASE] = copy.moves === "zero" ? 0 : (offset + k) % 249;
    const differs = firstDifference(peek(rig, BASE, before.length), before);
    // Of a segment that counts as not done, some bytes may have been written.
    if (!copy.wholeSegments || want === cells.length) expect(differs).toBe(-1);
    else if (differs >= 0) expect(cells.indexOf(BASE + differs)).toBeGreaterThanOrEqual(want);
  }
}

/** How many bytes can be had in order, by the letters alone. */
function bytesThere(copy: Copy, layout: Layout, segments: readonly Segment[], offset: number): number {
  const there = (address: number): boolean => {
    const letter = layout.pages[Math.floor((address - BASE) / PAGE_SIZE)] ?? "-";
    if (letter === ".") return copy.faults;
    if (letter === "z") return copy.faults || copy.moves === "out";
    if (letter === "r") return copy.moves === "out";
    return letter === "w" || (letter === "p" && offsetInPage(address) < POISON);
  };
  let done = 0;
  for (const { base, len } of segments) {
    let piece = 0;
    for (let n = 0; n < len; n++) {
      // A piece ends with its segment, and at the edges of the kernel's pages.
      if (offsetInPage(offset + done + piece) === 0) {
        done += piece;
        piece = 0;
      }
      if (!there(base + n)) return copy.wholeSegments ? done : done + piece;
      piece++;
    }
    done += piece;
  }
  return done;
}

/** What the iterator still has to do, empty segments left out. */
function remaining(i: IovIter): Segment[] {
  if (i.kind === "ubuf") return i.count === 0 ? [] : [{ base: i.ubuf + i.iovOffset, len: i.count }];
  const rest = i.segments.slice(i.segment).map(({ base, len }) => ({ base, len }));
  if (rest.length > 0) rest[0] = { base: rest[0].base + i.iovOffset, len: rest[0].len - i.iovOffset };
  return rest.filter(({ len }) => len !== 0);
}

/** The segments less their first `size` bytes. */
function without(segments: readonly Segment[], size: number): Segment[] {
  let left = size;
  return segments.flatMap(({ base, len }) => {
    const skip = Math.min(left, len);
    left -= skip;
    return skip === len ? [] : [{ base: base + skip, len: len - skip }];
  });
}
