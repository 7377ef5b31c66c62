// Wrong usage is told in one line: what is wrong, where, and what would be right.

import { parseArgs as parseStrictly } from "node:util";
import { type ArgsDef, type ParsedArgs, parseArgs } from "citty";

/** The user asked for something that cannot be done. Ends the command with exit status 2. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}

/** Read the arguments of a command; what the command does not know is an error. */
export function readArgs<T extends ArgsDef>(
  command: string,
  rawArgs: readonly string[],
  definitions: T,
): ParsedArgs<T> {
  const help = `see \`faultline ${command} --help\``;
  const options = Object.fromEntries(
    Object.entries(definitions)
      .filter(([, { type }]) => type !== "positional")
      .map(([name, { type }]) => [name, { type: type === "boolean" ? ("boolean" as const) : ("string" as const) }]),
  );
  const positionals = Object.entries(definitions).filter(([, { type }]) => type === "positional");
  let given: ReturnType<typeof parseStrictly>;
  try {
    given = parseStrictly({ args: [...rawArgs], options, allowPositionals: true, allowNegative: true, strict: true });
  } catch (error) {
    throw new UsageError(`${reason(error, rawArgs)}; ${help}`);
  }
  const extra = given.positionals[positionals.length];
  if (extra !== undefined) throw new UsageError(`"${extra}" is one argument too many; ${help}`);
  const missing = positionals.slice(given.positionals.length).find(([, { required }]) => required !== false);
  if (missing !== undefined) throw new UsageError(`${missing[0].toUpperCase()} is missing; ${help}`);
  return parseArgs<T>([...rawArgs], definitions);
}

/** node:util's messages explain themselves at length: keep the first sentence. */
function reason(error: unknown, rawArgs: readonly string[]): string {
  const { code, message } = error as { code?: string; message: string };
  if (code === "ERR_PARSE_ARGS_UNKNOWN_OPTION") {
    const name = /'(-[^']*)'/.exec(message)?.[1] ?? rawArgs.find((arg) => arg.startsWith("-")) ?? "";
    return `there is no option ${name}`;
  }
  const ambiguous = /^Option '(-[^ ']*).*' argument is ambiguous/.exec(message)?.[1];
  if (ambiguous !== undefined)
    return `${ambiguous} needs a value; write ${ambiguous}=-1 for one that begins with a dash`;
  return message
    .split(/[.\n]/)[0]
    .replaceAll("'", "")
    .replace(/^Option /, "");
}

/** A whole number given as an option. Returns: `usual` when it is not given. */
export function wholeNumber<T>(
  text: string | undefined,
  option: string,
  least: number,
  most: number,
  usual: T,
): number | T {
  if (text === undefined) return usual;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  const range = most === Number.MAX_SAFE_INTEGER ? `of ${least} or more` : `from ${least} to ${most}`;
  throw new UsageError(`${option} must be a whole number ${range}, not "${text}"`);
}

/** One of a few words. Returns: `usual` when it is not given. */
export function oneOf<W extends string>(text: string | undefined, option: string, words: readonly W[], usual: W): W {
  if (text === undefined) return usual;
  const word = words.find((each) => each === text);
  if (word === undefined) throw new UsageError(`${option} must be one of ${words.join(", ")}, not "${text}"`);
  return word;
}

/** How often choices of the environment may go wrong: `evict=2,disk-error=1`. */
export function readBudgets(text: string | undefined): Record<string, number> {
  const budgets: Record<string, number> = {};
  for (const part of text === undefined || text === "" ? [] : text.split(",")) {
    const match = /^([a-z][a-z0-9-]*)=(\d{1,6})$/.exec(part);
    if (match === null) throw new UsageError(`--budget must look like evict=2,disk-error=1, and "${part}" does not`);
    budgets[match[1]] = Number(match[2]);
  }
  return budgets;
}
