// Does the test command stop at what is wrong, say so plainly, and close with one line? Each case is a small
// repository with this one's tools in it.
import { join } from "node:path";
import { expect, test } from "vitest";
import { type FixtureTree, fixtureTree } from "./fixture-tree.ts";

function repository(files: Readonly<Record<string, string>>): FixtureTree {
  const tree = fixtureTree(files);
  tree.copy("tools", "package.json", "biome.json", "tsconfig.json", "vitest.config.ts", ".gitignore");
  tree.install("@biomejs", "typescript", "vitest", "@types/node", "tsup");
  return tree;
}

const check = (tree: FixtureTree, ...names: string[]) => tree.run(join(tree.path, "tools/check.mjs"), ...names);

test("a file that is not formatted stops the command before anything else runs", () => {
  const { status, lines } = check(repository({ "test/crooked.ts": "export const  one :number=1\n" }));
  expect(status).toBe(1);
  expect(lines[0]).toMatch(/^check format: .* FAILED, \d+\.\d s$/);
  expect(lines.join("\n")).toContain("crooked.ts");
  expect(lines.at(-1)).toBe('faultline: the check "format" failed; the rest did not run. Again: npm test -- format');
  expect(lines.filter((line) => line.startsWith("check ")).length).toBe(1);
});

test("a check that fails lets the one beside it end, and no other begins", () => {
  const tree = repository({ "test/address.ts": `export const at = "${"https:"}//somewhere.example";\n` });
  const { status, lines } = check(tree, "text", "model", "types");
  expect(status).toBe(1);
  expect(lines.filter((line) => line.startsWith("check ")).map((line) => line.split(":")[0])).toEqual(
    expect.arrayContaining(["check text", "check model"]),
  );
  expect(lines.join("\n")).not.toContain("check types");
  expect(lines.at(-1)).toBe('faultline: the check "text" failed; the rest did not run. Again: npm test -- text');
});

test("what must not compile and does is an error, like what must compile and does not", () => {
  const pinned = "// @ts-expect-error: a string is no number\nexport const no: number = ";
  const tree = repository({
    "test/pinned.test-d.ts": `${pinned}"1";\n`,
    "test/loose.test-d.ts": `${pinned}1;\n`,
    "test/wrong.ts": 'export const no: number = "1";\n',
  });
  const { status, lines } = check(tree, "types");
  expect([status, lines.filter((line) => line.startsWith("test/"))]).toEqual([
    1,
    [
      "test/loose.test-d.ts(1,1): error TS2578: Unused '@ts-expect-error' directive.",
      "test/wrong.ts(1,14): error TS2322: Type 'string' is not assignable to type 'number'.",
    ],
  ]);
});

test("the last line counts tests, and files that do not load", () => {
  const head = 'import { expect, test } from "vitest";\n';
  const tree = repository({
    "test/good.test.ts": `${head}test("good", () => expect(1).toBe(1));\n`,
  });
  expect(check(tree, "tests").lines.at(-1)).toBe("1 passed, 0 failed");
  tree.write({
    "test/bad.test.ts": `${head}test("bad", () => expect(1).toBe(2));\ntest.skip("later", () => {});\n`,
    "test/lost.test.ts": 'import "./nowhere.ts";\n',
  });
  const { status, lines } = check(tree, "tests");
  expect([status, lines.at(-1)]).toEqual([1, "1 passed, 2 failed, 1 skipped"]);
  expect(lines.join("\n")).toContain("AssertionError: expected 1 to be 2");
});

test("a check that does not exist is refused", () => {
  const tree = repository({});
  const { status, lines } = check(tree, "speling");
  expect([status, lines[0]]).toEqual([2, expect.stringContaining("no check is called speling; there are format, ")]);
});
