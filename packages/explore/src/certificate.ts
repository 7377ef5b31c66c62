// A certificate says that nothing was found, and lets somebody else check it.

import { parseSchedule } from "@faultline/kernel";
import { Explorer } from "./explorer.ts";
import type { FindingKind } from "./finding.ts";
import type { Injection } from "./injections.ts";
import type { Program } from "./program.ts";
import { scheduleOf, scheduleText } from "./replay.ts";
import { hashText, identityOf, rerun } from "./rerun.ts";
import { driverOptions, type SearchOptions } from "./search.ts";
import { Scribe, type Tally } from "./tally.ts";

export interface Certificate {
  readonly faultline: "certificate";
  readonly version: 1;
  readonly program: string;
  readonly revision: string;
  /** For whoever verifies: how to come by the program. */
  readonly source: unknown;
  readonly bounds: Bounds;
  readonly executions: number;
  readonly blocked: number;
  /** Of the program's name, its revision and all that it did: another program has another one. */
  readonly hash: string;
  readonly injections: readonly Injection[];
  /** The bugs that were planted, and how each was found under the same bounds. */
  readonly mutants: readonly FoundMutant[];
  /** The schedule of every execution. */
  readonly frontier: readonly string[];
}

export interface Bounds {
  readonly environment: Readonly<Record<string, number>>;
  /** How often choices of the environment may turn out other than 0 in one execution; null for no limit. */
  readonly failures: number | null;
  readonly maxSteps: number;
}

export interface FoundMutant {
  readonly name: string;
  readonly kind: FindingKind;
  readonly what: string;
  readonly schedule: string;
}

/** Steps of an execution, when nobody says. */
const STEPS = 20_000_000;

/**
 * Certify a search that found nothing and kept its schedules.
 *
 * `source`: how to come by the program, as the caller of verification understands it.
 * Returns: the certificate, or why it would be void.
 */
export function certify(
  program: Program,
  tally: Tally,
  options: SearchOptions & { readonly complete: boolean; readonly source?: unknown },
): Certificate | string {
  if (tally.sightings.length > 0) return "something was found";
  if (!options.complete) return "not everything within the bounds was explored";
  if (tally.counts.surprises > 0) return "the program shares more than it declares";
  if (tally.schedules.length !== tally.counts.executions) return "the schedules of the executions were not kept";
  const { mutants: planted = [] } = program;
  if (planted.length === 0) return "no bug was planted, so nothing shows that one would have been found";
  const mutants = planted.map((mutant) => findMutant(mutant, options));
  const missed = planted.filter((_, i) => mutants[i] === null).map(({ name }) => `"${name}"`);
  if (missed.length > 0) return `a planted bug was not found under the same bounds: ${missed.join(", ")}`;
  const bounds = boundsOf(program, options);
  const identities = tally.schedules.map((schedule) => {
    return identityOf(rerun(program, parseSchedule(schedule), bounds).events);
  });
  return {
    faultline: "certificate",
    version: 1,
    program: program.name,
    revision: program.revision ?? "",
    source: options.source ?? null,
    bounds,
    executions: tally.counts.executions,
    blocked: tally.counts.blocked,
    hash: hashOf(program, identities),
    injections: tally.injections,
    mutants: mutants.filter((mutant) => mutant !== null),
    frontier: tally.schedules,
  };
}

function boundsOf(program: Program, options: SearchOptions): Bounds {
  const { failures = null } = driverOptions(options);
  return { environment: program.environment ?? {}, failures, maxSteps: options.maxSteps ?? STEPS };
}

/** Of what a program is called and all that it does. */
export function hashOf({ name, revision = "" }: Program, identities: readonly number[]): string {
  const sorted = [...identities].sort((a, b) => a - b);
  return hashText([name, revision, ...sorted].join("\n"))
    .toString(16)
    .padStart(14, "0");
}

/** Search a mutant until something is found. */
function findMutant(mutant: Program, options: SearchOptions): FoundMutant | null {
  const scribe = new Scribe(mutant, options.maxSteps === undefined ? {} : { maxSteps: options.maxSteps });
  const explorer = new Explorer(mutant, scribe.witness, driverOptions(options));
  while (!scribe.hasFinding && explorer.run(1)) {
    // One execution after the other: the first finding is enough.
  }
  const [sighting] = scribe.tally(explorer.counts).sightings;
  if (sighting === undefined) return null;
  const schedule = scheduleOf(mutant, sighting.events, options.maxSteps);
  if (schedule === null) return null;
  return { name: mutant.name, kind: sighting.kind, what: sighting.what, schedule: scheduleText(schedule) };
}
