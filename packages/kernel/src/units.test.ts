// Page arithmetic on positions beyond 32 bits, where a shift would go wrong.
import { expect, test } from "vitest";
import { offsetInPage, pageAlign, pageIndex, pageStart, pagesFor } from "./index.ts";

test.each([
  { at: 0, start: 0, offset: 0, align: 0, index: 0 },
  { at: 4095, start: 0, offset: 4095, align: 4096, index: 0 },
  { at: 4096, start: 4096, offset: 0, align: 4096, index: 1 },
  { at: 0x7ffffffff123, start: 0x7ffffffff000, offset: 0x123, align: 0x800000000000, index: 0x7ffffffff },
  { at: 2 ** 52 + 5, start: 2 ** 52, offset: 5, align: 2 ** 52 + 4096, index: 2 ** 40 },
])("page of $at", ({ at, start, offset, align, index }) => {
  expect([pageStart(at), offsetInPage(at), pageAlign(at), pageIndex(at)]).toEqual([start, offset, align, index]);
});

test("pages needed", () => {
  expect([0, 1, 4096, 4097].map(pagesFor)).toEqual([0, 1, 1, 2]);
});
