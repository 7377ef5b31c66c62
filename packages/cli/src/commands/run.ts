// faultline run: scenarios on one revision, told for people or traced for tools.

import type { Gfs2Revision } from "@faultline/fs";
import { PctChooser, parseSchedule, RandomChooser, ReplayChooser, tracePerfetto } from "@faultline/kernel";
import { runScenario, type Scenario, type ScenarioRun } from "@faultline/scenario";
import { defineCommand } from "citty";
import type { Io } from "../io.ts";
import { laneLines, lanesOf } from "../lanes.ts";
import type { Command } from "../main.ts";
import { replayLine } from "../replay-line.ts";
import { readRevision } from "../revisions.ts";
import { runReport } from "../run-report.ts";
import { findScenario, readScenarios } from "../scenario-file.ts";
import { SetUpFirst } from "../set-up-first.ts";
import { operationEvents, traceStory } from "../trace-text.ts";
import { oneOf, type readArgs, readBudgets, UsageError, wholeNumber } from "../usage.ts";

const TRACE_FORMATS = ["none", "text", "lanes", "json", "perfetto"] as const;
type TraceFormat = (typeof TRACE_FORMATS)[number];

const args = {
  file: { type: "positional", required: true, description: "scenarios, one JSON object a line; - for standard input" },
  id: { type: "string", valueHint: "ID", description: "only the scenario of this name" },
  kernel: {
    type: "string",
    valueHint: "REV",
    description: "the revision: 5.10, 6.12, ...; a wrong name lists them all (6.12)",
  },
  seed: { type: "string", valueHint: "N", description: "tasks run in a random order, the same for the same N" },
  pct: { type: "string", valueHint: "D", description: "with --seed: random priorities that change at D - 1 places" },
  schedule: { type: "string", valueHint: "S", description: "the decisions of an earlier run, as its replay line says" },
  budget: { type: "string", valueHint: "NAME=K,...", description: "how often choices of the environment may go wrong" },
  trace: {
    type: "string",
    valueHint: "FORMAT",
    description: "print the trace: text, lanes (threads side by side), json or perfetto",
  },
} as const;

type Args = ReturnType<typeof readArgs<typeof args>>;

export const run: Command<typeof args> = {
  definition: { ...defineCommand({ meta: { name: "run", description: "Run scenarios" } }), args },
  run: runRun,
};

interface Plan {
  readonly file: string;
  readonly kernel: Gfs2Revision;
  readonly environment: Readonly<Record<string, number>>;
  readonly trace: TraceFormat;
  /** A chooser for one run. */
  chooser(): ReplayChooser | SetUpFirst;
}

async function runRun(given: Args, io: Io): Promise<number> {
  const plan = readPlan(given);
  const all = readScenarios(plan.file, io);
  const scenarios = given.id === undefined ? all : [findScenario(all, given.id, plan.file)];
  if (scenarios.length > 1 && (plan.trace === "json" || plan.trace === "perfetto")) {
    throw new UsageError(`--trace ${plan.trace} is for one scenario and ${plan.file} holds ${all.length}; give --id`);
  }
  let findings = 0;
  for (const [index, scenario] of scenarios.entries()) {
    if (index > 0) io.out("\n");
    if (!runOne(scenario, plan, io)) findings++;
  }
  if (scenarios.length > 1) io.out(`\n${scenarios.length} scenarios, ${findings} with a finding\n`);
  return findings === 0 ? 0 : 1;
}

/** Returns: did it complete? */
function runOne(scenario: Scenario, plan: Plan, io: Io): boolean {
  const { file, kernel, environment, trace } = plan;
  const chooser = plan.chooser();
  const result = runScenario(scenario, { kernel, chooser, environment, traced: trace !== "none" });
  // A trace for a tool is alone on the standard output.
  const tell = trace === "json" || trace === "perfetto" ? io.err : io.out;
  printTrace(scenario, result, trace, io);
  const schedule = result.machine.world.scheduleString;
  tell(`${runReport(scenario, kernel, result, io.isTerminal).join("\n")}\n`);
  if (chooser instanceof ReplayChooser && chooser.divergence !== null) {
    tell(`the schedule is of another run: ${chooser.divergence}\n`);
  }
  tell(`replay: ${replayLine(io, { file, id: scenario.id, kernel: kernel.name, schedule, environment })}\n`);
  return result.verdict.kind === "completed";
}

function printTrace(scenario: Scenario, result: ScenarioRun, trace: TraceFormat, io: Io): void {
  switch (trace) {
    case "none":
      return;
    case "text":
      for (const line of traceStory(scenario, result)) io.out(line);
      io.out("\n");
      return;
    case "lanes":
      if (scenario.threads.length === 0)
        throw new UsageError(`--trace lanes shows threads, and ${scenario.id} has none`);
      io.out(`${laneLines(lanesOf(scenario, result), String).join("\n")}\n\n`);
      return;
    case "json":
      for (const event of operationEvents(result)) io.out(`${JSON.stringify(event)}\n`);
      return;
    case "perfetto": {
      const { comms, labels } = result.machine.world;
      const names = { ino: result.names.inodes, task: comms ?? new Map(), lock: labels ?? new Map() };
      for (const piece of tracePerfetto(operationEvents(result), names)) io.out(piece);
    }
  }
}

function readPlan(given: Args): Plan {
  const { seed, pct, schedule } = given;
  if (schedule !== undefined && seed !== undefined) {
    throw new UsageError("--seed and --schedule are two ways to say who runs when; give one of them");
  }
  if (pct !== undefined && seed === undefined) throw new UsageError("--pct needs a --seed to begin with");
  return {
    file: given.file,
    kernel: readRevision(given.kernel ?? "6.12"),
    environment: readBudgets(given.budget),
    trace: oneOf(given.trace, "--trace", TRACE_FORMATS, "none"),
    chooser: readChooser(given),
  };
}

function readChooser({ seed: seedText, pct, schedule }: Args): Plan["chooser"] {
  const seed = wholeNumber(seedText, "--seed", 0, Number.MAX_SAFE_INTEGER, null);
  if (seed === null) {
    const parsed = readSchedule(schedule ?? "c");
    return () => new ReplayChooser(parsed);
  }
  const depth = wholeNumber(pct, "--pct", 1, 100, null);
  if (depth === null) return () => new SetUpFirst(new RandomChooser(seed));
  return () => new SetUpFirst(new PctChooser({ seed, depth, decisions: PCT_DECISIONS }));
}

/** Scheduling decisions of a usual scenario with threads, among which PCT places its changes. */
const PCT_DECISIONS = 200;

function readSchedule(text: string): ReturnType<typeof parseSchedule> {
  try {
    return parseSchedule(text);
  } catch (error) {
    throw new UsageError(`--schedule: ${(error as Error).message}`);
  }
}
