// A search that is cut into parts, or put down and taken up again, must come to what it comes to in one go: the
// same traces, each once. Or it must say that it cannot be cut like that.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cut, type Share } from "./cut.ts";
import { Explorer } from "./explorer.ts";
import { fingerprint } from "./fingerprint.ts";
import type { Program } from "./program.ts";
import { CATALOGUE } from "./programs/catalogue.ts";
import { restore, save } from "./saved.ts";
import { compile, KINDS, sources } from "./test-support/random-program.ts";

interface Seen {
  executions: number;
  blocked: number;
  isCutVoid: boolean;
  readonly traces: Set<number>;
}

const WHOLE: readonly Share[] = [{ orders: [], fates: [] }];

/** The same on paper, as a file would keep it. */
const onPaper = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

/** Explore each part, with a pause after every `stride` executions. */
function explore(program: Program, parts: readonly Share[] = WHOLE, stride = 100_000): Seen {
  const seen: Seen = { executions: 0, blocked: 0, isCutVoid: false, traces: new Set() };
  for (const part of parts) {
    let saved: ReturnType<typeof save> | null = null;
    for (let more = true; more; ) {
      const explorer = new Explorer(program, ({ path }) => seen.traces.add(fingerprint(path.steps)), {}, part);
      if (saved !== null) restore(explorer, saved);
      more = explorer.run(stride);
      saved = onPaper(save(explorer));
      seen.executions += explorer.counts.executions;
      seen.blocked += explorer.counts.blocked;
      seen.isCutVoid ||= explorer.changed.length > 0;
    }
  }
  return seen;
}

function expectSame(got: Seen, want: Seen): void {
  expect([got.executions, got.blocked]).toEqual([want.executions, want.blocked]);
  expect([...got.traces].sort()).toEqual([...want.traces].sort());
}

describe.each([
  { name: "lastzero", n: 7 },
  { name: "racy-inc", n: 3 },
  { name: "indexer", n: 13 },
  { name: "filesystem", n: 16 },
  { name: "philosophers", n: 5 },
  { name: "lock-inc", n: 5 },
  { name: "lock-no-unlock", n: 5 },
  { name: "readers", n: 7 },
  { name: "abba", n: 2 },
])("$name($n)", ({ name, n }) => {
  const program = CATALOGUE[name].make(n);
  const want = explore(program);

  test("in parts", () => {
    for (const count of [1, 2, 4, 16]) {
      const parts = onPaper(cut(program, count));
      expect(parts.length).toBeLessThanOrEqual(count);
      const got = explore(program, parts);
      expect(got.isCutVoid).toBe(false);
      expectSame(got, want);
    }
  });

  test("interrupted", () => {
    for (const stride of [1, 10]) expectSame(explore(program, WHOLE, stride), want);
  });
});

describe("random programs", () => {
  const budgets = fc.constantFrom({ fail: 1, evict: 1 }, { fail: 2, evict: 0 }, { fail: 5, evict: 5 });
  const check = (compare: (program: Program, want: Seen, some: number) => void): void => {
    const some = fc.integer({ min: 1, max: 16 });
    fc.assert(
      fc.property(sources(KINDS.everything, 3, 3), budgets, some, (source, environment, number) => {
        const program = compile(source, environment);
        const want = explore(program);
        if (want.executions < 500) compare(program, want, number);
      }),
      { numRuns: 300, seed: 3 },
    );
  };

  test("in parts", () => {
    let voids = 0;
    let cuts = 0;
    check((program, want, count) => {
      const parts = cut(program, count);
      const got = explore(program, parts);
      if (parts.length > 1) cuts++;
      if (got.isCutVoid) voids++;
      else expectSame(got, want);
    });
    // Not all by being void.
    expect(cuts).toBeGreaterThan(30);
    expect(voids).toBeLessThan(cuts / 5);
  });

  test("interrupted", () => check((program, want, stride) => expectSame(explore(program, WHOLE, stride), want)));
});
