// The search for a schedule: which run comes after which.
import { expect, test } from "vitest";
import { Plan } from "./plan.ts";

/** A run of three choices; what it picked is compared with what is looked for. */
function search(wanted: readonly number[], maxRuns: number): { runs: number; found: boolean } {
  const plan = new Plan();
  for (let runs = 1; runs <= maxRuns; runs++) {
    plan.restart();
    let matched = 0;
    while (matched < wanted.length && plan.choose("task", `${matched}`, 3).picked === wanted[matched]) matched++;
    if (matched === wanted.length) return { runs, found: true };
    if (!plan.next({ matched, tooFar: 0, about: "task", failure: `at ${matched}`, suspects: [] }))
      return { runs, found: false };
  }
  return { runs: maxRuns, found: false };
}

test("what came farther is varied next, at the latest point first", () => {
  expect(search([0, 0, 0], 9)).toEqual({ runs: 1, found: true });
  expect(search([0, 0, 1], 9)).toEqual({ runs: 2, found: true });
  expect(search([2, 1, 2, 1, 2], 20)).toEqual({ runs: 9, found: true });
});

test("a deviation holds when something before it goes another way", () => {
  const plan = new Plan();
  const run = (extra: boolean): number => {
    plan.restart();
    if (extra) plan.choose("quiet", "before", 2);
    return plan.choose("task", "there", 2).picked;
  };
  expect(run(false)).toBe(0);
  plan.next({ matched: 1, tooFar: 0, about: "task", failure: "there", suspects: [] });
  expect([run(false), run(true)]).toEqual([1, 1]);
});

test("what went too far goes less far", () => {
  const plan = new Plan();
  const limits: number[] = [];
  for (const tooFar of [0, 5, 3]) {
    plan.restart();
    limits.push(plan.choose("task", "there", 2).limit);
    plan.next({ matched: 1, tooFar, about: "task", failure: "there", suspects: [] });
  }
  plan.restart();
  expect([...limits, plan.choose("task", "there", 2).limit]).toEqual([Infinity, Infinity, 4, 2]);
});

test("it ends when everything was tried", () => {
  expect(search([0, 3], 50)).toEqual({ runs: 9, found: false });
});
