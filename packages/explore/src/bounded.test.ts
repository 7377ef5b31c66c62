// With a bound on preemptions or delays, every trace that has a schedule within the bound is seen, and no other.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Enumerator, type EnumeratorOptions } from "./enumerator.ts";
import { explore } from "./explore.ts";
import type { Program } from "./program.ts";
import { CATALOGUE } from "./programs/catalogue.ts";
import { compile, KINDS, sources } from "./test-support/random-program.ts";
import { traceKey } from "./test-support/trace-key.ts";

const TOO_MANY = 3000;

/** Traces of complete executions; null when there are too many schedules. */
function traces(program: Program, options: EnumeratorOptions): string[] | null {
  const seen = new Set<string>();
  const enumerator = new Enumerator(program, options);
  while (enumerator.next()) {
    if (enumerator.executions > TOO_MANY) return null;
    if (enumerator.ending !== "known") seen.add(traceKey(enumerator.steps));
  }
  return [...seen].sort();
}

describe.each(["preemptions", "delays"] as const)("%s", (bound) => {
  test("points that were reached before need not be entered again", () => {
    fc.assert(
      fc.property(sources(KINDS.everything, 3, 3), fc.nat({ max: 3 }), (source, k) => {
        const program = compile(source);
        const want = traces(program, { [bound]: k, forgets: true });
        if (want !== null) expect(traces(program, { [bound]: k })).toEqual(want);
      }),
      { numRuns: 150, seed: 4 },
    );
  });

  test("no bound is the limit of large bounds", () => {
    fc.assert(
      fc.property(sources(KINDS.mutexes, 3, 2), (source) => {
        const program = compile(source);
        const want = traces(program, {});
        if (want !== null) expect(traces(program, { [bound]: 100 })).toEqual(want);
      }),
      { numRuns: 50, seed: 5 },
    );
  });
});

test.each([
  { desc: "no preemption, no deadlock", preemptions: 0, deadlocks: 0 },
  { desc: "one preemption makes two philosophers starve", preemptions: 1, deadlocks: 1 },
])("$desc", ({ preemptions, deadlocks }) => {
  const result = explore(CATALOGUE.philosophers.make(2), { preemptions });
  expect([result.deadlocks, result.complete]).toEqual([deadlocks, true]);
});

test("one preemption is enough for any number of philosophers, if they come in the right order", () => {
  const deadlocks = [0, 1, 2].map((preemptions) => explore(CATALOGUE.philosophers.make(4), { preemptions }).deadlocks);
  expect(deadlocks).toEqual([0, 1, 1]);
});

test("without reduction, one execution for each schedule: ABBA has four", () => {
  expect(explore(CATALOGUE.abba.make(2), { reduction: false })).toMatchObject({ executions: 4, deadlocks: 2 });
});
