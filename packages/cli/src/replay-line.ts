// The command that makes a run happen again, to be pasted where the user stands.

import type { SearchOptions } from "@faultline/explore";
import type { Io } from "./io.ts";
import type { Source } from "./source.ts";

export interface ReplayOf {
  /** The scenario file, as the user named it. */
  readonly file: string;
  readonly id: string;
  readonly kernel: string;
  readonly schedule: string;
  /** Budgets of the environment's choices that the run had. */
  readonly environment?: Readonly<Record<string, number>>;
}

export function replayLine(io: Io, { file, id, kernel, schedule, environment = {} }: ReplayOf): string {
  return lineOf(io, [
    ...["run", file, "--id", id, "--kernel", kernel, "--schedule", schedule],
    ...budgetWords(environment),
  ]);
}

/** The same for an execution that explore found. */
export function exploreLine(
  io: Io,
  { source, options, file = "" }: { source: Source; options: SearchOptions; file?: string | undefined },
  schedule: string,
): string {
  const program =
    "scenario" in source
      ? [file, "--id", source.scenario.id, "--kernel", source.kernel]
      : ["--program", source.name, "--n", String(source.n)];
  const steps = options.maxSteps === undefined ? [] : ["--steps", String(options.maxSteps)];
  return lineOf(io, ["explore", ...program, ...budgetWords(source.environment), ...steps, "--replay", schedule]);
}

function budgetWords(environment: Readonly<Record<string, number>>): string[] {
  const budgets = Object.entries(environment).map(([name, budget]) => `${name}=${budget}`);
  return budgets.length === 0 ? [] : ["--budget", budgets.join()];
}

function lineOf(io: Io, words: readonly string[]): string {
  return [io.command, ...words.map(quoted)].join(" ");
}

/** A word as a shell takes it. */
function quoted(word: string): string {
  return /^[\w./:=,+@%-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
