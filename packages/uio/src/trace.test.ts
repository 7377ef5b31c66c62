// How often does a copy meet a fault that stays? It shows in traces, and differs between kernels: copy_page_to_iter
// tries a page that was copied in part once more since 5.14, and x86's copy routines met the failing byte
// twice until 6.3, and do still in copies below 64 bytes that move words. Counts are those of recorded kernels.
import type { Pfn } from "@faultline/kernel";
import {
  FAULTS_DISABLED,
  FAULTS_ENABLED,
  MM_5_10,
  MM_6_1,
  MM_6_12,
  MM_LATEST,
  type MmRevision,
  TASK_SIZE,
  type UserAccess,
} from "@faultline/mm";
import { describe, expect, test } from "vitest";
import {
  copyPageFromIter,
  copyPageFromIterAtomic,
  copyPageToIter,
  copyPageToIterAtomic,
  copyToIter,
  finishCopyPageToIter,
  ITER_DEST,
  ITER_SOURCE,
  iovIterCopyFromUserAtomic,
  iovIterInit,
  iovIterUbuf,
  iovIterZero,
  tryCopyPageToIter,
  UIO_5_10,
  UIO_5_16,
  UIO_6_1,
  UIO_6_12,
  UIO_LATEST,
  type UioRevision,
} from "./index.ts";
import { allocFrames, BASE, makeRig, mapPages, type Rig, run, traced } from "./rig.ts";

const KERNELS: Record<string, readonly [MmRevision, UioRevision]> = {
  "5.10": [MM_5_10, UIO_5_10],
  "6.1": [MM_6_1, UIO_6_1],
  "6.12": [MM_6_12, UIO_6_12],
  "7.2": [MM_LATEST, UIO_LATEST],
};

function rigOf(kernel: string, pages: string): { rig: Rig; uio: UioRevision; frame: Pfn } {
  const [revision, uio] = KERNELS[kernel];
  const rig = makeRig({ revision, traced: true });
  const frame = allocFrames(rig, 3);
  mapPages(rig, pages);
  traced(rig);
  return { rig, uio, frame };
}

/** Kernel-mode faults and where they were, in order. */
function faults(rig: Rig): string[] {
  return traced(rig)
    .filter((line) => line.startsWith("page_fault_kernel"))
    .map((line) => line.split(" ")[1]);
}

describe("copy_page_to_iter into a page and a hole behind it", () => {
  // Where the buffer begins; how much is asked for; how often each kernel faults at the hole.
  test.each([
    { desc: "nothing there", from: 4096, size: 4096, want: { "5.10": 2, "6.1": 2, "6.12": 1, "7.2": 1 } },
    { desc: "nothing there, 63 bytes", from: 4096, size: 63, want: { "5.10": 2, "6.1": 2, "6.12": 2, "7.2": 2 } },
    { desc: "nothing there, 7 bytes", from: 4096, size: 7, want: { "5.10": 2, "6.1": 2, "6.12": 1, "7.2": 1 } },
    { desc: "4046 bytes there, 50 left", from: 50, size: 4096, want: { "5.10": 2, "6.1": 4, "6.12": 3, "7.2": 3 } },
    { desc: "4032 there, 64 left", from: 64, size: 4096, want: { "5.10": 2, "6.1": 4, "6.12": 2, "7.2": 2 } },
    { desc: "4089 there, 7 left", from: 7, size: 4096, want: { "5.10": 2, "6.1": 4, "6.12": 2, "7.2": 2 } },
    { desc: "20 of 40 there", from: 4076, size: 40, want: { "5.10": 2, "6.1": 4, "6.12": 4, "7.2": 4 } },
    {
      desc: "35 of 40 there, in the last word",
      from: 4061,
      size: 40,
      want: { "5.10": 2, "6.1": 4, "6.12": 3, "7.2": 3 },
    },
    {
      desc: "5 of 9 there, a word and a byte",
      from: 4091,
      size: 9,
      want: { "5.10": 2, "6.1": 4, "6.12": 3, "7.2": 3 },
    },
  ])("$desc", ({ from, size, want }) => {
    for (const kernel of Object.keys(KERNELS)) {
      for (const user of [FAULTS_DISABLED, FAULTS_ENABLED]) {
        for (const kind of ["ubuf", "iovec"]) {
          const { rig, uio, frame } = rigOf(kernel, "w-");
          const i =
            kind === "ubuf"
              ? iovIterUbuf(ITER_DEST, BASE + from, size, uio)
              : iovIterInit(ITER_DEST, [{ base: BASE + from, len: size }], size, uio);
          const done = run(rig, copyPageToIter(rig.task, frame, 0, size, i, user as UserAccess<never>));
          expect(done).toBe(4096 - from);
          const expected = new Array(want[kernel as keyof typeof want]).fill("+4096");
          expect([kernel, user.faults, faults(rig)]).toEqual([kernel, user.faults, expected]);
        }
      }
    }
  });
});

