// A scenario on one kernel as something that can be explored (a Program of @faultline/explore): its states, and what
// may not happen whatever the schedule.

import type { Gfs2Revision } from "@faultline/fs";
import { Tracer, type World } from "@faultline/kernel";
import { Expectations } from "./expectations.ts";
import { Stage, StagedRun } from "./explorable.ts";
import type { Scenario } from "./op.ts";
import { checkWindows } from "./window-rule.ts";

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
const HARMLESS: ReadonlySet<string> = new Set(["evict"]);

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
  const stage = new Stage(scenario, kernel);
  const trace = new Tracer();
  const mayFail = Object.entries(environment).some(([choice, budget]) => budget > 0 && !HARMLESS.has(choice));
  let expectations: Expectations | null = null;
  return {
    name: scenario.id,
    revision: kernel.name,
    environment,
    trace,
    mutants: mutants.map((mutant) => ({ ...scenarioProgram(scenario, mutant, environment), name: mutant.title })),
    start(world) {
      expectations ??= new Expectations(stage);
      if (world.trace === trace) trace.clear();
      const run = new StagedRun(stage, world);
      const from = world.trace?.count ?? 0;
      run.start();
      return {
        invariant() {
          const wrong = mayFail ? null : (expectations?.check(run.ending) ?? null);
          return wrong ?? checkWindows(world.trace?.events(from) ?? []);
        },
        state: () => stateOf(run),
      };
    },
  };
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
