// Which of a few contents is each page, by the sum of all of them?
import { expect, test } from "vitest";
import { Fnv1a, fillPattern } from "./pattern.ts";
import { type Candidate, readSum } from "./sum-reader.ts";

const PAGES = 32;
const SIZE = 4096;

function pageOf(page: number, first: number): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  fillPattern(bytes, 2, page * SIZE);
  bytes[0] += first;
  return bytes;
}

/** Pages that hold what was there, or what is there after one store or two. */
const pages: readonly (readonly Candidate[])[] = Array.from({ length: PAGES }, (_, page) =>
  [0, 1, 2].map((stores) => ({ bytes: pageOf(page, stores), kind: `${stores}` })),
);

function sumOf(chosen: readonly number[]): string {
  const sum = new Fnv1a();
  for (const [page, way] of chosen.entries()) sum.add(pages[page][way].bytes);
  return sum.hex;
}

const runs = (...lengths: readonly (readonly [number, number])[]): number[] =>
  lengths.flatMap(([way, count]) => Array.from({ length: count }, () => way));

test.each([
  { desc: "all of one kind", chosen: runs([0, 32]) },
  { desc: "overtaken at page 17", chosen: runs([0, 17], [1, 15]) },
  { desc: "overtaken, and overtaking again", chosen: runs([0, 6], [1, 4], [0, 22]) },
  { desc: "overtaken twice", chosen: runs([0, 1], [1, 8], [2, 20], [1, 3]) },
])("$desc", ({ chosen }) => {
  expect(readSum(pages, sumOf(chosen))).toEqual(chosen);
});

test("a sum of other bytes is of no way, and neither is one with too many changes", () => {
  expect(readSum(pages, "12345678")).toBe(null);
  expect(readSum(pages, sumOf(runs([0, 1], [1, 1], [0, 1], [1, 1], [0, 28])))).toBe(null);
});

test("a page that could be nothing else changes no kind", () => {
  const fixed = pages.map((ways, page) => (page % 2 === 0 ? ways : [{ bytes: ways[0].bytes, kind: "" }]));
  const chosen = runs([1, 32]).map((way, page) => (page % 2 === 0 ? way : 0));
  expect(readSum(fixed, sumOf(chosen))).toEqual(chosen);
});

test("what would take too long is given up", () => {
  const ways = (page: number): Candidate[] =>
    Array.from({ length: 32 }, (_, stores) => ({ bytes: pageOf(page, stores).subarray(0, 8), kind: `${stores}` }));
  expect(
    readSum(
      Array.from({ length: 256 }, (_, page) => ways(page)),
      "12345678",
    ),
  ).toBe(null);
});
