// A run for people: every call with what it gave, the verdict, and the files afterwards.

import type { Gfs2Revision } from "@faultline/fs";
import { verdictReport } from "@faultline/kernel";
import type { Scenario, ScenarioRun } from "@faultline/scenario";
import pc from "picocolors";
import { callsOf, finalText } from "./op-text.ts";

/** Lines without newlines. Ends the tasks of the run: call it once, after everything else. */
export function runReport(scenario: Scenario, kernel: Gfs2Revision, run: ScenarioRun, isColoured: boolean): string[] {
  const { bold, dim, red, green } = pc.createColors(isColoured);
  const { recording, verdict } = run;
  const color = verdict.kind === "completed" ? green : red;
  const [headline, ...story] = verdictReport(verdict);
  return [
    `${bold(scenario.id)} on ${bold(kernel.name)}${scenario.title === "" ? "" : dim(`: ${scenario.title}`)}`,
    "",
    ...callLines(scenario, run, dim),
    ...Object.entries(recording.final ?? {}).map(([name, file]) => dim(`  file ${name}: ${finalText(file)}`)),
    "",
    color(headline),
    ...story,
    ...(story.length > 0 ? [""] : []),
  ];
}

function callLines(scenario: Scenario, { recording }: ScenarioRun, dim: (text: string) => string): string[] {
  const calls = callsOf(scenario, recording);
  const width = Math.min(Math.max(0, ...calls.map(({ text }) => text.length)), 60);
  return calls.flatMap(({ part, text, outcome, faults }, index) => {
    const line = `  ${text.padEnd(width)}  ${outcome}${faults === "" ? "" : dim(`   (${faults})`)}`;
    return part === (calls[index - 1]?.part ?? "") ? [line] : [`  ${part}:`, line];
  });
}
