// What was left over for a task to be charged with is read from its windows and from where its allowance ends.
import type { FsTask } from "@faultline/fs";
import { expect, test } from "vitest";
import { Circumstances } from "./circumstances.ts";
import { Plan } from "./plan.ts";
import type { Progress } from "./progress.ts";
import type { RecordedEvent } from "./result.ts";
import { ThrottleReader } from "./throttle-reader.ts";

const THERE = 1;
const PAUSE = 128;
const DEBT = 95;

/** Returns: by how many pages the debt is corrected when a lane does something else than is recorded. */
function corrected(lane: number, nrDirtied: number, got: RecordedEvent, wanted: RecordedEvent, debt = DEBT): number {
  const circumstances = new Circumstances();
  if (debt > 0) circumstances.learnDebt(debt, THERE, 1, 0);
  const task = { nrDirtied, nrDirtiedPause: PAUSE } as Partial<FsTask>;
  const progress = { lane, op: 1, got: [got], task } as Partial<Progress>;
  new ThrottleReader(new Plan(), circumstances).learn(progress as Progress, wanted);
  return circumstances.debt - debt;
}

function window(pages: number): RecordedEvent {
  return ["fault_in_readable", "m", 0, pages * 4096];
}

test("a window that is larger or smaller than recorded tells what was charged", () => {
  expect(corrected(THERE, 100, window(28), window(20))).toBe(8);
  expect(corrected(THERE, 100, window(28), window(32))).toBe(-4);
});

test("the smallest window does not hide how little is left", () => {
  expect(corrected(THERE, 127, window(8), window(31))).toBe(-30);
});

test("a window as large as all that is asked for does not hide how much is left", () => {
  expect(corrected(THERE, 80, window(32), window(31))).toBe(17);
});

test("who is not where pages were left over was not charged with too many", () => {
  expect(corrected(1 - THERE, 100, window(28), window(32))).toBe(0);
  expect(corrected(1 - THERE, 100, window(28), window(20))).toBe(8);
});

test("an allowance that ends where the recorded one goes on was one page larger", () => {
  expect(corrected(THERE, 0, ["balance_dirty", PAUSE], ["write_end", "ret", 1])).toBe(-1);
  expect(corrected(THERE, 0, ["balance_dirty", PAUSE], ["balance_dirty", 96])).toBe(0);
  expect(corrected(1 - THERE, 0, ["balance_dirty", PAUSE], ["write_end", "ret", 1])).toBe(0);
});

test("a window that was recorded smaller tells that there was anything", () => {
  expect(corrected(THERE, 97, window(31), window(27), 0)).toBe(4);
  expect(corrected(THERE, 101, window(27), window(31), 0)).toBe(0);
});
