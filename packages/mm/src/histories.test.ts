// Does mm keep Linux's promises, whatever is done to it? Random histories of system calls, accesses, forks,
// truncations and reclaim run on mm and on a reference without page tables, caches or faults. The two must
// say the same at every step and show the same bytes at the end, and mm must not contradict itself.
//
// HISTORIES=100000 in the environment asks for that many of each kind.
import { type Chooser, formatSchedule, parseSchedule, RandomChooser, ReplayChooser } from "@faultline/kernel";
import fc from "fast-check";
import { expect, test } from "vitest";
import { MM_5_10, MM_5_18, MM_LATEST, reclaimer, UserTask } from "./index.ts";
import { Histories } from "./testing/histories.ts";
import type { RigOptions } from "./testing/rig.ts";
import { type Deed, histories, tamed, tell } from "./testing/steps.ts";

const RUNS = Number(process.env.HISTORIES ?? 0);
const TIMEOUT = RUNS > 0 ? 3_600_000 : 60_000;

type Options = RigOptions & { readonly latency?: number };

/** Run a history; whatever goes wrong comes with the step and the whole story. */
function play(history: readonly Deed[], options: Options, take: (both: Histories, deed: Deed) => void): Histories {
  const both = new Histories(options);
  let at = 0;
  try {
    for (const deed of history) {
      take(both, deed);
      at++;
    }
    both.consistent();
    return both;
  } catch (error) {
    throw new Error(`${(error as Error).message}\n  at step ${at} of\n${tell(history)}`, { cause: error });
  }
}

test.each<[string, number, Options]>([
  ["today's rules", 1200, { revision: MM_LATEST }],
  ["today's rules and a slow disk", 800, { revision: MM_LATEST, latency: 100 }],
  ["5.18 and a slow disk", 600, { revision: MM_5_18, latency: 100 }],
])("mm and the reference agree: %s", { timeout: TIMEOUT }, (_name, numRuns, options) => {
  fc.assert(
    fc.property(histories, (history) => {
      play(history, options, (both, deed) => both.do(deed)).compare();
    }),
    { numRuns: RUNS || numRuns, seed: 1 },
  );
});

test("mm does not contradict itself after any single step", { timeout: TIMEOUT }, () => {
  const options = { revision: MM_5_10, latency: 100 };
  fc.assert(
    fc.property(histories, (history) => {
      play(history, options, (both, deed) => {
        both.suffer(deed);
        both.consistent();
      });
    }),
    { numRuns: RUNS || 400, seed: 2 },
  );
});

/** Lets tasks run in turn; lets things fail at random, once the machine stands. */
class Unlucky implements Chooser {
  readonly preemptive = false;
  armed = false;
  readonly #random: RandomChooser;

  constructor(seed: number) {
    this.#random = new RandomChooser(seed);
  }

  pickTask(): number {
    return 0;
  }

  choose(choice: string, count: number): number {
    return this.armed ? this.#random.choose(choice, count) : 0;
  }
}

test("when memory runs out, and when allocations fail by choice, mm does not contradict itself", {
  timeout: TIMEOUT,
}, () => {
  fc.assert(
    fc.property(histories, fc.nat(), (history, seed) => {
      const chooser = new Unlucky(seed);
      const scarce = { memory: 40 * 4096, latency: 100, environment: { "alloc-fail": 20 }, chooser };
      // The reference knows no errors of this kind: only mm's own word counts.
      play(history, scarce, (both, deed) => {
        chooser.armed = true;
        both.suffer(deed);
      });
    }),
    { numRuns: RUNS || 600, seed: 3 },
  );
});

test("threads of one address space, at any order of their steps, keep out of each other's way", {
  timeout: TIMEOUT,
}, () => {
  fc.assert(
    fc.property(histories, histories, fc.nat(), (first, second, seed) => {
      concurrently([first, second], { chooser: new RandomChooser(seed), latency: 50 });
    }),
    { numRuns: RUNS || 500, seed: 4 },
  );
});

/** Each history is a thread; a reclaimer takes pages away at random. */
function concurrently(stories: readonly (readonly Deed[])[], options: Options): string {
  const both = new Histories({ ...options, environment: { evict: 1000 } });
  const { world, mem, mm } = both.rig;
  world.start(both.actors[0].task, live(both.actors[0], stories[0]));
  for (const story of stories.slice(1)) {
    const actor = both.addThread();
    world.start(actor.task, live(actor, story));
  }
  const kswapd = new UserTask(world, "kswapd", mm, { daemon: true });
  world.start(kswapd, reclaimer(kswapd, mem, 60));
  const failures: string[] = [];
  const { verdict } = world.run();
  const schedule = formatSchedule(world.schedule);
  if (verdict.kind !== "completed") failures.push(`the run ends in ${verdict.kind}`);
  if (verdict.kind === "bug") failures.push(verdict.bug.message);
  if (failures.length === 0) both.compare();
  const told = stories.map((story, i) => `thread ${i}\n${tell(story)}`).join("\n");
  if (failures.length > 0) throw new Error(`${failures.join(", ")}\nschedule ${schedule}\n${told}`);
  return schedule;

  function* live(actor: Histories["actors"][number], story: readonly Deed[]) {
    for (const { step } of story) yield* both.doStep(actor, tamed(step));
  }
}

test("a history with threads can be replayed from its schedule", () => {
  const stories = fc.sample(histories, { numRuns: 2, seed: 5 });
  const schedule = concurrently(stories, { chooser: new RandomChooser(7) });
  const replay = new ReplayChooser(parseSchedule(schedule));
  expect(concurrently(stories, { chooser: replay })).toBe(schedule);
  expect(replay.divergence).toBe(null);
});
