// What a bad argument gets: a TypeError or a RangeError that names it, before anything has moved.
import type { Pfn } from "@faultline/kernel";
import { FAULTS_DISABLED } from "@faultline/mm";
import { describe, expect, test } from "vitest";
import {
  copyFromIter,
  copyPageFromIter,
  copyPageFromIterAtomic,
  copyPageToIter,
  copyPageToIterAtomic,
  copyPageToIterNofault,
  copyToIter,
  FOLIO_QUEUE_SLOTS,
  FolioQueue,
  faultInIovIterReadable,
  faultInIovIterWriteable,
  folioqAppend,
  folioqExtend,
  GRAB_FAULTING,
  type IovIter,
  ITER_DEST,
  ITER_SOURCE,
  importIovec,
  importUbuf,
  iovIterAdvance,
  iovIterBvec,
  iovIterCopyFromUserAtomic,
  iovIterDiscard,
  iovIterExtractPages,
  iovIterFaultInReadable,
  iovIterFaultInWriteable,
  iovIterFolioQueue,
  iovIterGetPages2,
  iovIterInit,
  iovIterIsAligned,
  iovIterKvec,
  iovIterNpages,
  iovIterReexpand,
  iovIterRevert,
  iovIterTruncate,
  iovIterUbuf,
  iovIterXarray,
  iovIterZero,
} from "./index.ts";
import { BASE, firstDifference, makeMapping, makeRig, mapPages, peek, run } from "./rig.ts";

/** Not whole numbers from 0 on. */
const BAD: readonly unknown[] = [-1, Number.NaN, 0.5, Number.POSITIVE_INFINITY, 2 ** 53, "1", null, undefined, {}, 1n];

const rig = makeRig();
const { task, mem } = rig;
mapPages(rig, "ww");
const mapping = makeMapping(rig);
const page = 20 as Pfn;

function source(): IovIter {
  return iovIterUbuf(ITER_SOURCE, BASE, 8192);
}

