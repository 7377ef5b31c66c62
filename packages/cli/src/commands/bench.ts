// faultline bench: how fast it is, as ratios within one run.

import { defineCommand } from "citty";
import Table from "cli-table3";
import pc from "picocolors";
import { allWorkloads } from "../bench/catalogue.ts";
import { measure, type Row } from "../bench/measure.ts";
import type { Workload } from "../bench/workload.ts";
import type { Io } from "../io.ts";
import type { Command } from "../main.ts";
import { type readArgs, UsageError } from "../usage.ts";

const args = {
  only: { type: "string", valueHint: "REGEXP", description: "only the rows whose names match" },
  json: { type: "boolean", description: "print the rows as one line of JSON" },
} as const;

type Args = ReturnType<typeof readArgs<typeof args>>;

export const bench: Command<typeof args> = {
  definition: {
    ...defineCommand({
      meta: {
        name: "bench",
        description:
          "Measure ratios within one run: ours / theirs, or ours / a goal; exits 0 also when a goal is missed",
      },
    }),
    args,
  },
  run: runBench,
};

async function runBench({ only, json }: Args, io: Io): Promise<number> {
  const workloads = matching(allWorkloads(), only);
  const count = workloads.length;
  const rows: Row[] = [];
  // What is measured is forgotten: a large heap would slow down those that follow.
  for (let workload = workloads.shift(); workload !== undefined; workload = workloads.shift()) {
    if (io.isTerminal && json !== true) io.err(`\r\x1b[K${rows.length + 1}/${count} ${workload.name}`);
    // Others want to be heard, too: Ctrl-C for one.
    await new Promise((resolve) => setImmediate(resolve));
    rows.push(measure(workload, () => io.now()));
  }
  if (io.isTerminal && json !== true) io.err("\r\x1b[K");
  io.out(json === true ? `${JSON.stringify({ rows: rows.map(rounded) })}\n` : table(rows, io));
  // How fast a machine is that does other things as well is no verdict.
  return 0;
}

function matching(workloads: Workload[], only: string | undefined): Workload[] {
  if (only === undefined) return workloads;
  let pattern: RegExp;
  try {
    pattern = new RegExp(only, "i");
  } catch {
    throw new UsageError(`--only must be a regular expression, and "${only}" is none`);
  }
  const matched = workloads.filter(({ name }) => pattern.test(name));
  if (matched.length > 0) return matched;
  throw new UsageError(`no row matches "${only}"; there are ${workloads.map(({ name }) => name).join("; ")}`);
}

function rounded(row: Row): Row {
  const digits = (value: number): number => Number(value.toPrecision(4));
  return { ...row, ratio: digits(row.ratio), ours_ns: digits(row.ours_ns), theirs_ns: digits(row.theirs_ns) };
}

function table(rows: readonly Row[], io: Io): string {
  const { green, red, bold } = pc.createColors(io.isTerminal);
  const plain = new Table({
    head: ["ours / theirs", "ours", "theirs", "ratio", "goal", ""].map((title) => bold(title)),
    style: { head: [], border: [], compact: true },
    colAligns: ["left", "right", "right", "right", "right", "left"],
    chars: NO_LINES,
  });
  for (const { name, ratio, ours_ns, theirs_ns, unit, goal, passed, wrong } of rows) {
    plain.push([
      name,
      amount(ours_ns, unit),
      amount(theirs_ns, unit),
      ratio.toFixed(2),
      `<= ${goal}`,
      passed ? green("ok") : red(`MISSED ${wrong}`.trim()),
    ]);
  }
  const missed = rows.filter(({ passed }) => !passed).length;
  const lines = plain.toString().split("\n");
  const sum = `${rows.length - missed} of ${rows.length} goals reached`;
  return `${[...lines.map((line) => line.trimEnd()), "", sum].join("\n")}\n`;
}

const NO_LINES = Object.fromEntries(
  ["top", "bottom", "left", "right", "mid"]
    .flatMap((side) => [side, `${side}-mid`, `${side}-left`, `${side}-right`, "mid-mid"])
    .concat("middle")
    .map((place) => [place, ""]),
);

/** Three digits and a unit that suits them. */
function amount(value: number, unit: string): string {
  if (unit !== "ns") return `${Math.round(value * 100) / 100} ${unit}`;
  const step = [
    { size: 1e6, unit: "ms" },
    { size: 1e3, unit: "us" },
  ].find(({ size }) => value >= size) ?? { size: 1, unit: "ns" };
  return `${(value / step.size).toPrecision(3)} ${step.unit}`;
}
