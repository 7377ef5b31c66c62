// From a system call's arguments to an iterator: what is refused, with which errno, and what is cut short.
import { EFAULT, EINVAL, ENOMEM, isErr, MAX_RW_COUNT } from "@faultline/kernel";
import { FAULTS_DISABLED, FAULTS_ENABLED, TASK_SIZE, userStore } from "@faultline/mm";
import { describe, expect, test } from "vitest";
import {
  type IovIter,
  ITER_DEST,
  ITER_SOURCE,
  importIovec,
  importUbuf,
  iovecFromUser,
  iovIterSync,
  type Segment,
  UIO_5_10,
  UIO_5_16,
  UIO_6_1,
  UIO_6_12,
  UIO_LATEST,
  UIO_MAXIOV,
} from "./index.ts";
import { BASE, makeRig, mapPages, physicalOf, type Rig, run } from "./rig.ts";

/** An address of the kernel, and one that is nobody's. */
const KERNEL = 0xffff888000000000;
const NONCANONICAL = 0x8000000000000000;

/** Kind, total, and lengths of the segments, or the error. */
function outcome(imported: IovIter | number): unknown {
  if (typeof imported === "number") return imported;
  const lengths = imported.segments.map(({ len }) => len);
  return imported.kind === "ubuf" ? ["ubuf", imported.count] : [imported.kind, imported.count, lengths];
}

describe("importIovec", () => {
  const good = { base: BASE, len: 10 };
  const rows: { desc: string; uvec: Segment[]; want: unknown; single?: unknown }[] = [
    { desc: "no segment", uvec: [], want: ["iovec", 0, []] },
    { desc: "one", uvec: [good], want: ["ubuf", 10], single: ["iovec", 10, [10]] },
    { desc: "one, empty", uvec: [{ base: BASE, len: 0 }], want: ["ubuf", 0], single: ["iovec", 0, [0]] },
    { desc: "two", uvec: [good, { base: BASE, len: 20 }], want: ["iovec", 30, [10, 20]] },
    {
      desc: "as many as may be",
      uvec: new Array(UIO_MAXIOV).fill(good),
      want: ["iovec", 10240, new Array(1024).fill(10)],
    },
    { desc: "one more", uvec: new Array(UIO_MAXIOV + 1).fill(good), want: -EINVAL },
    { desc: "a negative length", uvec: [good, { base: BASE, len: -1 }], want: -EINVAL },
    { desc: "a length of 2^63", uvec: [{ base: BASE, len: 2 ** 63 }], want: -EINVAL },
    {
      desc: "a bad length goes before a bad address",
      uvec: [
        { base: KERNEL, len: 1 },
        { base: BASE, len: -1 },
      ],
      want: -EINVAL,
    },
    { desc: "an address of the kernel", uvec: [good, { base: KERNEL, len: 1 }], want: -EFAULT },
    { desc: "alone", uvec: [{ base: KERNEL, len: 1 }], want: -EFAULT },
    { desc: "an address of nobody", uvec: [good, { base: NONCANONICAL, len: 1 }], want: -EFAULT },
    { desc: "an empty segment there, too", uvec: [good, { base: KERNEL, len: 0 }], want: -EFAULT },
    { desc: "a range that leaves user space", uvec: [good, { base: TASK_SIZE - 1, len: 2 }], want: -EFAULT },
    { desc: "one that just does not", uvec: [good, { base: TASK_SIZE - 2, len: 2 }], want: ["iovec", 12, [10, 2]] },
    {
      desc: "the null pointer is an address of user space",
      uvec: [good, { base: 0, len: 1 }],
      want: ["iovec", 11, [10, 1]],
    },
    {
      desc: "MAX_RW_COUNT in all",
      uvec: [{ base: BASE, len: MAX_RW_COUNT - 5 }, good, good],
      want: ["iovec", MAX_RW_COUNT, [MAX_RW_COUNT - 5, 5, 0]],
    },
    {
      desc: "one segment beyond MAX_RW_COUNT",
      uvec: [{ base: BASE, len: 2 ** 32 }],
      want: ["ubuf", MAX_RW_COUNT],
      single: ["iovec", MAX_RW_COUNT, [MAX_RW_COUNT]],
    },
    {
      desc: "one segment that leaves user space only beyond MAX_RW_COUNT is cut before it is checked, since 6.4",
      uvec: [{ base: BASE, len: 2 ** 47 }],
      want: ["ubuf", MAX_RW_COUNT],
      single: -EFAULT,
    },
    { desc: "several are checked in full", uvec: [{ base: BASE, len: 2 ** 47 }, good], want: -EFAULT },
  ];

  test.each(rows)("$desc", ({ uvec, want, single = want }) => {
    for (const revision of [UIO_LATEST, UIO_6_12]) {
      expect(outcome(importIovec(ITER_SOURCE, uvec, revision))).toEqual(want);
    }
    for (const revision of [UIO_6_1, UIO_5_16, UIO_5_10]) {
      expect(outcome(importIovec(ITER_DEST, uvec, revision))).toEqual(single);
    }
  });

  test("the iterator knows its direction and its kernel, and does not share the caller's array", () => {
    const uvec = [good, good];
    const i = importIovec(ITER_SOURCE, uvec, UIO_6_1) as IovIter;
    expect([i.dataSource, i.revision]).toEqual([ITER_SOURCE, UIO_6_1]);
    uvec.length = 0;
    expect(i.nrSegs).toBe(2);
    expect((importIovec(ITER_SOURCE, [good]) as IovIter).revision).toBe(UIO_LATEST);
  });
});

