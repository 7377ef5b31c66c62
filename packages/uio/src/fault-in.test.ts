// Faulting in an iterator: what is counted as missing, where it stops, what it touches, in the convention of each
// kernel. Pages: A and C can be had, B between them is a hole (the worked values of fault_in_*).
import { EFAULT } from "@faultline/kernel";
import {
  doMmap,
  FAULTS_DISABLED,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MM_5_10,
  MM_5_16,
  MM_5_18,
  MM_6_12,
  MM_LATEST,
  type MmRevision,
  PROT_READ,
  PROT_WRITE,
  VM_IO,
} from "@faultline/mm";
import { describe, expect, test } from "vitest";
import {
  copyPageToIterAtomic,
  faultInIovIterReadable,
  faultInIovIterWriteable,
  type IovIter,
  ITER_DEST,
  ITER_SOURCE,
  iovIterAdvance,
  iovIterDiscard,
  iovIterFaultInReadable,
  iovIterFaultInWriteable,
  iovIterInit,
  iovIterKvec,
  iovIterUbuf,
  isIterFaultedIn,
} from "./index.ts";
import {
  allocFrames,
  BASE,
  firstDifference,
  makeRig,
  mapPages,
  peek,
  physicalOf,
  type Rig,
  run,
  traced,
} from "./rig.ts";

const HOLE = ".-.";

/** An iovec over [offset, length] pairs from BASE. */
function iovec(...pieces: (readonly [number, number])[]): IovIter {
  const segments = pieces.map(([from, len]) => ({ base: BASE + from, len }));
  const count = segments.reduce((sum, { len }) => sum + len, 0);
  return iovIterInit(ITER_DEST, segments, count);
}

function rigOf(revision: MmRevision, pages: string): Rig {
  const rig = makeRig({ revision, traced: true });
  mapPages(rig, pages);
  rig.trace.clear();
  return rig;
}

describe("one range around a hole", () => {
  // Linux/mm: readable, and fault_in_safe_writeable by version.
  test.each([
    { at: 0x0000, size: 0x3000, readable: 0x2000, w516: 0, w518: 0, w615: 0x2000 },
    { at: 0x0800, size: 0x2000, readable: 0x1800, w516: 0, w518: 0, w615: 0x1800 },
    { at: 0x1000, size: 0x2000, readable: 0x2000, w516: 0, w518: 0x2000, w615: 0x2000 },
    { at: 0x1800, size: 0x0800, readable: 0x0800, w516: 0, w518: 0x0800, w615: 0x0800 },
    { at: 0x0fff, size: 1, readable: 0, w516: 0, w518: 0, w615: 0 },
  ])("$at + $size", ({ at, size, readable, w516, w518, w615 }) => {
    for (const make of [() => iovIterUbuf(ITER_DEST, BASE + at, size), () => iovec([at, size])]) {
      const missing = (revision: MmRevision, faultIn: typeof faultInIovIterWriteable): number => {
        const rig = rigOf(revision, HOLE);
        const i = make();
        const left = run(rig, faultIn(rig.task, i, size));
        expect([i.count, i.iovOffset]).toEqual([size, 0]);
        return left;
      };
      for (const revision of [MM_5_16, MM_5_18, MM_6_12, MM_LATEST]) {
        expect(missing(revision, faultInIovIterReadable)).toBe(readable);
      }
      expect(missing(MM_5_16, faultInIovIterWriteable)).toBe(w516);
      expect(missing(MM_5_18, faultInIovIterWriteable)).toBe(w518);
      expect(missing(MM_6_12, faultInIovIterWriteable)).toBe(w615);
      expect(missing(MM_LATEST, faultInIovIterWriteable)).toBe(w615);
    }
  });
});

