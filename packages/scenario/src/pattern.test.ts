// The pattern and the sum are part of the format: are they what it says, wherever a piece begins and ends?
import { expect, test } from "vitest";
import { Fnv1a, fillPattern, patternByte, runLengths } from "./index.ts";

/** As the format states it. */
function stated(k: number, o: number): number {
  const shifted = [8, 12, 16, 20].map((bits) => Math.floor(o / 2 ** bits));
  return (k * 131 + o * 7 + shifted[0] * 13 + shifted[1] * 29 + shifted[2] * 59 + shifted[3] * 101) % 256;
}

test.each([0, 1, 255, 256, 4095, 65_535, 1_048_575, 16_777_216, 2 ** 31 + 5, 2 ** 40 - 3])(
  "from offset %i on",
  (offset) => {
    const bytes = new Uint8Array(700);
    fillPattern(bytes, 3, offset);
    const wanted = Array.from(bytes, (_, i) => stated(3, offset + i));
    expect([...bytes]).toEqual(wanted);
    expect(patternByte(3, offset)).toBe(wanted[0]);
  },
);

test("FNV-1a does not care how the bytes are cut", () => {
  const sum = (...pieces: string[]): string => {
    const hash = new Fnv1a();
    for (const piece of pieces) hash.add(new TextEncoder().encode(piece));
    return hash.hex;
  };
  expect([sum(), sum("a"), sum("foobar"), sum("foo", "", "bar")]).toEqual([
    "811c9dc5",
    "e40c292c",
    "bf9cf968",
    "bf9cf968",
  ]);
});

test("run lengths", () => {
  expect([runLengths("FFFFFFFF.FFFFFFF"), runLengths("")]).toEqual(["F*8,.*1,F*7", ""]);
});