/** Each argument of each function; `use` puts a bad value in its place. */
const ARGUMENTS: readonly (readonly [name: string, argument: string, use: (bad: never, i: IovIter) => unknown])[] = [
  ["iovIterUbuf", "address", (bad) => iovIterUbuf(ITER_DEST, bad, 1)],
  ["iovIterUbuf", "count", (bad) => iovIterUbuf(ITER_DEST, 0, bad)],
  [
    "iovIterInit",
    "segments[1].base",
    (bad) =>
      iovIterInit(
        ITER_DEST,
        [
          { base: 0, len: 0 },
          { base: bad, len: 1 },
        ],
        1,
      ),
  ],
  ["iovIterInit", "segments[0].len", (bad) => iovIterInit(ITER_DEST, [{ base: 0, len: bad }], 1)],
  ["iovIterInit", "count", (bad) => iovIterInit(ITER_DEST, [{ base: 0, len: 1 }], bad)],
  ["iovIterKvec", "count", (bad) => iovIterKvec(ITER_DEST, [{ base: 0, len: 1 }], bad)],
  ["iovIterBvec", "pieces[0].page", (bad) => iovIterBvec(ITER_DEST, [{ page: bad, offset: 0, len: 1 }], 1)],
  ["iovIterBvec", "pieces[0].offset", (bad) => iovIterBvec(ITER_DEST, [{ page, offset: bad, len: 1 }], 1)],
  ["iovIterXarray", "start", (bad) => iovIterXarray(ITER_DEST, mapping, bad, 1)],
  ["iovIterXarray", "count", (bad) => iovIterXarray(ITER_DEST, mapping, 1, bad)],
  ["iovIterFolioQueue", "firstSlot", (bad) => iovIterFolioQueue(ITER_DEST, new FolioQueue(), bad, 0, 1)],
  ["iovIterFolioQueue", "offset", (bad) => iovIterFolioQueue(ITER_DEST, new FolioQueue(), 0, bad, 1)],
  ["iovIterFolioQueue", "count", (bad) => iovIterFolioQueue(ITER_DEST, new FolioQueue(), 0, 0, bad)],
  ["iovIterDiscard", "count", (bad) => iovIterDiscard(ITER_DEST, bad)],
  ["folioqAppend", "page", (bad) => folioqAppend(new FolioQueue(), bad)],
  ["folioqAppend", "size", (bad) => folioqAppend(new FolioQueue(), page, bad === undefined ? (null as never) : bad)],
  ["iovIterAdvance", "size", (bad, i) => iovIterAdvance(i, bad)],
  ["iovIterRevert", "unroll", (bad, i) => iovIterRevert(i, bad)],
  ["iovIterTruncate", "count", (bad, i) => iovIterTruncate(i, bad)],
  ["iovIterReexpand", "count", (bad, i) => iovIterReexpand(i, bad)],
  ["iovIterNpages", "maxpages", (bad, i) => iovIterNpages(i, bad)],
  ["iovIterIsAligned", "addrMask", (bad, i) => iovIterIsAligned(i, bad, 0)],
  ["iovIterIsAligned", "lenMask", (bad, i) => iovIterIsAligned(i, 0, bad)],
  ["copyPageFromIterAtomic", "frame", (bad, i) => copyPageFromIterAtomic(task, bad, 0, 1, i)],
  ["copyPageFromIterAtomic", "offset", (bad, i) => copyPageFromIterAtomic(task, page, bad, 1, i)],
  ["copyPageFromIterAtomic", "bytes", (bad, i) => copyPageFromIterAtomic(task, page, 0, bad, i)],
  ["iovIterCopyFromUserAtomic", "bytes", (bad, i) => iovIterCopyFromUserAtomic(task, page, 0, bad, i)],
  ["copyPageToIterAtomic", "offset", (bad, i) => copyPageToIterAtomic(task, page, bad, 1, i)],
  ["copyPageToIterNofault", "bytes", (bad, i) => copyPageToIterNofault(task, page, 0, bad, i)],
  ["copyPageFromIter", "frame", (bad, i) => run(rig, copyPageFromIter(task, bad, 0, 1, i, FAULTS_DISABLED))],
  ["copyPageToIter", "bytes", (bad, i) => run(rig, copyPageToIter(task, page, 0, bad, i, FAULTS_DISABLED))],
  ["copyFromIter", "physical", (bad, i) => run(rig, copyFromIter(task, bad, 1, i, FAULTS_DISABLED))],
  ["copyFromIter", "bytes", (bad, i) => run(rig, copyFromIter(task, 8192, bad, i, FAULTS_DISABLED))],
  ["copyToIter", "bytes", (bad, i) => run(rig, copyToIter(task, 8192, bad, i, FAULTS_DISABLED))],
  ["iovIterZero", "bytes", (bad, i) => run(rig, iovIterZero(task, bad, i, FAULTS_DISABLED))],
  ["faultInIovIterReadable", "size", (bad, i) => run(rig, faultInIovIterReadable(task, i, bad))],
  ["faultInIovIterWriteable", "size", (bad, i) => run(rig, faultInIovIterWriteable(task, i, bad))],
  ["iovIterFaultInReadable", "bytes", (bad, i) => run(rig, iovIterFaultInReadable(task, i, bad))],
  ["iovIterFaultInWriteable", "bytes", (bad, i) => run(rig, iovIterFaultInWriteable(task, i, bad))],
  ["iovIterGetPages2", "maxsize", (bad, i) => run(rig, iovIterGetPages2(task, i, bad, 1, GRAB_FAULTING))],
  ["iovIterGetPages2", "maxpages", (bad, i) => run(rig, iovIterGetPages2(task, i, 1, bad, GRAB_FAULTING))],
  ["iovIterExtractPages", "maxsize", (bad, i) => run(rig, iovIterExtractPages(task, i, bad, 1, GRAB_FAULTING))],
];

describe.each(ARGUMENTS)("%s: %s", (_, argument, use) => {
  test.each(BAD.map((bad) => [bad]))("%s", (bad) => {
    const i = source();
    const before = peek(rig, BASE, 8192);
    const name = argument.replace(/[[\].]/g, "\\$&");
    expect(() => use(bad as never, i)).toThrow(typeof bad === "number" ? RangeError : TypeError);
    expect(() => use(bad as never, i)).toThrow(new RegExp(`^${name} must be`));
    expect([i.iovOffset, i.count, i.segment]).toEqual([0, 8192, 0]);
    expect(firstDifference(peek(rig, BASE, 8192), before)).toBe(-1);
  });
});

test("directions are booleans", () => {
  for (const bad of [0, 1, "read", undefined, null]) {
    expect(() => iovIterUbuf(bad as never, BASE, 1)).toThrow("dataSource must be ITER_SOURCE or ITER_DEST");
    expect(() => iovIterInit(bad as never, [], 0)).toThrow(TypeError);
    expect(() => iovIterDiscard(bad as never, 0)).toThrow(TypeError);
  }
});

test("foreign objects in place of a mapping or a queue", () => {
  for (const bad of [{}, null, undefined, []]) {
    expect(() => iovIterXarray(ITER_DEST, bad as never, 0, 1)).toThrow(/^mapping must be a AddressSpace/);
    expect(() => iovIterFolioQueue(ITER_DEST, bad as never, 0, 0, 1)).toThrow(/^folioq must be a FolioQueue/);
  }
});

