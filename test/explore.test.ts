// Scenarios under every schedule: is the deadlock found before the fix, is it gone after, would a bug in the fix be
// found, and does the search see whatever a schedule can lead to? The last is tried with schedules at random, which
// know nothing of declared accesses: an access that is not declared shows as a state that the search never saw.
import { readFileSync } from "node:fs";
import { type Certificate, certify, conclude, explore, openSearch, type Program, verify } from "@faultline/explore";
import { mutantsOf, REVISIONS } from "@faultline/fs";
import { parseScenarios, scenarioProgram } from "@faultline/scenario";
import { describe, expect, test } from "vitest";

const scenarios = ["explore", "cures"].flatMap((name) =>
  parseScenarios(readFileSync(new URL(`../scenarios/${name}.jsonl`, import.meta.url), "utf8"), name),
);

function programOf(id: string, kernel: string, environment: Readonly<Record<string, number>> = {}): Program {
  const scenario = scenarios.find((each) => each.id === id)!;
  return scenarioProgram(scenario, REVISIONS[kernel], environment, mutantsOf(REVISIONS[kernel]));
}

describe("before the fix", () => {
  test("a task that meets itself in the queue of a glock is a BUG that nothing averts", () => {
    const { executions, findings } = explore(programOf("self", "5.10"));
    expect([executions, findings.length]).toEqual([1, 1]);
    expect([findings[0].kind, findings[0].noReturn]).toEqual(["bug", "doomed"]);
    expect(findings[0].what).toBe("kernel BUG at fs/gfs2/glock.c:1403!");
  });

  test("two files crossed deadlock; lockdep's cycle is confirmed; there is a point of no return", () => {
    const { deadlocks, findings, locks, surprises } = explore(programOf("abba", "5.10"));
    expect([deadlocks, findings.length, surprises]).toEqual([1, 1, 0]);
    expect(findings[0].what).toBe("thread 0 waits for glock b (PR), thread 1 waits for glock a (PR)");
    expect(findings[0].noReturn).toMatchObject({ instead: expect.stringContaining("had run first") });
    expect(locks.filter(({ verdict }) => verdict === "confirmed").map(({ cycle }) => cycle)).toContainEqual([
      "glock:inode",
    ]);
  });

  test("PCT finds it within the runs that its bound promises", () => {
    const program = programOf("abba", "5.10");
    const one = openSearch(program, { mode: "pct", depth: 2, runs: 1 });
    const bound = Number(/probability of ([\d.e-]+)/.exec(one.promise ?? "")?.[1]);
    const search = openSearch(program, { mode: "pct", depth: 2, runs: Math.ceil(3 / bound) });
    while (search.tally.counts.deadlocks === 0 && search.advance(20));
    expect(search.tally.counts.deadlocks).toBeGreaterThan(0);
  });
});

describe("the fix", () => {
  test.each([
    ["self", { evict: 1 }],
    ["abba", { evict: 1 }],
    ["two-tasks-one-file", { evict: 1 }],
    ["two-pages-alone", { evict: 1 }],
    ["self", { "remote-lock": 2 }],
    ["abba", { "remote-lock": 1 }],
  ] as const)("%s: nothing within %o", (id, environment) => {
    const result = explore(programOf(id, "6.12", environment));
    const made = result.injections.filter(({ failed }) => failed).map(({ choice }) => choice);
    expect(new Set(made)).toEqual(new Set(Object.keys(environment)));
    expect([result.complete, result.findings, result.surprises, result.blocked]).toEqual([true, [], 0, 0]);
  });

  const planted = programOf("two-pages", "6.12", { evict: 1 }).mutants ?? [];
  test("has five mutants", () => expect(planted).toHaveLength(5));
  test.each(planted.map((mutant) => [mutant.name, mutant] as const))("one that %s is found", (_name, mutant) => {
    const search = openSearch(mutant);
    while (search.tally.sightings.length === 0 && search.advance(20));
    expect(search.tally.sightings.length).toBeGreaterThan(0);
  });
});