test("a piece ends with its segment: 8 bytes at the end of a page are one word, and met twice a try", () => {
  for (const [kernel, want] of [
    ["6.12", 4],
    ["6.1", 4],
    ["5.10", 2],
  ] as const) {
    const { rig, uio, frame } = rigOf(kernel, "ww-");
    const segments = [
      { base: BASE + 7, len: 4088 },
      { base: BASE, len: 0 },
      { base: BASE + 8192, len: 4096 },
    ];
    const i = iovIterInit(ITER_DEST, segments, 8184, uio);
    expect(copyPageToIterAtomic(rig.task, frame, 0, 4096, i)).toBe(4088);
    expect(faults(rig)).toEqual(new Array(want).fill("+8192"));
  }
});

test("a run of frames is taken page by page: the page that failed is tried again, not the ones before it", () => {
  const { rig, uio, frame } = rigOf("7.2", "ww-");
  const i = iovIterUbuf(ITER_DEST, BASE + 50, 3 * 4096, uio);
  expect(copyPageToIterAtomic(rig.task, frame, 0, 3 * 4096, i)).toBe(8142);
  // 4096 bytes from the second page on: one string; then 50 bytes: a word, then its first byte.
  expect(faults(rig)).toEqual(["+8192", "+8192", "+8192"]);
});

test("a run of frames whose first fault was resolved is taken page by page from there", () => {
  const { rig, uio, frame } = rigOf("7.2", ".w-");
  const i = iovIterUbuf(ITER_DEST, BASE + 50, 3 * 4096, uio);
  expect(run(rig, copyPageToIter(rig.task, frame, 0, 3 * 4096, i, FAULTS_ENABLED))).toBe(8142);
  expect(faults(rig)).toEqual(["+50", "+8192", "+8192", "+8192"]);
});

test("a range that user space may not name is not touched at all: no byte, no fault", () => {
  const { rig, uio, frame } = rigOf("7.2", "");
  const top = TASK_SIZE - 4096;
  mapPages(rig, "w", top);
  traced(rig);
  for (const user of [FAULTS_DISABLED, FAULTS_ENABLED] as UserAccess<never>[]) {
    const across = iovIterUbuf(ITER_DEST, top + 4000, 200, uio);
    expect(run(rig, copyPageToIter(rig.task, frame, 0, 200, across, user))).toBe(0);
    const segments = [
      { base: top, len: 10 },
      { base: top + 4000, len: 200 },
    ];
    const second = iovIterInit(ITER_DEST, segments, 210, uio);
    expect(run(rig, copyPageToIter(rig.task, frame, 0, 210, second, user))).toBe(10);
    expect(run(rig, iovIterZero(rig.task, 200, second, user))).toBe(0);
    expect(copyPageToIterAtomic(rig.task, frame, 0, 96, iovIterUbuf(ITER_DEST, top + 4000, 96, uio))).toBe(96);
  }
  expect(traced(rig)).toEqual([]);
});

test("a run of frames, whose failing page begins with the hole, is not tried again", () => {
  const { rig, uio, frame } = rigOf("7.2", "ww-");
  const i = iovIterUbuf(ITER_DEST, BASE, 3 * 4096, uio);
  expect(copyPageToIterAtomic(rig.task, frame, 0, 3 * 4096, i)).toBe(8192);
  expect(faults(rig)).toEqual(["+8192"]);
});

