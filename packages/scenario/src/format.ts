// The scenario format: what a line of a scenario file may hold. One line, one scenario, as JSON.
//
// Only the shape is checked here. A wrong descriptor or map name is not an error of the file: the recorder
// makes the call all the same, and so do we.

import * as v from "valibot";
import type { Op, Scenario, ScenarioFile } from "./op.ts";

const whole = v.pipe(v.number(), v.safeInteger());
const count = v.pipe(whole, v.minValue(0));
const name = v.pipe(v.string(), v.minLength(1), v.maxLength(31), v.regex(/^[^\s:;,=/]+$/));

/** `[map, off, len]`: where a buffer lies. */
const Buffer = v.strictTuple([v.string(), whole, whole]);
const oneBuffer = v.pipe(v.array(Buffer), v.length(1));
const buffers = v.array(Buffer);
const openFlags = v.array(
  v.picklist([
    "O_RDONLY",
    "O_WRONLY",
    "O_RDWR",
    "O_DIRECT",
    "O_APPEND",
    "O_NONBLOCK",
    "O_DSYNC",
    "O_SYNC",
    "O_CREAT",
    "O_TRUNC",
  ]),
);
const mapFlags = v.array(v.picklist(["private", "shared", "anon", "growsdown", "populate", "noreserve"]));
const rwf = v.array(
  v.picklist([
    "RWF_HIPRI",
    "RWF_DSYNC",
    "RWF_SYNC",
    "RWF_NOWAIT",
    "RWF_APPEND",
    "RWF_NOAPPEND",
    "RWF_ATOMIC",
    "RWF_DONTCACHE",
  ]),
);
const prot = v.picklist(["none", "r", "w", "rw", "x", "rx", "wx", "rwx"]);
const advice = v.picklist([
  "DONTNEED",
  "WILLNEED",
  "RANDOM",
  "SEQUENTIAL",
  "NORMAL",
  "POPULATE_READ",
  "POPULATE_WRITE",
]);
const fallocMode = v.array(v.picklist(["KEEP_SIZE", "PUNCH_HOLE", "COLLAPSE_RANGE", "ZERO_RANGE"]));

const op = <const Name extends string, const Fields extends v.ObjectEntries>(opName: Name, fields: Fields) =>
  v.strictObject({
    op: v.literal(opName),
    ...fields,
    quiet: v.optional(v.boolean()),
    comment: v.optional(v.string()),
  });
const range = { off: whole, len: whole };

const OpSchema: v.GenericSchema<unknown, Op> = v.variant("op", [
  op("open", { fd: name, file: name, flags: openFlags }),
  op("close", { fd: name }),
  op("mmap", { map: name, len: whole, prot, flags: mapFlags, fd: v.optional(name), off: v.optional(whole) }),
  op("munmap", { map: v.string(), ...range }),
  op("mprotect", { map: v.string(), ...range, prot }),
  op("madvise", { map: v.string(), ...range, advice }),
  op("touch", { map: v.string(), ...range, how: v.picklist(["read", "write"]) }),
  op("fill", { map: v.string(), ...range, seed: whole }),
  op("pread", { fd: name, pos: whole, iov: oneBuffer }),
  op("pwrite", { fd: name, pos: whole, iov: oneBuffer }),
  op("read", { fd: name, iov: oneBuffer }),
  op("write", { fd: name, iov: oneBuffer }),
  op("readv", { fd: name, iov: buffers }),
  op("writev", { fd: name, iov: buffers }),
  op("preadv", { fd: name, pos: whole, iov: buffers }),
  op("pwritev", { fd: name, pos: whole, iov: buffers }),
  op("preadv2", { fd: name, pos: whole, iov: buffers, flags: rwf }),
  op("pwritev2", { fd: name, pos: whole, iov: buffers, flags: rwf }),
  op("ftruncate", { fd: name, len: whole }),
  op("fallocate", { fd: name, mode: fallocMode, ...range }),
  op("fsync", { fd: name }),
  op("lseek", { fd: name, off: whole, whence: v.picklist(["SET", "CUR", "END", "HOLE", "DATA"]) }),
  op("dropcache", { fd: name }),
  op("evict", { map: v.string(), ...range }),
  op("mincore", { map: v.string(), ...range }),
  op("pagemap", { map: v.string(), ...range }),
  op("sum", { map: v.optional(v.string()), fd: v.optional(name), ...range }),
  op("stat", { fd: name }),
  op("pipe", { r: name, w: name, size: v.optional(whole), flags: v.optional(v.array(v.picklist(["O_NONBLOCK"]))) }),
  op("fionread", { fd: name }),
  op("fiemap", { fd: name, ...range, iov: oneBuffer }),
  op("copyrange", { fd: name, pos: whole, to: name, topos: whole, len: whole }),
  op("sleep", { ms: count }),
  op("barrier", {}),
]);

