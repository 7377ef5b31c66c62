// The command that makes a run happen again, to be pasted where the user stands.

import type { Io } from "./io.ts";

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
  const budgets = Object.entries(environment).map(([name, budget]) => `${name}=${budget}`);
  const words = ["run", file, "--id", id, "--kernel", kernel, "--schedule", schedule];
  if (budgets.length > 0) words.push("--budget", budgets.join());
  return [io.command, ...words.map(quoted)].join(" ");
}

/** A word as a shell takes it. */
function quoted(word: string): string {
  return /^[\w./:=,+@%-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
