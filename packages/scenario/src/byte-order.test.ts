// What the order of steps was, by the sum of what they have left: copies and stores, and two writers.
import { expect, test } from "vitest";
import type { ByteHistory, PageName, Version } from "./byte-history.ts";
import { orderBySum, type SummedPage } from "./byte-order.ts";
import { Fnv1a } from "./pattern.ts";

const bytes = (first: number): Uint8Array => new Uint8Array(4096).fill(7).fill(first, 0, 1);

function historyOf(versions: Readonly<Record<PageName, readonly Version[]>>): ByteHistory {
  return { versionsOf: (page: PageName) => versions[page] ?? [] } as unknown as ByteHistory;
}

function sumOf(...firsts: readonly number[]): string {
  const sum = new Fnv1a();
  for (const first of firsts) sum.add(bytes(first));
  return sum.hex;
}

/** Steps 20 and 21 have copied pages 0 and 1 of b, which were read in step 1 and stored to in steps 10 and 30. */
const COPIED = historyOf({
  "a 0": [{ step: 20, bytes: bytes(1), source: "b 0" }],
  "a 1": [{ step: 21, bytes: bytes(1), source: "b 1" }],
  "b 0": [
    { step: 1, bytes: bytes(0), source: null },
    { step: 10, bytes: bytes(1), source: null },
    { step: 30, bytes: bytes(2), source: null },
  ],
  "b 1": [
    { step: 1, bytes: bytes(0), source: null },
    { step: 11, bytes: bytes(1), source: null },
    { step: 31, bytes: bytes(2), source: null },
  ],
});
const PAGES: readonly SummedPage[] = [
  { name: "a 0", bytes: bytes(1) },
  { name: "a 1", bytes: bytes(1) },
];

test.each([
  {
    desc: "the second copy came before the first store",
    sum: sumOf(1, 0),
    want: [
      { earlier: 10, later: 20 },
      { earlier: 20, later: 30 },
      { earlier: 1, later: 21 },
      { earlier: 21, later: 11 },
    ],
  },
  {
    desc: "the first copy came after the second store",
    sum: sumOf(2, 1),
    want: [
      { earlier: 30, later: 20 },
      { earlier: 11, later: 21 },
      { earlier: 21, later: 31 },
    ],
  },
  { desc: "nobody has written these", sum: sumOf(9, 9), want: null },
])("$desc", ({ sum, want }) => {
  expect(orderBySum(PAGES, sum, COPIED)).toEqual(want);
});

test("of two writers the other one came last", () => {
  const history = historyOf({
    "a 0": [
      { step: 3, bytes: bytes(3), source: null },
      { step: 4, bytes: bytes(4), source: null },
    ],
  });
  const pages: readonly SummedPage[] = [{ name: "a 0", bytes: bytes(4) }];
  expect(orderBySum(pages, sumOf(3), history)).toEqual([{ earlier: 4, later: 3 }]);
  expect(orderBySum(pages, sumOf(4), history)).toEqual([]);
});
