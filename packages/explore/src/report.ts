// A result as a person reads it: lines without newlines.

import type { ExploreResult, Finding, ToldReplay } from "./result.ts";

/** `command`: what to type to see the execution of a schedule again; without it only the schedule is told. */
export function reportLines(result: ExploreResult, command?: (schedule: string) => string): string[] {
  return [
    ...result.findings.flatMap((finding) => [...findingLines(finding, result, command), ""]),
    ...(result.untold > 0 ? [`and ${count(result.untold, "finding")} more`, ""] : []),
    ...lockLines(result),
    ...injectionLines(result),
    ...summaryLines(result),
  ];
}

/** One execution, step by step, and how it ended. */
export function replayLines({ steps, verdict }: ToldReplay): string[] {
  return [...stepLines(steps), "", ...verdictLines(verdict)];
}

function findingLines(
  finding: Finding,
  { executions }: ExploreResult,
  command: ((schedule: string) => string) | undefined,
): string[] {
  const { kind, what, steps, verdict, noReturn, schedule } = finding;
  const lines = [`${kind.toUpperCase()} in ${finding.executions} of ${count(executions, "execution")}: ${what}`];
  lines.push(`  schedule ${schedule}`);
  if (command !== undefined) lines.push(`  replay: ${command(schedule)}`);
  lines.push("", ...stepLines(steps, typeof noReturn === "object" ? noReturn.step : 0));
  lines.push("", ...verdictLines(verdict), "");
  if (noReturn === "doomed") lines.push("  Nothing could have averted it: no schedule ends well.");
  else if (noReturn === "unknown") lines.push("  Whether it could have been averted takes too long to find out.");
  else lines.push(`  Point of no return: step ${noReturn.step}. It would have been averted if ${noReturn.instead}.`);
  return lines;
}

/** `fatal`: the step after which all is lost, from 1; 0 for none. */
function stepLines(steps: Finding["steps"], fatal = 0): string[] {
  const width = Math.max(0, ...steps.map(({ comm }) => comm.length));
  return steps.flatMap(({ comm, deeds, trace }, i) => [
    ...(fatal === i + 1 ? ["        ── before this step it could still end well; after it, it cannot ──"] : []),
    `  ${String(i + 1).padStart(4)}  ${comm.padEnd(width)}  ${deeds.join(", ")}`.trimEnd(),
    ...trace.map((line) => `          ${line.trim()}`),
  ]);
}

function verdictLines(verdict: readonly string[]): string[] {
  return verdict.map((line) => (line === "" ? "" : `  ${line}`));
}

function lockLines({ locks }: ExploreResult): string[] {
  if (locks.length === 0) return [];
  const lines = locks.map(({ cycle, verdict, schedule }) => {
    const ring = [...cycle, cycle[0]].join(" -> ");
    return `  ${ring}: ${verdict}${schedule === null ? "" : ` by ${schedule}`}`;
  });
  return ["Lock order: classes are taken in a cycle", ...lines, ""];
}

function injectionLines({ injections }: ExploreResult): string[] {
  if (injections.length === 0) return [];
  const failed = injections.filter((injection) => injection.failed).length;
  return [`Injection points: ${injections.length} met, ${failed} made to fail`, ""];
}

function summaryLines(result: ExploreResult): string[] {
  const { executions, blocked, deadlocks, findings, untold, complete, surprises, promise } = result;
  const parts = [count(executions, "execution"), `${blocked} blocked`, count(deadlocks, "deadlock")];
  parts.push(count(findings.length + untold, "finding"));
  const lines = [];
  if (surprises > 0) {
    lines.push(
      `${count(surprises, "event")} did not come about as foreseen: ${result.program} shares more than it declares,`,
    );
    lines.push("so something may have been missed.");
  }
  if (promise !== null) lines.push(promise[0].toUpperCase() + promise.slice(1));
  else if (!complete) lines.push("Not everything within the bounds was explored.");
  return [...lines, `${result.program}: ${parts.join(", ")}`];
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}
