// A run for people: every call with what it gave, the verdict, and the files afterwards.

import type { Gfs2Revision } from "@faultline/fs";
import { verdictReport } from "@faultline/kernel";
import type { Op, OpResult, Scenario, ScenarioRun } from "@faultline/scenario";
import pc from "picocolors";
import { faultsText, finalText, opText, resultText } from "./op-text.ts";

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

interface Call {
  readonly op: Op;
  readonly result: OpResult | undefined;
}

function callLines({ ops, threads, post }: Scenario, { recording }: ScenarioRun, dim: (text: string) => string) {
  const groups = [
    { title: "", calls: callsOf(ops, recording.results) },
    ...threads.map((list, thread) => ({
      title: `thread ${thread}:`,
      calls: callsOf(list, recording.threads?.[thread] ?? []),
    })),
    { title: post.length > 0 ? "afterwards:" : "", calls: callsOf(post, recording.post ?? []) },
  ];
  const texts = groups.flatMap(({ calls }) => calls.map(({ op }) => opText(op).length));
  const width = Math.min(Math.max(0, ...texts), 60);
  return groups.flatMap(({ title, calls }) => {
    // The first call without a result was made and never returned; those after it were never made.
    const stuck = calls.findIndex(({ result }) => result === undefined);
    const lines = calls.map(({ op, result }, index) => {
      const call = `  ${opText(op).padEnd(width)} `;
      if (result === undefined) return index === stuck ? `${call} never returns` : dim(`${call} is never made`);
      const faults = faultsText(result);
      return `${call} = ${resultText(result)}${faults === "" ? "" : dim(`   (${faults})`)}`;
    });
    return title === "" ? lines : [`  ${title}`, ...lines];
  });
}

function callsOf(ops: readonly Op[], results: readonly OpResult[]): Call[] {
  return ops.map((op, index) => ({ op, result: results[index] }));
}
