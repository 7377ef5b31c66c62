// Does the example in the README run, and print what its comments say?
import { readFileSync } from "node:fs";
import * as kernel from "@faultline/kernel";
import { expect, test } from "vitest";
import * as mm from "./index.ts";

const MODULES: Record<string, object> = { "@faultline/kernel": kernel, "@faultline/mm": mm };

test("the README's example", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const example = /```js\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
  const said = [...example.matchAll(/console\.log.*; \/\/ (.*)$/gm)].map((match) => match[1]);
  expect(said.length).toBe(3);

  const printed: string[] = [];
  const script = example.replace(/^import (\{.*\}) from ("@faultline\/.*");$/gm, "const $1 = modules[$2];");
  expect(script).not.toContain("import ");
  const log = { log: (...values: unknown[]) => printed.push(values.join(" ")) };
  new Function("modules", "console", script)(MODULES, log);
  expect(printed).toEqual(said);
});

test("every function that the README names is there", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const names = [...readme.matchAll(/`([a-z]\w*[A-Z]\w*)`/g)].map((match) => match[1]);
  expect(names.length).toBeGreaterThan(30);
  const missing = names.filter((name) => !(name in mm) && !readme.includes(`\`${name}\` of`));
  expect(missing).toEqual([]);
});
