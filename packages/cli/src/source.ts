// Where a program comes from, as plain data that can be sent to a worker and written to a file: a built-in one by
// name and size, or a scenario on a revision.

import { CATALOGUE, type Program } from "@faultline/explore";
import { mutantsOf } from "@faultline/fs";
import { type Scenario, scenarioProgram } from "@faultline/scenario";
import type { Io } from "./io.ts";
import { readRevision } from "./revisions.ts";
import { pickScenario, readScenarios } from "./scenario-file.ts";
import { UsageError, wholeNumber } from "./usage.ts";

type Environment = Readonly<Record<string, number>>;

/** A program that is built in, and how many tasks it has. */
export interface BuiltIn {
  readonly name: string;
  readonly n: number;
  /** Budgets of the environment's choices, over those of the program. */
  readonly environment: Environment;
}

/** A scenario, the whole of it, so that a certificate does not depend on a file. */
export interface OfScenario {
  readonly scenario: Scenario;
  readonly kernel: string;
  readonly environment: Environment;
}

export type Source = BuiltIn | OfScenario;

/** The choices of the environment that a scenario may meet, for whoever misspells one. */
const CHOICES = ["evict", "alloc-fail", "disk-error", "short-transfer", "disk-latency", "extent", "remote-lock"];

export function programOf(source: Source): Program {
  if ("scenario" in source) {
    const kernel = readRevision(source.kernel);
    return scenarioProgram(source.scenario, kernel, source.environment, mutantsOf(kernel));
  }
  const { name, n, environment } = source;
  if (!Object.hasOwn(CATALOGUE, name)) {
    throw new UsageError(`there is no program "${name}"; there are ${Object.keys(CATALOGUE).join(", ")}`);
  }
  const { size, make } = CATALOGUE[name];
  wholeNumber(String(n), "--n", size.least, size.most, n);
  const program = make(n);
  if (Object.keys(environment).length === 0) return program;
  const mutants = program.mutants?.map((mutant) => ({ ...mutant, environment }));
  return { ...program, environment, ...(mutants === undefined ? {} : { mutants }) };
}

/** What a message calls it. */
export function sourceText(source: Source): string {
  if ("scenario" in source) return `--id ${source.scenario.id} --kernel ${source.kernel}`;
  return `--program ${source.name} --n ${source.n}`;
}

/** Read --program and --n. */
export function readBuiltIn(name: string, n: string | undefined, environment: Environment): BuiltIn {
  const names = Object.keys(CATALOGUE).join(", ");
  if (!Object.hasOwn(CATALOGUE, name)) throw new UsageError(`there is no program "${name}"; there are ${names}`);
  const { usual, least, most } = CATALOGUE[name].size;
  return { name, n: wholeNumber(n, "--n", least, most, usual), environment };
}

/** Read FILE, --id and --kernel. */
export function readOfScenario(
  path: string,
  id: string | undefined,
  kernel: string | undefined,
  environment: Environment,
  io: Io,
): OfScenario {
  const unknown = Object.keys(environment).find((choice) => !CHOICES.includes(choice));
  if (unknown !== undefined) {
    throw new UsageError(`--budget: there is no choice "${unknown}"; there are ${CHOICES.join(", ")}`);
  }
  const revision = readRevision(kernel).name;
  return { scenario: pickScenario(readScenarios(path, io), id, path), kernel: revision, environment };
}
