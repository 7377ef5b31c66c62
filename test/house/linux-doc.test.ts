// Does docs/linux.md name every exported function that says what it is in Linux, and only files that are there?
// The comments are read with a plain pattern here, and by the compiler's parser in the tool that writes the page.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
const sections = new Map(
  readFileSync(join(root, "docs/linux.md"), "utf8")
    .split(/^## packages\//m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf("\n")), section]),
);

const EXPORTED = /\/\*\*(?:(?!\*\/)[\s\S])*?\bLinux:(?:(?!\*\/)[\s\S])*?\*\/\s*export (?:function\*?|const) (\w+)/g;

/** `file.ts` `name` of every exported function with a `Linux:` line. */
function exported(name: string): string[] {
  const folder = join(root, "packages", name, "src");
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts") && !file.startsWith("testing"))
    .flatMap((file) =>
      [...readFileSync(join(folder, file), "utf8").matchAll(EXPORTED)].map(([, fn]) => `\`${file}\` \`${fn}\``),
    );
}

test("a table for each floor of the model", () => {
  expect([...sections.keys()]).toEqual(["kernel", "mm", "uio", "fs"]);
});

describe.each([...sections])("packages/%s", (name, section) => {
  test("every exported function with a counterpart is there; else run node tools/linux-doc.mjs", () => {
    const functions = exported(name);
    expect(functions.length).toBeGreaterThan(10);
    expect(functions.filter((each) => !section.includes(each))).toEqual([]);
  });

  test("every file is there, and has what the row says", () => {
    const rows = [...section.matchAll(/^\| `.+?` +\| `(\S+\.ts)` `(\S+)`/gm)].map(([, file, fn]) => ({ file, fn }));
    expect(rows.length).toBe((section.match(/^\| /gm)?.length as number) - 2);
    const wrong = rows.filter(({ file, fn }) => {
      const path = join(root, "packages", name, "src", file);
      return !existsSync(path) || !readFileSync(path, "utf8").includes(fn);
    });
    expect(wrong).toEqual([]);
  });
});