describe.each([
  ["faultInIovIterReadable", faultInIovIterReadable],
  ["faultInIovIterWriteable", faultInIovIterWriteable],
])("%s", (name, faultIn) => {
  const missing = (pages: string, i: IovIter, size: number): number => {
    const rig = rigOf(MM_LATEST, pages);
    return run(rig, faultIn(rig.task, i, size));
  };

  test.each([
    {
      desc: "all segments",
      pages: "...",
      pieces: [
        [0, 4096],
        [8192, 4096],
      ],
      size: 8192,
      want: 0,
    },
    {
      desc: "a part of them",
      pages: ".--",
      pieces: [
        [0, 4096],
        [8192, 4096],
      ],
      size: 4096,
      want: 0,
    },
    {
      desc: "the first fails: nothing of the others counts",
      pages: "-..",
      pieces: [
        [0, 100],
        [4096, 4096],
      ],
      size: 4196,
      want: 4196,
    },
    {
      desc: "the second fails in its second page",
      pages: "..-",
      pieces: [
        [0, 100],
        [4096, 8192],
        [0, 5],
      ],
      size: 8297,
      want: 4101,
    },
    {
      desc: "empty segments over holes do no harm",
      pages: ".-.",
      pieces: [
        [4096, 0],
        [0, 10],
        [5000, 0],
        [8192, 10],
      ],
      size: 20,
      want: 0,
    },
    { desc: "nothing asked", pages: "-", pieces: [[0, 100]], size: 0, want: 0 },
    { desc: "nothing there to ask", pages: "-", pieces: [[0, 0]], size: 0, want: 0 },
    { desc: "more than it has, all there", pages: ".", pieces: [[0, 100]], size: 1000, want: 900 },
    { desc: "more than it has, nothing there", pages: "-", pieces: [[0, 100]], size: 1000, want: 1000 },
    {
      desc: "an endless window over all there is",
      pages: "..",
      pieces: [
        [10, 50],
        [4100, 50],
      ],
      size: Number.MAX_SAFE_INTEGER,
      want: Number.MAX_SAFE_INTEGER - 100,
    },
  ] as const)("$desc", ({ pages, pieces, size, want }) => {
    expect(missing(pages, iovec(...pieces), size)).toBe(want);
    if (pieces.length === 1) {
      expect(missing(pages, iovIterUbuf(ITER_DEST, BASE + pieces[0][0], pieces[0][1]), size)).toBe(want);
    }
  });

  test("it begins where the iterator stands", () => {
    const i = iovec([0, 100], [4096, 8192]);
    iovIterAdvance(i, 4196);
    expect(missing("--.", i, i.count)).toBe(0);
    const ubuf = iovIterUbuf(ITER_DEST, BASE, 8192);
    iovIterAdvance(ubuf, 4096);
    expect(missing("-.", ubuf, 4096)).toBe(0);
  });

  test("an iterator cut short is not faulted in beyond its end", () => {
    const i = iovec([0, 4096], [4096, 4096]);
    i.count = 4096;
    expect(missing(".-", i, 8192)).toBe(4096);
  });

  test("what is not user memory needs nothing, whatever is asked", () => {
    expect(missing("", iovIterKvec(ITER_DEST, [{ base: 8192, len: 10 }], 10), 1000)).toBe(0);
    expect(missing("", iovIterDiscard(ITER_DEST, 10), 1000)).toBe(0);
  });

  test(`each segment is one call of ${name === "faultInIovIterReadable" ? "fault_in_readable" : "fault_in_safe_writeable"}`, () => {
    const rig = rigOf(MM_LATEST, "..-");
    const i = iovec([0, 10], [4096, 0], [4100, 20], [8192, 30], [0, 40]);
    expect(run(rig, faultIn(rig.task, i, 100))).toBe(70);
    const events = traced(rig).filter((line) => line.startsWith("fault_in_"));
    const fn = name === "faultInIovIterReadable" ? "fault_in_readable" : "fault_in_safe_writeable";
    expect(events).toEqual([
      `${fn} +0 10`,
      `${fn}_ret 0`,
      `${fn} +4100 20`,
      `${fn}_ret 0`,
      `${fn} +8192 30`,
      `${fn}_ret 30`,
    ]);
  });
});

test("faulting in for writing changes no byte, and makes a private copy of a page that is there for reading", () => {
  const rig = rigOf(MM_LATEST, "zw");
  const before = peek(rig, BASE, 8192);
  const zeroPage = physicalOf(rig, BASE);
  expect(run(rig, faultInIovIterWriteable(rig.task, iovIterUbuf(ITER_DEST, BASE + 5, 8000), 8000))).toBe(0);
  expect(firstDifference(peek(rig, BASE, 8192), before)).toBe(-1);
  expect(physicalOf(rig, BASE)).not.toBe(zeroPage);
});

