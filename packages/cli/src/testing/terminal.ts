// The command as a test calls it: in this process, with everything it says kept.

import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import { main } from "../main.ts";

export interface Said {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** Run `faultline ARGS`. */
export async function faultline(args: readonly string[], input = ""): Promise<Said> {
  const said = { out: "", err: "" };
  const status = await main(args, {
    out: (text) => void (said.out += text),
    err: (text) => void (said.err += text),
    in: () => input,
    isTerminal: false,
    command: "faultline",
    now: () => 0,
    onInterrupt: () => () => {},
  });
  return { status, ...said };
}

/** The command lines that an output offers for pasting, as arguments. */
export function offered(text: string): string[][] {
  const lines = text.split("\n").map((line) => /(?:^|\s)faultline (.*)$/.exec(line)?.[1]);
  return lines.filter((line) => line !== undefined).map(wordsOf);
}

/** As a shell would take the line apart, where it has nothing but words and single quotes. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/(?:'[^']*'|[^\s'])+/g)].map(([word]) => word.replaceAll("'", ""));
}

/** A folder with these files, which goes away when the test ends. */
export function folder(files: Readonly<Record<string, string>>): string {
  const path = mkdtempSync(join(tmpdir(), "faultline cli "));
  onTestFinished(() => rmSync(path, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), text);
  }
  return path;
}

export function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** The stories that come with the command. */
export const STORIES: string = join(import.meta.dirname, "../../../../scenarios/deadlock.jsonl");