const FileSchema: v.GenericSchema<unknown, ScenarioFile> = v.strictObject({
  name,
  size: count,
  seed: v.optional(count, 1),
  holes: v.optional(v.array(v.strictTuple([count, count])), []),
  cached: v.optional(v.boolean(), false),
});

const ScenarioSchema: v.GenericSchema<unknown, Scenario> = v.strictObject({
  id: v.pipe(v.string(), v.minLength(1)),
  title: v.optional(v.string(), ""),
  files: v.optional(v.array(FileSchema), []),
  ops: v.array(OpSchema),
  threads: v.optional(v.array(v.array(OpSchema)), []),
  post: v.optional(v.array(OpSchema), []),
  timeout_ms: v.optional(count),
  risk: v.optional(v.string()),
  racy: v.optional(v.boolean(), false),
  comment: v.optional(v.string()),
});

/** A line that is not a scenario: where, which field, and what would be right. */
export class FormatError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "FormatError";
  }
}

/** Read one line of a file of scenarios; `where` is what the errors call it. Throws FormatError. */
export function parseScenario(line: string, where: string): Scenario {
  return checkScenario(parseJson(line, where), where);
}

function checkScenario(value: unknown, where: string): Scenario {
  const result = v.safeParse(ScenarioSchema, value);
  if (!result.success) throw new FormatError(`${where}: ${describeIssue(value, result.issues[0])}`);
  return result.output;
}

/**
 * Read a file of scenarios.
 *
 * `source`: what the errors call it. Throws FormatError at the first line that is wrong.
 */
export function parseScenarios(text: string, source: string): Scenario[] {
  const scenarios: Scenario[] = [];
  const seen = new Set<string>();
  for (const { value, where } of jsonLines(text, source)) {
    const scenario = checkScenario(value, where);
    if (seen.has(scenario.id)) throw new FormatError(`${where}: id: "${scenario.id}" is used twice`);
    seen.add(scenario.id);
    scenarios.push(scenario);
  }
  if (scenarios.length === 0) throw new FormatError(`${source}: holds no scenario; one JSON object a line is expected`);
  return scenarios;
}

/** The JSON values of a text, one a line; empty lines do not count. Throws FormatError where a line is not JSON. */
export function* jsonLines(text: string, source: string): Generator<{ value: unknown; where: string }, void, void> {
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const where = `${source}:${index + 1}`;
    yield { value: parseJson(line, where), where };
  }
}

/** Throws FormatError when the text is not JSON. */
export function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    // It quotes what it met, which a terminal may take for commands.
    throw new FormatError(`${where}: not JSON: ${error.message.replace(/\p{Cc}/gu, "?")}`);
  }
}

type Issue = v.BaseIssue<unknown>;

/** "ops[2].flags[0]: expected "O_RDWR" | ..., got "O_RDRW"". */
export function describeIssue(value: unknown, issue: Issue): string {
  const path = (issue.path ?? []).map(({ key }) => (typeof key === "number" ? `[${key}]` : `.${String(key)}`)).join("");
  const field = path === "" ? "the line" : path.slice(path.startsWith(".") ? 1 : 0);
  if (issue.type === "variant" && /\.op$/.test(`.${field}`)) return `${field}: there is no operation ${issue.received}`;
  if (value === null || typeof value !== "object" || Array.isArray(value)) return "expected an object";
  if (issue.received === "undefined") return `${field}: is missing`;
  if (issue.expected === "never") return `${field}: there is no such field`;
  return `${field}: expected ${shorten(expectation(issue))}, got ${shorten(issue.received)}`;
}

function expectation({ type, expected, message }: Issue): string {
  if (type === "safe_integer") return "a whole number";
  return type === "custom" || expected === null ? message : expected;
}

function shorten(text: string): string {
  return text.length <= 160 ? text : `${text.slice(0, 157)}...`;
}