test("with page faults disabled it only probes: what is not there stays missing", () => {
  for (const i of [iovIterUbuf(ITER_SOURCE, BASE, 8192), iovec([0, 4096], [4096, 4096])]) {
    const rig = rigOf(MM_LATEST, "w.");
    expect(run(rig, faultInIovIterReadable(rig.task, i, 8192, FAULTS_DISABLED))).toBe(4096);
    expect(run(rig, iovIterFaultInReadable(rig.task, i, 4096, FAULTS_DISABLED))).toBe(0);
    expect(run(rig, iovIterFaultInReadable(rig.task, i, 8192, FAULTS_DISABLED))).toBe(-EFAULT);
    expect(physicalOf(rig, BASE + 4096)).toBe(0);
  }
});

test("sub-page poison: fault-in finds all well", () => {
  const rig = rigOf(MM_LATEST, "p");
  expect(run(rig, faultInIovIterReadable(rig.task, iovIterUbuf(ITER_SOURCE, BASE, 4096), 4096))).toBe(0);
});

describe("isIterFaultedIn", () => {
  const there = (pages: string, i: IovIter, size: number, traceIt = false): boolean => {
    const rig = makeRig({ traced: traceIt });
    mapPages(rig, pages);
    const answer = isIterFaultedIn(rig.task, i, size);
    // Yes means that the real thing would find nothing missing but what lies beyond the iterator.
    const left = run(rig, faultInIovIterReadable(rig.task, i, size));
    if (answer) expect(left).toBe(i.kind === "kvec" ? 0 : Math.max(0, size - i.count));
    return answer;
  };

  test.each([
    {
      desc: "all there",
      pages: "wwr",
      pieces: [
        [0, 8192],
        [9000, 10],
      ],
      size: 9000,
      want: true,
    },
    {
      desc: "as far as is asked",
      pages: "w-",
      pieces: [
        [0, 4096],
        [4096, 10],
      ],
      size: 4096,
      want: true,
    },
    { desc: "one page missing", pages: "w.", pieces: [[4000, 100]], size: 100, want: false },
    {
      desc: "a later segment missing",
      pages: "w-",
      pieces: [
        [0, 100],
        [4096, 1],
      ],
      size: 101,
      want: false,
    },
    {
      desc: "an empty segment over a hole",
      pages: "w-",
      pieces: [
        [4096, 0],
        [0, 100],
      ],
      size: 100,
      want: true,
    },
    { desc: "more than it has", pages: "w", pieces: [[0, 100]], size: 1000, want: true },
  ] as const)("$desc: $want", ({ pages, pieces, size, want }) => {
    expect(there(pages, iovec(...pieces), size)).toBe(want);
    if (pieces.length === 1) {
      expect(there(pages, iovIterUbuf(ITER_SOURCE, BASE + pieces[0][0], pieces[0][1]), size)).toBe(want);
    }
    expect(there(pages, iovec(...pieces), size, true)).toBe(false);
  });

  test("what is not user memory always is", () => {
    expect(there("", iovIterKvec(ITER_SOURCE, [{ base: 8192, len: 10 }], 10), 100)).toBe(true);
  });
});

