// faultline compare: one scenario on two revisions, side by side.

import type { Gfs2Revision } from "@faultline/fs";
import { verdictReport } from "@faultline/kernel";
import { compareRecordings, type Difference, runScenario, type Scenario, type ScenarioRun } from "@faultline/scenario";
import { defineCommand } from "citty";
import pc from "picocolors";
import { align, type Pair } from "../align.ts";
import type { Io } from "../io.ts";
import type { Command } from "../main.ts";
import { callsOf } from "../op-text.ts";
import { replayLine } from "../replay-line.ts";
import { readRevision } from "../revisions.ts";
import { pickScenario, readScenarios } from "../scenario-file.ts";
import { type readArgs, UsageError } from "../usage.ts";

const args = {
  file: { type: "positional", required: true, description: "scenarios, one JSON object a line; - for standard input" },
  id: { type: "string", valueHint: "ID", description: "the scenario; not needed where the file holds only one" },
  kernels: { type: "string", valueHint: "A,B", description: "the two revisions, such as 5.10,6.12" },
} as const;

type Args = ReturnType<typeof readArgs<typeof args>>;

export const compare: Command<typeof args> = {
  definition: { ...defineCommand({ meta: { name: "compare", description: "Two revisions side by side" } }), args },
  run: runCompare,
};

type Two<T> = readonly [T, T];

async function runCompare({ file, id, kernels: names }: Args, io: Io): Promise<number> {
  const kernels = readKernels(names);
  const scenario = pickScenario(readScenarios(file, io), id, file);
  const runs = kernels.map((kernel) => runScenario(scenario, { kernel, traced: true })) as unknown as Two<ScenarioRun>;
  const differences = compareRecordings(scenario, runs[0].recording, runs[1].recording);

  const { bold, dim } = pc.createColors(io.isTerminal);
  const say = (lines: readonly string[]): void => io.out(lines.map((line) => `${line.trimEnd()}\n`).join(""));
  const title = scenario.title === "" ? "" : dim(`: ${scenario.title}`);
  say([`${bold(scenario.id)} on ${kernels.map(({ name }) => bold(name)).join(" and ")}${title}`, ""]);
  say(callTable(scenario, kernels, runs));
  for (const difference of eventDifferences(differences)) say(["", ...eventTable(difference, kernels)]);
  const count = new Set(differences.map(({ where }) => where)).size;
  say([
    "",
    count === 0 ? "equal" : `different in ${count} place${count === 1 ? "" : "s"}, first ${differences[0].where}`,
  ]);
  for (const [i, { name: kernel }] of kernels.entries()) {
    const schedule = runs[i].machine.world.scheduleString;
    say([`replay: ${replayLine(io, { file, id: scenario.id, kernel, schedule })}`]);
  }
  return count === 0 ? 0 : 1;
}

function readKernels(text: string | undefined): Two<Gfs2Revision> {
  const names = (text ?? "").split(",");
  if (names.length !== 2)
    throw new UsageError(`--kernels must name two revisions, such as 5.10,6.12, not "${text ?? ""}"`);
  return [readRevision(names[0], "--kernels"), readRevision(names[1], "--kernels")];
}

/** Every call with both results, and the verdicts. */
function callTable(scenario: Scenario, kernels: Two<Gfs2Revision>, [one, other]: Two<ScenarioRun>): string[] {
  const rights = callsOf(scenario, other.recording);
  const rows = callsOf(scenario, one.recording).flatMap(({ part, text, outcome }, i, lefts) => {
    const row = [text, outcome, rights[i].outcome];
    return part === (lefts[i - 1]?.part ?? "") ? [row] : [[`${part}:`, "", ""], row];
  });
  const verdicts = [one, other].map(({ verdict }) => verdictReport(verdict)[0]);
  const table = [["", ...kernels.map(({ name }) => name)], ...rows, ["", ...verdicts]];
  const widths = [0, 1].map((column) => Math.max(...table.map((row) => row[column].length)));
  const differs = ([, left, right]: readonly string[], i: number): boolean => i > 0 && left !== right;
  const first = table.findIndex(differs);
  return table.map((row, i) => {
    const [text, left, right] = row;
    return `${sign(i === first, differs(row, i))} ${text.padEnd(widths[0])}  ${left.padEnd(widths[1])}  ${right}`;
  });
}

/** The eye is to find the first difference at once, and the others when it looks for them. */
function sign(isFirst: boolean, differs: boolean): string {
  if (isFirst) return ">";
  return differs ? "|" : " ";
}

/** The differences of events, each operation once: the memory tier has all events. */
function eventDifferences(differences: readonly Difference[]): Difference[] {
  const unreturned = new Set(differences.filter(({ what }) => what === "return").map(({ where }) => where));
  return differences.filter(({ tier, where, events }) => {
    if (tier !== "memory" || events === undefined) return false;
    // What was never made on one side is not to be told call by call.
    return !unreturned.has(where) || (events.expected.length > 0 && events.actual.length > 0);
  });
}

/** Lines of equal events before and after different ones. */
const CONTEXT = 3;

function eventTable({ where, events }: Difference, kernels: Two<Gfs2Revision>): string[] {
  const pairs = align(events?.expected ?? [], events?.actual ?? []);
  const width = Math.max(kernels[0].name.length, ...pairs.map(({ left }) => (left ?? "").length));
  const differs = ({ left, right }: Pair): boolean => left !== right;
  const first = pairs.findIndex(differs);
  const shown = pairs.map((_, i) => pairs.slice(Math.max(0, i - CONTEXT), i + CONTEXT + 1).some(differs));
  const lines = [`${where}:`, `  ${kernels[0].name.padEnd(width)}   ${kernels[1].name}`];
  let hidden = 0;
  for (const [i, { left, right }] of pairs.entries()) {
    if (!shown[i]) {
      hidden++;
      continue;
    }
    if (hidden > 0) lines.push(`  ... ${hidden} equal`);
    hidden = 0;
    lines.push(`${sign(i === first, left !== right)} ${(left ?? "").padEnd(width)}   ${right ?? ""}`);
  }
  return hidden > 0 ? [...lines, `  ... ${hidden} equal`] : lines;
}
