// A sparse array must behave like a map from numbers to numbers, cost what it holds, and forget what is gone.
import fc from "fast-check";
import { expect, test } from "vitest";
import { MAX_KEY, RadixTree } from "./index.ts";

const key = fc.oneof(
  fc.nat({ max: 2000 }),
  fc.integer({ min: 2 ** 35 - 2000, max: 2 ** 35 + 2000 }),
  fc.integer({ min: MAX_KEY - 600, max: MAX_KEY - 1 }),
);

test("it agrees with a map, whatever is set and forgotten", () => {
  const step = fc.oneof(
    fc.record({ set: key, entry: fc.integer({ min: -5, max: 5 }) }),
    fc.record({ from: key, count: fc.nat({ max: 3000 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const tree = new RadixTree();
      const map = new Map<number, number>();
      for (const one of steps) {
        if ("set" in one) {
          tree.set(one.set, one.entry);
          map.set(one.set, one.entry);
          continue;
        }
        const to = Math.min(one.from + one.count, MAX_KEY);
        tree.forEach(one.from, to, (at, _entry, leaf, slot) => {
          leaf[slot] = 0;
          map.delete(at);
        });
        tree.freeLeaves(one.from, to);
      }
      const wanted = [...map].filter(([, entry]) => entry !== 0).sort((a, b) => a[0] - b[0]);
      const seen: [number, number][] = [];
      tree.forEach(0, MAX_KEY, (at, entry) => seen.push([at, entry]));
      expect(seen).toEqual(wanted);
      const walked: number[] = [];
      for (let at = tree.next(0, MAX_KEY); at < MAX_KEY; at = tree.next(at + 1, MAX_KEY)) walked.push(at);
      expect(walked).toEqual(wanted.map(([at]) => at));
      for (const [at, entry] of map) expect(tree.get(at)).toBe(entry);
    }),
    { numRuns: 300, seed: 1 },
  );
});

test("entries are whole 32-bit words, and what was never set is 0", () => {
  const tree = new RadixTree();
  tree.set(5, 0x80000001 | 0);
  expect([tree.get(5), tree.get(6), tree.get(2 ** 39), tree.tables]).toEqual([0x80000001 | 0, 0, 0, 3]);
});

test("reading costs nothing; emptied tables go, up to the last", () => {
  const tree = new RadixTree();
  for (let i = 0; i < 1000; i++) tree.get(i * 1_000_000);
  expect(tree.tables).toBe(0);
  for (const at of [0, 512, 2 ** 30, 2 ** 35]) tree.set(at, 1);
  expect(tree.tables).toBe(10);
  for (const at of [0, 512, 2 ** 30, 2 ** 35]) tree.set(at, 0);
  // A table that lies partly outside stays.
  tree.freeLeaves(1, 1024);
  expect(tree.tables).toBe(9);
  tree.freeLeaves(0, MAX_KEY);
  expect(tree.tables).toBe(0);
  expect(tree.get(2 ** 35)).toBe(0);
});

test("a stretch is full when nothing of it is 0, across tables too", () => {
  const tree = new RadixTree();
  for (let at = 500; at < 1040; at++) tree.set(at, 1);
  const answers = (): boolean[] => [tree.isFull(500, 1040), tree.isFull(499, 1040), tree.isFull(500, 1041)];
  expect(answers()).toEqual([true, false, false]);
  expect(tree.isFull(7, 7)).toBe(true);
  for (const hole of [500, 511, 512, 1023, 1024, 1039]) {
    tree.set(hole, 0);
    expect(tree.isFull(500, 1040)).toBe(false);
    tree.set(hole, 1);
  }
});