describe("every wrong cure is found out", () => {
  test.each([
    ["first-byte", "cure-straddle", {}, "livelock"],
    ["all-or-nothing", "cure-half-a-buffer", {}, "returns EFAULT, and 16384"],
    ["prefault-and-hope", "cure-taken-away", { evict: 1 }, "bug"],
    ["prefault-and-hope", "cure-direct-onto-itself", {}, "bug"],
    ["hold-references", "cure-written-back", {}, "returns EFAULT, and 16384"],
    ["keep-glock", "cure-same-file", {}, "bug"],
    ["keep-glock", "cure-two-files", {}, "deadlock"],
    ["trylock-sigbus", "cure-three-threads", {}, "deadlock"],
    ["trylock-sigbus", "cure-first-page-only", {}, "returns 4096, and 16384"],
    ["trylock-sigbus", "cure-direct-onto-itself", {}, "livelock"],
  ] as const)("%s by %s with %o: %s", (cure, id, environment, found) => {
    const search = openSearch(programOf(id, `cure:${cure}`, environment));
    while (search.tally.sightings.length === 0 && search.advance(20));
    expect(search.tally.sightings.map(({ kind, what }) => `${kind}: ${what}`).join()).toContain(found);
    const fix = openSearch(programOf(id, "6.12", environment));
    fix.advance(20);
    expect(fix.tally.sightings).toEqual([]);
  });

  test("where a page that goes away is what makes it fail, that is what would have had to go otherwise", () => {
    const program = programOf("cure-taken-away", "cure:prefault-and-hope", { evict: 1 });
    const search = openSearch(program);
    while (search.tally.sightings.length === 0 && search.advance(20));
    const { findings } = conclude(program, search.tally, { complete: false });
    const [{ noReturn, steps }] = findings;
    const instead = expect.stringMatching(/^the environment had chosen otherwise for thread \d \(evict: 0 of 2\)$/);
    expect(noReturn).toEqual({ step: expect.any(Number), instead });
    expect(steps[(noReturn as { step: number }).step - 1].deeds).toContain("evict: 1 of 2");
  });

  test("the cure that works is not", () => {
    expect(explore(programOf("cure-every-byte-twice", "cure:bounce-buffer", { evict: 1 })).findings).toEqual([]);
  });
});

function certificateOf(program: Program): Certificate {
  const search = openSearch(program, { keepSchedules: true });
  while (search.advance(100));
  const certificate = certify(program, search.tally, { complete: true, keepSchedules: true }) as Certificate;
  expect(certificate.mutants).toHaveLength(5);
  return certificate;
}

describe("the search left nothing out", () => {
  test.each([
    ["two-pages", { evict: 1 }],
    ["two-pages-alone", { evict: 1, "remote-lock": 1 }],
  ] as const)(
    "%s with %o",
    (id, environment) => {
      const program = programOf(id, "6.12", environment);
      expect(verify(program, certificateOf(program))).toMatchObject({ isConfirmed: true, schedule: null });
    },
    240_000,
  );
});

test("a certificate is confirmed; without one of its executions, or with another budget, it is not", () => {
  const program = programOf("two-pages-alone", "6.12", { evict: 2 });
  const certificate = certificateOf(program);
  expect(verify(program, certificate).isConfirmed).toBe(true);
  const short = { ...certificate, executions: certificate.executions - 1, frontier: certificate.frontier.slice(1) };
  expect(verify(program, short).isConfirmed).toBe(false);
  const other = { ...certificate, bounds: { ...certificate.bounds, environment: { evict: 1 } } };
  expect(verify(program, other).isConfirmed).toBe(false);
});

describe("no schedule at random leads to a state that the search has not seen", () => {
  test.each([
    ["abba", "6.12", { evict: 1 }],
    ["two-tasks-one-file", "6.12", { evict: 2 }],
    ["two-pages-alone", "6.12", { "disk-error": 1, evict: 1 }],
    ["abba", "5.10", { "disk-error": 1 }],
    ["abba", "6.12", { "remote-lock": 1 }],
  ] as const)("%s on %s with %o", (id, kernel, environment) => {
    const program = programOf(id, kernel, environment);
    const states = (options: object): Set<string> => {
      const seen = new Set<string>();
      const watched: Program = {
        ...program,
        start(world) {
          const running = program.start(world);
          const invariant = (): null => {
            seen.add(running.state?.() ?? "");
            return null;
          };
          return { ...running, invariant };
        },
      };
      const search = openSearch(watched, options);
      while (search.advance(100));
      return seen;
    };
    const all = states({});
    expect(all.size).toBeGreaterThan(0);
    for (const state of states({ mode: "random", runs: 150 })) expect(all).toContain(state);
  });
});

test("what is found is told from its replay", () => {
  const program = programOf("abba", "5.10");
  const search = openSearch(program, { mode: "random", runs: 60, seed: 3 });
  while (search.advance(20));
  const result = conclude(program, search.tally, { mode: "random", complete: false, promise: search.promise });
  for (const { schedule, steps } of result.findings) {
    expect(schedule).toMatch(/^p/);
    expect(steps.length).toBeGreaterThan(0);
  }
});
