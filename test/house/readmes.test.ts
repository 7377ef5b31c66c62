// Does the example in each package's README run, and print what its comments or the block after it say? Does each
// README name only what the package has? The examples import packages by name, as a user does.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import * as explore from "@faultline/explore";
import * as fs from "@faultline/fs";
import * as kernel from "@faultline/kernel";
import * as mm from "@faultline/mm";
import * as scenario from "@faultline/scenario";
import * as uio from "@faultline/uio";
import { expect, test } from "vitest";

const MODULES: Record<string, object> = {
  "@faultline/kernel": kernel,
  "@faultline/mm": mm,
  "@faultline/uio": uio,
  "@faultline/fs": fs,
  "@faultline/scenario": scenario,
  "@faultline/explore": explore,
};
const packages = new URL("../../packages/", import.meta.url);
const withReadme = readdirSync(packages).filter((name) => existsSync(new URL(`${name}/README.md`, packages)));
const readmeOf = (name: string): string => readFileSync(new URL(`${name}/README.md`, packages), "utf8");

test("every package that can be imported has a README", () => {
  expect(withReadme).toEqual(expect.arrayContaining(Object.keys(MODULES).map((name) => name.split("/")[1])));
});

test.each(withReadme.filter((name) => `@faultline/${name}` in MODULES))("the example of %s", (name) => {
  const [, example, after] = /```[jt]s\n([\s\S]*?)```\n(?:\nprints\n\n```\n([\s\S]*?)```)?/.exec(readmeOf(name)) ?? [];
  const comments = [...example.matchAll(/console\.log.*; \/\/ (.*)$/gm)].map((match) => match[1]);
  const said = after?.trimEnd().split("\n") ?? comments;
  expect(said.length).toBeGreaterThan(0);
  expect(example.trim().split("\n").length).toBeLessThan(25);

  expect(printedBy(example)).toEqual(said);
});

test("what deadlocks in the example of fs completes with the fix", () => {
  const example = /```js\n([\s\S]*?)```/.exec(readmeOf("fs"))?.[1] ?? "";
  expect(printedBy(example.replace('"5.10"', '"6.12"'))).toEqual(["COMPLETED"]);
});

/** Run an example. Returns: the lines that it printed. */
function printedBy(example: string): string[] {
  const printed: string[] = [];
  const script = example
    .replace(/^import (\{[^}]*\}) from ("@faultline\/.*");$/gm, "const $1 = modules[$2];")
    .replace(/(\{[^}]*\}) = modules/g, (all) => all.replaceAll(" as ", ": "));
  expect(script).not.toContain("import ");
  const log = { log: (...values: unknown[]) => printed.push(values.join(" ")) };
  new Function("modules", "console", script)(MODULES, log);
  return printed.join("\n").split("\n");
}

test.each(withReadme.filter((name) => `@faultline/${name}` in MODULES))("%s has what its README names", (name) => {
  const readme = readmeOf(name);
  const names = [...readme.matchAll(/`([a-z]\w*[A-Z]\w*)`/g)].map((match) => match[1]);
  expect(names.length).toBeGreaterThan(0);
  const known = MODULES[`@faultline/${name}`];
  const missing = names.filter((each) => !(each in known) && !readme.includes(`\`${each}\` of`));
  expect(missing).toEqual([]);
});