test.each([
  { desc: "since 6.16 an atomic copy that moved something is tried again", uio: UIO_LATEST, want: 2 },
  { desc: "before, not", uio: UIO_6_12, want: 1 },
])("copy_folio_from_iter_atomic: $desc", ({ uio, want }) => {
  const { rig, frame } = rigOf("6.12", "w-");
  const i = iovIterUbuf(ITER_SOURCE, BASE + 1000, 4096, uio);
  expect(copyPageFromIterAtomic(rig.task, frame, 0, 4096, i)).toBe(3096);
  expect(faults(rig)).toEqual(new Array(want).fill("+4096"));
});

test("iov_iter_copy_from_user_atomic is one try, which 5.10's copy routine makes two faults of", () => {
  const { rig, uio, frame } = rigOf("5.10", "w-");
  const i = iovIterInit(ITER_SOURCE, [{ base: BASE + 1000, len: 4096 }], 4096, uio);
  expect(iovIterCopyFromUserAtomic(rig.task, frame, 0, 4096, i)).toBe(3096);
  expect(faults(rig)).toEqual(["+4096", "+4096"]);
});

test.each([
  { uio: UIO_5_10, want: 1 },
  { uio: UIO_5_16, want: 1 },
  { uio: UIO_6_1, want: 2 },
])("copy_page_from_iter of $uio.name tries a page copied in part again: $want", ({ uio, want }) => {
  const { rig, frame } = rigOf("7.2", "w-");
  const i = iovIterUbuf(ITER_SOURCE, BASE + 1000, 4096, uio);
  expect(run(rig, copyPageFromIter(rig.task, frame, 0, 4096, i, FAULTS_DISABLED))).toBe(3096);
  expect(faults(rig)).toEqual(new Array(want).fill("+4096"));
});

test("copy_to_iter and iov_iter_zero are one try; zeroing has no second way either", () => {
  const { rig, uio } = rigOf("6.1", "w-");
  const i = iovIterUbuf(ITER_DEST, BASE + 4000, 200, uio);
  expect(run(rig, copyToIter(rig.task, 8192, 200, i, FAULTS_DISABLED))).toBe(96);
  expect(faults(rig)).toEqual(["+4096", "+4096"]);
  expect(run(rig, iovIterZero(rig.task, 104, i, FAULTS_ENABLED))).toBe(0);
  expect(faults(rig)).toEqual(["+4096"]);
});

test("a fault that is resolved is met once, and the copy goes on from there", () => {
  for (const kernel of Object.keys(KERNELS)) {
    const { rig, uio, frame } = rigOf(kernel, "w..");
    const i = iovIterUbuf(ITER_DEST, BASE + 50, 8192, uio);
    expect(run(rig, copyPageToIter(rig.task, frame, 0, 8192, i, FAULTS_ENABLED))).toBe(8192);
    const events = traced(rig).map((line) => line.split(" ").slice(0, 2).join(" "));
    expect(events.filter((event) => !event.startsWith("lock"))).toEqual([
      "page_fault_kernel +4096",
      "handle_mm_fault +4096",
      "handle_mm_fault_ret 0",
      "page_fault_kernel +8192",
      "handle_mm_fault +8192",
      "handle_mm_fault_ret 0",
    ]);
  }
});

test("a plain first try and what finishes it leave the trace of the whole", () => {
  const layouts = ["w-", "w.-", "-", ".", "wr", "z.n"];
  for (const kernel of Object.keys(KERNELS)) {
    for (const layout of layouts) {
      for (const user of [FAULTS_DISABLED, FAULTS_ENABLED] as UserAccess<never>[]) {
        const [whole, parts] = [true, false].map((atOnce) => {
          const { rig, uio, frame } = rigOf(kernel, layout);
          const i = iovIterUbuf(ITER_DEST, BASE + 40, 2 * 4096, uio);
          if (atOnce) return [run(rig, copyPageToIter(rig.task, frame, 9, 8192, i, user)), traced(rig)];
          const done = tryCopyPageToIter(rig.task, frame, 9, 8192, i, user);
          return [run(rig, finishCopyPageToIter(rig.task, frame, 9, 8192, i, user, done)), traced(rig)];
        });
        expect(parts).toEqual(whole);
      }
    }
  }
});