describe("until 5.15: 0 or -EFAULT", () => {
  test.each([
    { desc: "all there or to be had", pages: "w.z", pieces: [[100, 8000]], bytes: 8000, want: 0 },
    { desc: "hole at the end", pages: "w-", pieces: [[100, 8000]], bytes: 8000, want: -EFAULT },
    { desc: "the last byte alone is in the hole", pages: "w-", pieces: [[100, 3997]], bytes: 3997, want: -EFAULT },
    { desc: "the hole is not asked for", pages: "w-", pieces: [[100, 8000]], bytes: 3996, want: 0 },
    {
      desc: "in the second segment",
      pages: "w-",
      pieces: [
        [0, 10],
        [5000, 10],
      ],
      bytes: 20,
      want: -EFAULT,
    },
    {
      desc: "the second segment is not asked for",
      pages: "w-",
      pieces: [
        [0, 10],
        [5000, 10],
      ],
      bytes: 10,
      want: 0,
    },
    {
      desc: "empty segment over the hole",
      pages: "w-",
      pieces: [
        [5000, 0],
        [0, 10],
      ],
      bytes: 10,
      want: 0,
    },
    { desc: "more than it has", pages: "w", pieces: [[0, 10]], bytes: 1000, want: 0 },
    { desc: "nothing", pages: "-", pieces: [[0, 10]], bytes: 0, want: 0 },
  ] as const)("iov_iter_fault_in_readable: $desc: $want", ({ pages, pieces, bytes, want }) => {
    const rig = rigOf(MM_5_10, pages);
    const i = iovec(...pieces);
    expect(run(rig, iovIterFaultInReadable(rig.task, i, bytes))).toBe(want);
    expect(i.iovOffset).toBe(0);
    if (pieces.length > 1) return;
    const ubuf = iovIterUbuf(ITER_SOURCE, BASE + pieces[0][0], pieces[0][1]);
    expect(run(rig, iovIterFaultInReadable(rig.task, ubuf, bytes))).toBe(want);
  });

  test.each([
    { desc: "all to be had", pages: "w.z", pieces: [[100, 8000]], bytes: 8000, want: 0 },
    { desc: "hole at the end: the whole fails", pages: "..-", pieces: [[0, 12288]], bytes: 12288, want: -EFAULT },
    { desc: "read-only page at the end", pages: "..r", pieces: [[0, 12288]], bytes: 12288, want: -EFAULT },
    { desc: "hole first, good page behind: counts as done", pages: "-.", pieces: [[0, 8192]], bytes: 8192, want: 0 },
    { desc: "hole alone", pages: "-", pieces: [[0, 4096]], bytes: 4096, want: -EFAULT },
    {
      desc: "hole in the second segment",
      pages: ".-",
      pieces: [
        [0, 10],
        [4096, 10],
      ],
      bytes: 20,
      want: -EFAULT,
    },
    {
      desc: "which is not asked for",
      pages: ".-",
      pieces: [
        [0, 10],
        [4096, 10],
      ],
      bytes: 10,
      want: 0,
    },
    {
      desc: "empty segment over the hole",
      pages: ".-",
      pieces: [
        [4096, 0],
        [0, 10],
      ],
      bytes: 10,
      want: 0,
    },
  ] as const)("iov_iter_fault_in_writeable of the v4 patch: $desc: $want", ({ pages, pieces, bytes, want }) => {
    const rig = rigOf(MM_5_10, pages);
    const before = peek(rig, BASE, 3 * 4096);
    expect(run(rig, iovIterFaultInWriteable(rig.task, iovec(...pieces), bytes))).toBe(want);
    expect(firstDifference(peek(rig, BASE, 3 * 4096), before)).toBe(-1);
  });

  test.each([
    { desc: "a gap before a good area", pages: "-w", raw: false },
    { desc: "raw memory", pages: "-w", raw: true },
  ])("v4's yes may be worth nothing: $desc, and the copy never comes further", ({ pages, raw }) => {
    const rig = rigOf(MM_5_10, pages);
    if (raw) {
      const flags = MAP_ANONYMOUS | MAP_PRIVATE | MAP_FIXED;
      const prot = PROT_READ | PROT_WRITE;
      const mapped = doMmap(rig.task, { address: BASE, length: 4096, prot, flags, vmFlags: { add: VM_IO } });
      expect(run(rig, mapped)).toBe(BASE);
    }
    const i = iovec([0, 8192]);
    for (let round = 0; round < 3; round++) {
      expect(run(rig, iovIterFaultInWriteable(rig.task, i, 8192))).toBe(0);
      expect(copyPageToIterAtomic(rig.task, allocFrames(rig, 2), 0, 8192, i)).toBe(0);
    }
    // The later convention does not promise what it has not got.
    const today = rigOf(MM_LATEST, pages);
    expect(run(today, faultInIovIterWriteable(today.task, i, 8192))).toBe(8192);
  });

  test("what is not user memory needs nothing", () => {
    const rig = rigOf(MM_5_10, "");
    const i = iovIterKvec(ITER_SOURCE, [{ base: 8192, len: 10 }], 10);
    expect(run(rig, iovIterFaultInReadable(rig.task, i, 10))).toBe(0);
    expect(run(rig, iovIterFaultInWriteable(rig.task, i, 10))).toBe(0);
  });
});
