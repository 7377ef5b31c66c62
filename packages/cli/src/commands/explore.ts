// faultline explore: every schedule of a program within bounds.

import { writeFileSync } from "node:fs";
import {
  CATALOGUE,
  certify,
  conclude,
  type ExploreResult,
  replayLines,
  reportLines,
  type SearchOptions,
  tellReplay,
} from "@faultline/explore";
import { parseSchedule, type Schedule } from "@faultline/kernel";
import { defineCommand } from "citty";
import { readCheckpoint, writeCheckpoint } from "../checkpoint.ts";
import { conduct, type Plan } from "../conduct.ts";
import type { Io } from "../io.ts";
import type { Command } from "../main.ts";
import { exploreLine } from "../replay-line.ts";
import { programOf, readBuiltIn, readOfScenario, type Source } from "../source.ts";
import { oneOf, type readArgs, readBudgets, UsageError, wholeNumber } from "../usage.ts";

const { MAX_SAFE_INTEGER } = Number;

const args = {
  file: {
    type: "positional",
    required: false,
    description: "scenarios, one JSON object a line; - for standard input; or no file, and --program",
  },
  id: { type: "string", valueHint: "ID", description: "the scenario of this name" },
  kernel: {
    type: "string",
    valueHint: "REV",
    description: "the revision: 5.10, 6.12, ...; a wrong name lists them all",
  },
  program: { type: "string", valueHint: "NAME", description: "a built-in program; without a name they are listed" },
  n: { type: "string", valueHint: "N", description: "its number of tasks" },
  mode: {
    type: "string",
    valueHint: "MODE",
    description: "all schedules (all), each injection point failing once (fail-nth), or at random (random, pct)",
  },
  preemptions: { type: "string", valueHint: "K", description: "only schedules with at most K preemptions" },
  delays: { type: "string", valueHint: "K", description: "only schedules with at most K delays" },
  budget: { type: "string", valueHint: "NAME=K,...", description: "how often choices of the environment may go wrong" },
  steps: { type: "string", valueHint: "N", description: "steps after which an execution is a finding" },
  time: { type: "string", valueHint: "SECONDS", description: "stop after so much time, unfinished" },
  executions: { type: "string", valueHint: "N", description: "stop after so many executions, unfinished" },
  reduction: {
    type: "boolean",
    default: true,
    description: "one execution for each trace",
    negativeDescription: "one for each schedule",
  },
  runs: { type: "string", valueHint: "N", description: "random, pct: how many runs (1000)" },
  seed: { type: "string", valueHint: "N", description: "random, pct: the first seed (1)" },
  depth: { type: "string", valueHint: "D", description: "pct: ordering constraints that a bug may need (3)" },
  workers: { type: "string", valueHint: "N", description: "threads (1)" },
  shard: { type: "string", valueHint: "I/N", description: "only part I of N; the counts of all parts add up" },
  avoid: { type: "string", valueHint: "PID.NTH,...", description: "do not cut the search at these events" },
  checkpoint: {
    type: "string",
    valueHint: "FILE",
    description: "write there how far it is, now and then and when interrupted",
  },
  resume: { type: "string", valueHint: "FILE", description: "go on from a checkpoint" },
  certificate: { type: "string", valueHint: "FILE", description: "write there a certificate when nothing is found" },
  replay: { type: "string", valueHint: "S", description: "tell one execution, by the schedule that a finding gives" },
  json: { type: "boolean", description: "print the result as one line of JSON" },
} as const;

type Args = ReturnType<typeof readArgs<typeof args>>;

export const explore: Command<typeof args> = {
  definition: {
    ...defineCommand({ meta: { name: "explore", description: "Explore every schedule within bounds" } }),
    args,
  },
  run: runExplore,
};

async function runExplore(given: Args, io: Io): Promise<number> {
  if (given.replay !== undefined) return runReplay(given, given.replay, io);
  const plan = readPlan(given, io);
  const { source, options } = plan;
  const { tally, complete, promise, seconds } = await conduct(plan, io);
  const program = programOf(source);
  const result = conclude(program, tally, { ...options, complete, promise });
  const certificate =
    given.certificate === undefined ? null : certify(program, tally, { ...options, complete, source });
  if (certificate !== null && typeof certificate !== "string") {
    writeFileSync(given.certificate as string, `${JSON.stringify(certificate)}\n`);
  }
  if (given.json === true) io.out(`${JSON.stringify(summary(result, plan, seconds))}\n`);
  else io.out(text(result, seconds, (schedule) => exploreLine(io, { ...plan, file: given.file }, schedule)));
  if (certificate !== null) {
    const written = `certificate written to ${given.certificate}`;
    io.err(typeof certificate === "string" ? `no certificate: ${certificate}\n` : `${written}\n`);
  }
  const isProven = complete && result.findings.length === 0 && typeof certificate !== "string";
  return isProven ? 0 : 1;
}

function text(result: ExploreResult, seconds: number, command: (schedule: string) => string): string {
  return `${[...reportLines(result, command), `${seconds.toFixed(2)} s`].join("\n")}\n`;
}

/** Tell one execution. */
function runReplay(given: Args, text: string, io: Io): number {
  const { maxSteps } = readOptions(given);
  const other = (["mode", "shard", "checkpoint", "resume", "certificate", "workers"] as const).find(
    (name) => given[name] !== undefined,
  );
  if (other !== undefined) throw new UsageError(`--${other} does not go together with --replay; leave one out`);
  const program = programOf(readSource(given, io));
  const told = tellReplay(program, readSchedule(text), maxSteps === undefined ? {} : { maxSteps });
  if (given.json === true) io.out(`${JSON.stringify({ program: program.name, schedule: text, ...told })}\n`);
  else io.out(`${replayLines(told).join("\n")}\n`);
  return told.fault === null ? 0 : 1;
}

