// Is anything lost by the reduction? Random small programs are run on every schedule, one by one, and then by
// the search: both must see the same traces, each of which the search executes exactly once, and so the same
// endings, final states and bugs.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Driver } from "./driver.ts";
import { Enumerator } from "./enumerator.ts";
import { Explorer } from "./explorer.ts";
import { fingerprint } from "./fingerprint.ts";
import type { Program } from "./program.ts";
import { compile, KINDS, sources } from "./test-support/random-program.ts";
import { traceKey } from "./test-support/trace-key.ts";

/** Schedules that are too many to try one by one; such a program is passed over. */
const TOO_MANY = 5000;

/** How an execution ended, in a word or two. */
function outcomeOf(ending: string, { running, crashes }: Driver): string {
  const bugs = crashes.map(({ task, error }) => `${task.comm}: ${error.message}`).sort();
  return [ending, running.state?.(), running.invariant?.(), ...bugs].join(" | ");
}

interface Seen {
  readonly traces: Set<string>;
  readonly prints: Set<number>;
  readonly outcomes: Set<string>;
}

function everySchedule(program: Program, failures?: number): Seen | null {
  const seen: Seen = { traces: new Set(), prints: new Set(), outcomes: new Set() };
  const enumerator = new Enumerator(program, failures === undefined ? {} : { failures });
  while (enumerator.next()) {
    if (enumerator.executions > TOO_MANY) return null;
    seen.traces.add(traceKey(enumerator.steps));
    seen.prints.add(enumerator.fingerprint);
    seen.outcomes.add(outcomeOf(enumerator.ending, enumerator.driver));
  }
  return seen;
}

const sorted = <T>(set: ReadonlySet<T>): T[] => [...set].sort();

function compare(program: Program, failures?: number): void {
  const want = everySchedule(program, failures);
  if (want === null) return;
  const got: Seen = { traces: new Set(), prints: new Set(), outcomes: new Set() };
  const explorer = new Explorer(
    program,
    ({ path, driver }, ending) => {
      got.traces.add(traceKey(path.steps));
      got.prints.add(fingerprint(path.steps));
      got.outcomes.add(outcomeOf(ending, driver));
    },
    failures === undefined ? {} : { failures },
  );
  explorer.run(TOO_MANY);
  const { executions, blocked, surprises } = explorer.counts;
  expect(sorted(got.traces)).toEqual(sorted(want.traces));
  expect(sorted(got.outcomes)).toEqual(sorted(want.outcomes));
  expect({ executions, blocked, surprises }).toEqual({ executions: want.traces.size, blocked: 0, surprises: 0 });
  // Fingerprints tell the same traces apart.
  expect([got.prints.size, want.prints.size]).toEqual([want.traces.size, want.traces.size]);
}

describe("the search sees what every schedule shows, and each trace once", () => {
  test.each(Object.entries(KINDS))("%s", (_name, kinds) => {
    const budgets = fc.constantFrom({ fail: 1, evict: 1 }, { fail: 2, evict: 0 }, { fail: 5, evict: 5 });
    fc.assert(
      fc.property(sources(kinds, 3, 3), budgets, (source, environment) => compare(compile(source, environment))),
      { numRuns: 150, seed: 1 },
    );
  });

  test("with one failure in all", () => {
    fc.assert(
      fc.property(sources(KINDS.choices, 3, 3), (source) => compare(compile(source, { fail: 3, evict: 3 }), 1)),
      { numRuns: 150, seed: 2 },
    );
  });
});

describe("programs that were missed once", () => {
  test.each([
    {
      desc: "a race that has to be looked at again when what follows it is new",
      source:
        '[[{"op":"lock","of":0,"body":[{"op":"read","of":0}]}],[{"op":"try","of":1,"body":[]},{"op":"lock","of":0,"body":[]}],[{"op":"lock","of":1,"body":[{"op":"try","of":0,"body":[{"op":"read","of":0}]}]},{"op":"read","of":0}]]',
    },
    {
      desc: "a step that does more than foreseen, below a branch that others lead to",
      source:
        '[[{"op":"exclude","of":0,"body":[{"op":"lock","of":1,"body":[]},{"op":"try","of":0,"body":[{"op":"read","of":0}]}]},{"op":"read","of":0}],[{"op":"exclude","of":0,"body":[]}],[{"op":"lock","of":1,"body":[]},{"op":"lock","of":0,"body":[{"op":"read","of":0}]},{"op":"read","of":0}]]',
    },
    {
      desc: "a choice that decides what a step does",
      source:
        '[[{"op":"bug","of":0}],[{"op":"exclude","of":0,"body":[]}],[{"op":"share","of":0,"body":[{"op":"choose","of":0}]}]]',
    },
  ])("$desc", ({ source }) => {
    compare(compile(JSON.parse(source), { fail: 1, evict: 1 }));
  });
});
