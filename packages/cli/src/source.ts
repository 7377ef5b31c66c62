// Where a program comes from, as plain data that can be sent to a worker and written to a file.

import { CATALOGUE, type Program } from "@faultline/explore";
import { readBudgets, UsageError, wholeNumber } from "./usage.ts";

/** A program that is built in, and how many tasks it has. */
export interface Source {
  readonly name: string;
  readonly n: number;
  /** Budgets of the environment's choices, over those of the program. */
  readonly environment: Readonly<Record<string, number>>;
}

export function programOf({ name, n, environment }: Source): Program {
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

/** Read --program and --n. */
export function readSource(name: string | undefined, n: string | undefined, budgets: string | undefined): Source {
  const names = Object.keys(CATALOGUE).join(", ");
  if (name === undefined) throw new UsageError(`--program NAME is missing; there are ${names}`);
  if (!Object.hasOwn(CATALOGUE, name)) throw new UsageError(`there is no program "${name}"; there are ${names}`);
  const { usual, least, most } = CATALOGUE[name].size;
  return { name, n: wholeNumber(n, "--n", least, most, usual), environment: readBudgets(budgets) };
}
