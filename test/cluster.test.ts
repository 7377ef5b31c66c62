// Does the example of docs/cluster.md run, and print what the page says?
import { readFileSync } from "node:fs";
import * as fs from "@faultline/fs";
import * as mm from "@faultline/mm";
import { expect, test } from "vitest";

const MODULES: Record<string, object> = { "@faultline/fs": fs, "@faultline/mm": mm };
const page = readFileSync(new URL("../docs/cluster.md", import.meta.url), "utf8");
const [, example, said] = /```js\n([\s\S]*?)```\n\nIt prints\n\n```\n([\s\S]*?)```/.exec(page) ?? [];

test("the page's example prints what it says", () => {
  const body = example.replace(/^import (\{.*\}) from ("@faultline\/.*");$/gm, "const $1 = modules[$2];");
  const printed: string[] = [];
  new Function("modules", "console", body)(MODULES, { log: (line: string) => printed.push(line) });
  expect(`${printed.join("\n")}\n`).toBe(said);
});

test("the tests that the page names are there", () => {
  const named = [...page.matchAll(/`(packages\/[\w/.-]+\.ts)`/g)].map(([, path]) => path);
  expect(named.length).toBeGreaterThan(1);
  for (const path of named)
    expect(readFileSync(new URL(`../${path}`, import.meta.url), "utf8").length).toBeGreaterThan(0);
});