describe("importUbuf", () => {
  test.each([
    { desc: "a range", address: BASE, len: 10, want: ["ubuf", 10] },
    { desc: "nothing", address: BASE, len: 0, want: ["ubuf", 0] },
    { desc: "more than MAX_RW_COUNT", address: BASE, len: 2 ** 47, want: ["ubuf", MAX_RW_COUNT] },
    { desc: "a length that is a negative size_t", address: BASE, len: -1, want: ["ubuf", MAX_RW_COUNT] },
    { desc: "the same at the end of user space", address: TASK_SIZE - 10, len: -1, want: -EFAULT },
    { desc: "the end of user space", address: TASK_SIZE - 10, len: 10, want: ["ubuf", 10] },
    { desc: "one byte beyond", address: TASK_SIZE - 10, len: 11, want: -EFAULT },
    { desc: "nothing beyond", address: TASK_SIZE, len: 0, want: ["ubuf", 0] },
    { desc: "of the kernel", address: KERNEL, len: 0, want: -EFAULT },
    { desc: "a negative pointer is one of the kernel", address: -4096, len: 1, want: -EFAULT },
  ])("$desc", ({ address, len, want }) => {
    expect(outcome(importUbuf(ITER_DEST, address, len))).toEqual(want);
    const old = outcome(importUbuf(ITER_DEST, address, len, UIO_6_1));
    expect(old).toEqual(Array.isArray(want) ? ["iovec", want[1], [want[1]]] : want);
  });
});

test("read() and write() walk a ubuf since 6.0, an iovec before", () => {
  const kinds = [UIO_5_10, UIO_5_16, UIO_6_1, UIO_LATEST].map((revision) =>
    outcome(iovIterSync(ITER_SOURCE, BASE, 100, revision)),
  );
  expect(kinds).toEqual([
    ["iovec", 100, [100]],
    ["iovec", 100, [100]],
    ["ubuf", 100],
    ["ubuf", 100],
  ]);
});

describe("iovecFromUser", () => {
  /** Put words of 8 bytes at an address. */
  function poke(rig: Rig, address: number, words: number[]): void {
    const scratch = 8192;
    words.forEach((word, n) => {
      const view = new DataView(rig.mem.u8.buffer, scratch, 8);
      view.setUint32(0, word % 2 ** 32, true);
      view.setUint32(4, Math.floor(word / 2 ** 32), true);
      run(rig, userStore(rig.task, address + 8 * n, scratch, 8));
    });
  }
  const rigOf = (pages: string): Rig => {
    const rig = makeRig();
    mapPages(rig, pages);
    return rig;
  };
  const read = (rig: Rig, address: number, nrSegs: number): unknown =>
    run(rig, iovecFromUser(rig.task, address, nrSegs, FAULTS_ENABLED));

  test("pointers and lengths come out as they went in, also across a page edge", () => {
    const rig = rigOf("ww");
    const uvec = [
      { base: 0x7ffffffff000, len: 0x123456789a },
      { base: 0, len: 0 },
      { base: 1, len: 4095 },
    ];
    poke(
      rig,
      BASE + 4072,
      uvec.flatMap(({ base, len }) => [base, len]),
    );
    expect(read(rig, BASE + 4072, 3)).toEqual(uvec);
  });

  test("no segments: the array is not looked at", () => {
    expect(read(rigOf(""), KERNEL, 0)).toEqual([]);
  });

  test.each([
    { desc: "too many", pages: "w", address: BASE, nrSegs: UIO_MAXIOV + 1, want: -EINVAL },
    { desc: "an array in the kernel", pages: "w", address: KERNEL, nrSegs: 1, want: -EFAULT },
    { desc: "an array that is not mapped", pages: "-", address: BASE, nrSegs: 1, want: -EFAULT },
    { desc: "an array that ends in a hole", pages: "w-", address: BASE + 4096 - 24, nrSegs: 2, want: -EFAULT },
    { desc: "an array that may not be read", pages: "n", address: BASE, nrSegs: 1, want: -EFAULT },
  ])("$desc", ({ pages, address, nrSegs, want }) => {
    const rig = rigOf(pages);
    if (pages[0] === "w") poke(rig, BASE, new Array(512).fill(0));
    const { freePages } = rig.mem;
    expect(read(rig, address, nrSegs)).toBe(want);
    expect(rig.mem.freePages).toBe(freePages);
  });

  test("a length that is no ssize_t", () => {
    const rig = rigOf("w");
    poke(rig, BASE, [BASE, 5, BASE, 2 ** 63]);
    expect(read(rig, BASE, 1)).toEqual([{ base: BASE, len: 5 }]);
    expect(read(rig, BASE, 2)).toBe(-EINVAL);
  });

  test("an array that is not there yet is faulted in, unless faults are disabled", () => {
    const rig = rigOf(".");
    const steps = iovecFromUser(rig.task, BASE, 1, FAULTS_DISABLED);
    expect(run(rig, steps)).toBe(-EFAULT);
    expect(read(rig, BASE, 1)).toEqual([{ base: 0, len: 0 }]);
    expect(physicalOf(rig, BASE)).not.toBe(0);
  });

  test("no memory for the copy", () => {
    const rig = makeRig({
      environment: { "alloc-fail": 100 },
      chooser: { preemptive: false, choose: () => 1, pickTask: () => 0 },
    });
    const result = run(rig, iovecFromUser(rig.task, BASE, 1, FAULTS_ENABLED));
    expect(result).toBe(-ENOMEM);
    expect(isErr(result as number)).toBe(true);
  });
});
