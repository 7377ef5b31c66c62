// Does the example in the README run, and print what the README says? Are its functions there?
import { readFileSync } from "node:fs";
import * as kernel from "@faultline/kernel";
import * as mm from "@faultline/mm";
import { expect, test } from "vitest";
import * as fs from "./index.ts";

const MODULES: Record<string, object> = { "@faultline/kernel": kernel, "@faultline/mm": mm, "@faultline/fs": fs };
const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const [, example, , said] = /```js\n([\s\S]*?)```\n\n(.*)\n\n```\n([\s\S]*?)```/.exec(readme) ?? [];

/** Run the example. Returns: what it printed. */
function run(script: string): string {
  const body = script.replace(/^import (\{.*\}) from ("@faultline\/.*");$/gm, "const $1 = modules[$2];");
  expect(body).not.toContain("import ");
  const printed: string[] = [];
  new Function("modules", "console", body)(MODULES, { log: (text: string) => printed.push(text) });
  return printed.join("\n");
}

test("the README's example is a deadlock report", () => {
  expect(`${run(example)}\n`).toBe(said);
});

test("and there is none with the fix", () => {
  expect(run(example.replace("5.10", "6.12"))).toBe("COMPLETED");
});

test("every function that the README names is there", () => {
  const names = [...readme.matchAll(/`([a-z]\w*[A-Z]\w*)`/g)].map((match) => match[1]);
  expect(names.length).toBeGreaterThan(20);
  expect(names.filter((name) => !(name in fs))).toEqual([]);
});
