// Do the examples of docs/cluster.md run, and print what the page says?
import { readFileSync } from "node:fs";
import * as fs from "@faultline/fs";
import * as kernel from "@faultline/kernel";
import * as mm from "@faultline/mm";
import { expect, test } from "vitest";

const MODULES: Record<string, object> = { "@faultline/fs": fs, "@faultline/kernel": kernel, "@faultline/mm": mm };
const page = readFileSync(new URL("../docs/cluster.md", import.meta.url), "utf8");
const examples = [...page.matchAll(/```js\n([\s\S]*?)```\n\nIt prints\n\n```\n([\s\S]*?)```/g)];

/** Returns: what an example prints. */
function printedBy(example: string): string {
  const body = example.replace(/^import (\{.*\}) from ("@faultline\/.*");$/gm, "const $1 = modules[$2];");
  const printed: string[] = [];
  new Function("modules", "console", body)(MODULES, { log: (line: string) => printed.push(line) });
  return `${printed.join("\n")}\n`;
}

test("the page's examples print what it says", () => {
  expect(examples.length).toBe(2);
  for (const [, example, said] of examples) expect(printedBy(example)).toBe(said);
});

test("what the page says of the lockless read on other revisions", () => {
  const [, example, pinned] = examples[1];
  const on = (revision: string): string =>
    printedBy(example.replace(/^const kernel = .*$/m, `const kernel = ${revision};`));
  const faulting = "...GFS2_5_10, bufferedRead: GFS2_5_16.bufferedRead";
  expect(on(`{ ${faulting}, referencesPin: true }`)).toBe(pinned);
  expect(on(`{ ${faulting} }`)).toBe("COMPLETED\n");
  expect(on("GFS2_5_10")).toBe(pinned.replace("pages of a", "glock a (PR)"));
  expect(on('"6.12"')).toBe("COMPLETED\n");
  expect(on('{ ...modules["@faultline/fs"].GFS2_6_12, referencesPin: true }')).toBe("COMPLETED\n");
});

test("the tests that the page names are there", () => {
  const named = [...page.matchAll(/`(packages\/[\w/.-]+\.ts)`/g)].map(([, path]) => path);
  expect(named.length).toBeGreaterThan(1);
  for (const path of named)
    expect(readFileSync(new URL(`../${path}`, import.meta.url), "utf8").length).toBeGreaterThan(0);
});
