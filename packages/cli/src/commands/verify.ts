// faultline verify: check a certificate that explore wrote, by other means.

import { type Certificate, verify as check } from "@faultline/explore";
import { parseScenarios } from "@faultline/scenario";
import { defineCommand } from "citty";
import { readJson } from "../checkpoint.ts";
import type { Io } from "../io.ts";
import type { Command } from "../main.ts";
import { Progress } from "../progress.ts";
import { type BuiltIn, type OfScenario, programOf, type Source } from "../source.ts";
import { type readArgs, UsageError } from "../usage.ts";

const args = {
  cert: { type: "positional", required: true, description: "a certificate, as `explore --certificate FILE` writes it" },
  json: { type: "boolean", description: "print the result as one line of JSON" },
} as const;

type Args = ReturnType<typeof readArgs<typeof args>>;

export const verify: Command<typeof args> = {
  definition: { ...defineCommand({ meta: { name: "verify", description: "Check a certificate of explore" } }), args },
  run: runVerify,
};

async function runVerify({ cert, json }: Args, io: Io): Promise<number> {
  const certificate = readJson(cert, "certificate") as Certificate;
  const progress = new Progress(io);
  const program = programOf(readProgram(cert, certificate.source));
  let seen = 0;
  const result = check(program, certificate, (checked) => {
    seen = checked;
    progress.tell(checked, null, checked / certificate.frontier.length);
  });
  const seconds = Number(progress.seconds.toFixed(4));
  if (json === true) {
    io.out(`${JSON.stringify({ program: certificate.program, ...result, checked: seen, seconds })}\n`);
  } else {
    io.out(`${result.isConfirmed ? "CONFIRMED" : "REFUTED"}: ${result.why}\n`);
    if (result.schedule !== null) io.out(`  schedule ${result.schedule}\n`);
  }
  return result.isConfirmed ? 0 : 1;
}

function readProgram(path: string, source: unknown): Source {
  const { name, n, scenario, kernel, environment } = (source ?? {}) as Partial<BuiltIn & OfScenario>;
  const isBuiltIn = typeof name === "string" && typeof n === "number";
  const isScenario = typeof scenario === "object" && typeof kernel === "string";
  if ((!isBuiltIn && !isScenario) || typeof environment !== "object") {
    throw new UsageError(`${path} does not name a program in its "source"; make it anew with explore --certificate`);
  }
  if (isBuiltIn) return { name, n, environment };
  const [checked] = parseScenarios(JSON.stringify(scenario), `${path}, its scenario`);
  return { scenario: checked, kernel: String(kernel), environment };
}
