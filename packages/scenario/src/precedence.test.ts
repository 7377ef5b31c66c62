// A lane that has come to a place waits until another one has passed its own.
import { expect, test } from "vitest";
import { Passage, type PlaceOrder, Precedence } from "./precedence.ts";

/** Lane 0's second step at one point comes after lane 1's first at another. */
const ORDERS: readonly PlaceOrder[] = [{ earlier: { lane: 1, at: "1.3 0" }, later: { lane: 0, at: "2.5 1" } }];

test("who comes to a place too early waits, in every run from then on", () => {
  const precedence = new Precedence();
  expect(precedence.learn(ORDERS)).toBe(true);
  for (let run = 0; run < 2; run++) {
    const passage = new Passage(precedence);
    expect(passage.waitsFor(0, "2.5")).toBe(undefined);
    passage.pass(0, "2.5");
    expect(passage.waitsFor(0, "2.5")).toBe(1);
    passage.pass(1, "1.2");
    expect(passage.waitsFor(0, "2.5")).toBe(1);
    passage.pass(1, "1.3");
    expect(passage.waitsFor(0, "2.5")).toBe(undefined);
  }
});

test("what is known teaches nothing, and neither does a fifth order", () => {
  const precedence = new Precedence();
  const order = (lane: number): PlaceOrder => ({ earlier: { lane, at: "1.1 0" }, later: { lane: 9, at: "1.1 0" } });
  expect(precedence.learn([])).toBe(false);
  expect([1, 1, 2, 3, 4, 5].map((lane) => precedence.learn([order(lane)]))).toEqual([
    true,
    false,
    true,
    true,
    true,
    false,
  ]);
});
