// Finds the command, runs it, and turns whatever happens into output and an exit status:
//
//   0  as expected
//   1  a finding or a difference
//   2  wrong usage, or input that cannot be read: one line on stderr

import { stripVTControlCharacters } from "node:util";
import { type ArgsDef, type CommandDef, renderUsage } from "citty";
import type { Io } from "./io.ts";
import { readArgs, UsageError } from "./usage.ts";

/** A command: what citty needs for its help, and what runs it. */
export interface Command<T extends ArgsDef = ArgsDef> {
  readonly definition: CommandDef<T> & { readonly args: T };
  /** Returns: the exit status. */
  run(args: ReturnType<typeof readArgs<T>>, io: Io): Promise<number>;
}

interface Entry {
  readonly about: string;
  load(): Promise<Command>;
}

const COMMANDS: Readonly<Record<string, Entry>> = {
  demo: {
    about: "the story in a minute: the deadlock, its cure, and how much of it is as on real kernels",
    load: async () => (await import("./commands/demo.ts")).demo as unknown as Command,
  },
  run: {
    about: "run scenarios: results, verdict, trace, and a line that replays it",
    load: async () => (await import("./commands/run.ts")).run as unknown as Command,
  },
  conform: {
    about: "replay recordings of real kernels and tell what differs",
    load: async () => (await import("./commands/conform.ts")).conform as unknown as Command,
  },
  bench: {
    about: "measure how fast it is, as ratios in one run",
    load: async () => (await import("./commands/bench.ts")).bench as unknown as Command,
  },
  compare: {
    about: "one scenario on two revisions, side by side",
    load: async () => (await import("./commands/compare.ts")).compare as unknown as Command,
  },
  explore: {
    about: "explore every schedule of a program within bounds",
    load: async () => (await import("./commands/explore.ts")).explore as unknown as Command,
  },
  verify: {
    about: "check a certificate that explore wrote",
    load: async () => (await import("./commands/verify.ts")).verify as unknown as Command,
  },
};

export async function main(argv: readonly string[], io: Io): Promise<number> {
  const [name, ...rawArgs] = argv;
  try {
    if (name === undefined || name === "--help" || name === "-h" || name === "help") {
      io.out(overview());
      return 0;
    }
    if (!Object.hasOwn(COMMANDS, name)) {
      throw new UsageError(`there is no command "${name}"; there are ${Object.keys(COMMANDS).join(", ")}`);
    }
    const command = await COMMANDS[name].load();
    if (rawArgs.includes("--help") || rawArgs.includes("-h")) {
      io.out(await help(command, io));
      return 0;
    }
    return await command.run(readArgs(name, rawArgs, command.definition.args), io);
  } catch (error) {
    const where = name !== undefined && Object.hasOwn(COMMANDS, name) ? `faultline ${name}` : "faultline";
    const [message] = (error instanceof Error ? error.message : String(error)).split("\n");
    io.err(`${where}: ${saysItAll(error) ? "" : "cannot go on: "}${message}\n`);
    return 2;
  }
}

/** Is the message written for the user? Scenario files are read by a package that not every command loads. */
function saysItAll(error: unknown): boolean {
  return error instanceof UsageError || (error instanceof Error && error.name === "FormatError");
}

function overview(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  const lines = Object.entries(COMMANDS).map(([name, { about }]) => `  ${name.padEnd(width)}  ${about}`);
  return [
    "faultline: read() and write() against user memory that is not there, on every schedule",
    "",
    "Usage: faultline COMMAND [options]",
    "",
    ...lines,
    "",
    "`faultline COMMAND --help` tells the options of a command.",
    "",
  ].join("\n");
}

async function help({ definition }: Command, io: Io): Promise<string> {
  const text = `${await renderUsage(definition, { meta: { name: "faultline" } })}\n`;
  const plain = io.isTerminal ? text : stripVTControlCharacters(text);
  return plain.replace(/ +$/gm, "");
}