function readSchedule(text: string): Schedule {
  try {
    const schedule = parseSchedule(text);
    if (schedule.preemptive) return schedule;
  } catch {
    // Told below, in words of the command line.
  }
  throw new UsageError(`--replay must be a schedule as a finding gives it, p0x3.1 for one, not "${text}"`);
}

function summary(result: ExploreResult, { source, options, shard }: Plan, seconds: number): Record<string, unknown> {
  const { program, executions, blocked, deadlocks, ...rest } = result;
  const whole = shard === null ? {} : { shard: `${shard.i}/${shard.n}` };
  return {
    program,
    ...("n" in source ? { n: source.n } : { kernel: source.kernel }),
    executions,
    blocked,
    deadlocks,
    seconds: Number(seconds.toFixed(4)),
    ...whole,
    bounds: { ...options, environment: source.environment },
    ...rest,
  };
}

function readPlan(given: Args, io: Io): Plan {
  const source = readSource(given, io);
  const options = readOptions(given);
  const workers = wholeNumber(given.workers, "--workers", 1, 256, 1);
  const shard = readShard(given.shard);
  const isPlain = options.preemptions !== undefined || options.delays !== undefined || options.reduction === false;
  const isRandom = options.mode === "random" || options.mode === "pct";
  if (isPlain || isRandom) {
    const why = isRandom ? `--mode ${options.mode}` : "--preemptions, --delays and --no-reduction";
    for (const name of ["shard", "checkpoint", "resume", "certificate"] as const) {
      if (given[name] !== undefined) throw new UsageError(`--${name} does not go together with ${why}; leave one out`);
    }
    if (workers > 1) throw new UsageError(`--workers does not go together with ${why}; leave one out`);
  }
  if (shard !== null) {
    for (const name of ["checkpoint", "resume", "certificate"] as const) {
      if (given[name] !== undefined) throw new UsageError(`--${name} does not go together with --shard; leave one out`);
    }
  }
  const path = given.checkpoint ?? given.resume;
  return {
    source,
    options,
    workers,
    shard,
    seconds: wholeNumber(given.time, "--time", 1, MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY),
    executions: wholeNumber(given.executions, "--executions", 1, MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY),
    avoid: readAvoid(given.avoid),
    from: given.resume === undefined ? null : readCheckpoint(given.resume, source, options),
    putDown:
      path === undefined
        ? null
        : (state) => writeCheckpoint(path, { faultline: "checkpoint", version: 1, source, options, ...state }),
  };
}

function readSource({ file, program, n, id, kernel, budget }: Args, io: Io): Source {
  const environment = readBudgets(budget);
  if (program !== undefined) {
    const extra = { FILE: file, "--id": id, "--kernel": kernel };
    const given = Object.entries(extra).find(([, value]) => value !== undefined);
    if (given !== undefined) throw new UsageError(`${given[0]} is for scenarios and --program is not; leave one out`);
    return readBuiltIn(program, n, environment);
  }
  if (file === undefined) {
    const names = Object.keys(CATALOGUE).join(", ");
    throw new UsageError(`give a FILE of scenarios, or --program NAME; there are ${names}`);
  }
  if (n !== undefined) throw new UsageError("--n is the size of a --program, and a scenario has none; leave it out");
  return readOfScenario(file, id, kernel, environment, io);
}

function readOptions(given: Args): SearchOptions {
  const mode = oneOf(given.mode, "--mode", ["all", "fail-nth", "random", "pct"], "all");
  const numbers = {
    preemptions: wholeNumber(given.preemptions, "--preemptions", 0, 1000, undefined),
    delays: wholeNumber(given.delays, "--delays", 0, 1000, undefined),
    maxSteps: wholeNumber(given.steps, "--steps", 1, MAX_SAFE_INTEGER, undefined),
    runs: wholeNumber(given.runs, "--runs", 1, MAX_SAFE_INTEGER, undefined),
    seed: wholeNumber(given.seed, "--seed", 0, MAX_SAFE_INTEGER, undefined),
    depth: wholeNumber(given.depth, "--depth", 1, 100, undefined),
  };
  if (numbers.preemptions !== undefined && numbers.delays !== undefined) {
    throw new UsageError("--preemptions and --delays are two ways to bound the same; give one of them");
  }
  const known = Object.fromEntries(Object.entries(numbers).filter(([, value]) => value !== undefined));
  return {
    ...(mode === "all" ? {} : { mode }),
    ...known,
    ...(given.reduction === false ? { reduction: false } : {}),
    ...(given.certificate === undefined ? {} : { keepSchedules: true }),
  };
}

function readShard(text: string | undefined): Plan["shard"] {
  if (text === undefined) return null;
  const match = /^(\d{1,6})\/(\d{1,6})$/.exec(text);
  const [i, n] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || i < 1 || i > n) throw new UsageError(`--shard must look like 2/5, part 2 of 5, not "${text}"`);
  return { i, n };
}

function readAvoid(text: string | undefined): Plan["avoid"] {
  return (text ?? "").split(",").flatMap((part) => {
    if (part === "") return [];
    const match = /^(\d{1,6})\.(\d{1,9})$/.exec(part);
    if (match === null) throw new UsageError(`--avoid must look like 3.2,4.1, not "${text}"`);
    return [{ pid: Number(match[1]), nth: Number(match[2]) }];
  });
}