test("frames that are not there", () => {
  const i = source();
  const last = (mem.frames - 1) as Pfn;
  expect(() => copyPageFromIterAtomic(task, 0 as Pfn, 0, 1, i)).toThrow(/^frame must be/);
  expect(() => copyPageFromIterAtomic(task, mem.frames as Pfn, 0, 1, i)).toThrow(/^frame must be/);
  expect(() => copyPageFromIterAtomic(task, last, 0, 4097, i)).toThrow(/^bytes must be between 0 and 4096/);
  expect(() => copyPageFromIterAtomic(task, last, 4096, 1, i)).toThrow(/^bytes must be between 0 and 0/);
  expect(() => copyPageFromIterAtomic(task, last, 5000, 0, i)).toThrow(/^offset must be/);
  expect(i.count).toBe(8192);
});

test("one copy moves no more than MAX_RW_COUNT; zeroing is cut to what remains first", () => {
  const i = iovIterUbuf(ITER_DEST, BASE, 2 ** 40);
  expect(() => run(rig, iovIterZero(task, 2 ** 32, i, FAULTS_DISABLED))).toThrow(
    /^bytes must be between 0 and 2147479552/,
  );
  const short = iovIterUbuf(ITER_DEST, BASE, 10);
  expect(run(rig, iovIterZero(task, 2 ** 40, short, FAULTS_DISABLED))).toBe(10);
});

test("a system call's arguments are whole numbers of any size; what they lack is an errno", () => {
  for (const bad of ["1", null, undefined, {}, 1n]) {
    expect(() => importUbuf(ITER_DEST, bad as never, 1)).toThrow(/^address must be a number/);
    expect(() => importUbuf(ITER_DEST, 1, bad as never)).toThrow(/^len must be a number/);
    expect(() => importIovec(ITER_DEST, [{ base: 0, len: bad as never }])).toThrow(/^uvec\[0\].len must be a number/);
  }
  for (const bad of [0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => importUbuf(ITER_DEST, bad, 1)).toThrow(/^address must be a whole number/);
    expect(() => importIovec(ITER_DEST, [{ base: bad, len: 1 }])).toThrow(/^uvec\[0\].base must be a whole number/);
  }
  expect(() => importIovec(2 as never, [])).toThrow(TypeError);
});

test("a batch of folios has so many slots, and one successor", () => {
  const queue = new FolioQueue();
  for (let n = 0; n < FOLIO_QUEUE_SLOTS; n++) expect(folioqAppend(queue, page)).toBe(n);
  expect(() => folioqAppend(queue, page)).toThrow("full batch");
  folioqExtend(queue);
  expect(() => folioqExtend(queue)).toThrow("has a successor");
  expect(() => folioqAppend(new FolioQueue(), page, 5000)).toThrow(/^size must be a multiple of 4096/);
});

test("against its direction a copy does nothing", () => {
  const from = source();
  const to = iovIterUbuf(ITER_DEST, BASE, 8192);
  expect(copyPageToIterAtomic(task, page, 0, 100, from)).toBe(0);
  expect(copyPageToIterNofault(task, page, 0, 100, from)).toBe(0);
  expect(copyPageFromIterAtomic(task, page, 0, 100, to)).toBe(0);
  expect(iovIterCopyFromUserAtomic(task, page, 0, 100, to)).toBe(0);
  expect(run(rig, copyPageToIter(task, page, 0, 100, from, FAULTS_DISABLED))).toBe(0);
  expect(run(rig, copyPageFromIter(task, page, 0, 100, to, FAULTS_DISABLED))).toBe(0);
  expect(run(rig, copyToIter(task, 8192, 100, from, FAULTS_DISABLED))).toBe(0);
  expect(run(rig, copyFromIter(task, 8192, 100, to, FAULTS_DISABLED))).toBe(0);
  expect([from.count, to.count]).toEqual([8192, 8192]);
});

test("an xarray iterator over a page that is not there is a bug of its maker", () => {
  const i = iovIterXarray(ITER_SOURCE, mapping, 0, 10);
  expect(() => copyPageFromIterAtomic(task, page, 0, 10, i)).toThrow("not in the cache");
});

test("kernel memory beyond the end is a bug of its maker", () => {
  const i = iovIterKvec(ITER_SOURCE, [{ base: mem.u8.length - 5, len: 10 }], 10);
  expect(() => copyPageFromIterAtomic(task, page, 0, 10, i)).toThrow("beyond the end of memory");
});
