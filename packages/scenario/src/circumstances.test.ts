// When is what a recording was made under corrected?
import { expect, test } from "vitest";
import { Circumstances } from "./circumstances.ts";

const LANE = 0;
const OTHER = 1;

test("what is charged to a lane is corrected where it shows, and where it shows again", () => {
  const circumstances = new Circumstances();
  expect(circumstances.learnDebt(98, LANE, 1, 40)).toBe(true);
  expect(circumstances.learnDebt(2, LANE, 1, 45)).toBe(true);
  expect(circumstances.debt).toBe(100);
  expect([LANE, OTHER].map((lane) => circumstances.processorOf(lane))).toEqual([1, 0]);
});

test("a lane that goes wrong before the place of a correction corrects nothing", () => {
  const circumstances = new Circumstances();
  circumstances.learnDebt(100, LANE, 2, 3);
  expect(circumstances.learnDebt(4, LANE, 1, 45)).toBe(false);
  expect(circumstances.debt).toBe(100);
  expect(circumstances.learnDebt(4, OTHER, 1, 45)).toBe(true);
});
