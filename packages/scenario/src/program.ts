// A scenario on one kernel as something that can be explored (a Program of @faultline/explore): its states, and what
// may not happen whatever the schedule.

import { CURES, type Gfs2Revision, mutantsOf, REVISIONS } from "@faultline/fs";
import { Tracer, type World } from "@faultline/kernel";
import { Expectations } from "./expectations.ts";
import { Stage, StagedRun } from "./explorable.ts";
import type { Scenario } from "./op.ts";
import { checkWindows, WINDOW_EVENTS } from "./window-rule.ts";

/** One execution, looked at when no task can go on any more. */
export interface ScenarioEnding {
  /** What is wrong with how it ended, in words; null when nothing is. */
  invariant(): string | null;
  /** Results and files, for comparisons. */
  state(): string;
}

export interface ScenarioProgram {
  readonly name: string;
  readonly revision: string;
  readonly environment: Readonly<Record<string, number>>;
  readonly trace: Tracer;
  readonly mutants: readonly ScenarioProgram[];
  start(world: World): ScenarioEnding;
}

/** Choices of the environment that only make a call take longer: with any other, calls may fail. */
const HARMLESS: ReadonlySet<string> = new Set(["evict", "remote-lock"]);

/**
 * Make a program of a scenario.
 *
 * `environment`: how often each choice of the environment may turn out other than 0 in one execution.
 * `mutants`: revisions with a bug planted in each, which a search that finds nothing must find under the same bounds.
 */
export function scenarioProgram(
  scenario: Scenario,
  kernel: Gfs2Revision,
  environment: Readonly<Record<string, number>> = {},
  mutants: readonly Gfs2Revision[] = [],
): ScenarioProgram {
  // A cure is 6.12 with one thing changed: it has to come to what 6.12 comes to.
  const reference = isCure(kernel) ? REVISIONS["6.12"] : kernel;
  return programOn(scenario, kernel, environment, mutants, reference);
}

/** `reference`: the revision that tells what may come out. Cures need not keep the window rule of the fix. */
function programOn(
  scenario: Scenario,
  kernel: Gfs2Revision,
  environment: Readonly<Record<string, number>>,
  mutants: readonly Gfs2Revision[],
  reference: Gfs2Revision,
): ScenarioProgram {
  const stage = new Stage(scenario, kernel);
  const trace = new Tracer(undefined, WINDOW_EVENTS);
  const mayFail = Object.entries(environment).some(([choice, budget]) => budget > 0 && !HARMLESS.has(choice));
  const keepsWindows = !isCure(kernel) && mutantsOf(reference).length > 0;
  let expectations: Expectations | null = null;
  return {
    name: scenario.id,
    revision: kernel.name,
    environment,
    trace,
    mutants: mutants.map((mutant) => ({
      ...programOn(scenario, mutant, environment, [], reference),
      name: mutant.title,
    })),
    start(world) {
      expectations ??= new Expectations(reference === kernel ? stage : new Stage(scenario, reference));
      if (world.trace === trace) trace.clear();
      const run = new StagedRun(stage, world);
      const from = world.trace?.count ?? 0;
      run.start();
      return {
        invariant() {
          const wrong = mayFail ? null : (expectations?.check(run.ending) ?? null);
          return wrong ?? (keepsWindows ? checkWindows(world.trace?.events(from) ?? []) : null);
        },
        state: () => stateOf(run),
      };
    },
  };
}

function isCure({ name }: Gfs2Revision): boolean {
  return CURES.some((cure) => cure.name === name);
}

function stateOf({ ending }: StagedRun): string {
  const results = [...ending.results, ending.post].map((list) => list.map((result) => JSON.stringify(result)).join());
  const files = Object.entries(ending.files).map(
    ([name, bytes]) => `${name} ${bytes === null ? "gone" : sumOf(bytes)}`,
  );
  return [...results, ...files].join("\n");
}

/** Size and FNV-1a. */
function sumOf(bytes: Uint8Array): string {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return `${bytes.length}:${(hash >>> 0).toString(16)}`;
}
