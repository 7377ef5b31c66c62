// Do the guards bite? One file per forbidden thing: planted, found, removed, and then the tree is clean.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type FixtureTree, fixtureTree, root } from "./fixture-tree.ts";

interface Plant {
  readonly file: string;
  readonly text: string;
  /** Words of the one finding. */
  readonly want: string;
}

function expectFoundThenClean(tree: FixtureTree, script: string, plants: readonly Plant[]): void {
  expect(tree.run(script)).toEqual({ status: 0, lines: [] });
  for (const { file, text } of plants) tree.write({ [file]: text });
  const { status, lines } = tree.run(script);
  expect(plants.map(({ file }) => lines.filter((line) => line.startsWith(`${file}:`)).join("\n"))).toEqual(
    plants.map(({ want }) => expect.stringContaining(want)),
  );
  expect(status).toBe(1);
  for (const { file } of plants) tree.remove(file);
  expect(tree.run(script)).toEqual({ status: 0, lines: [] });
}

test("nothing names a place outside the repository", () => {
  const tree = fixtureTree({
    "pnpm-lock.yaml": `packages:\n  '@${"scope.c"}om/pkg@1.0.0':\n    resolution: {integrity: sha512-AA==}\n`,
    ".npmrc": "fund=false\n",
    "picture.svg": '<svg xmlns="http://www.w3.org/2000/svg"/>\n',
    "right.md": "Paths such as `/mnt/gfs2/a`, `../src` and `fs/gfs2/file.c`; `node:fs`; user@host; tissue 12.\n",
    "node_modules/x/README.md": ["see https:", "//lab\n"].join(""),
  });
  // Written in pieces, because the check reads this file too.
  const plant = (file: string, want: string, ...pieces: string[]): Plant => ({
    file,
    want,
    text: `${pieces.join("")}\n`,
  });
  expectFoundThenClean(tree, "tools/check-text.mjs", [
    plant("a.md", "an address", "see https:", "//lab/x"),
    plant("packages/b.ts", "a host name", "// ask www.example.o", "rg"),
    plant("c.sh", "a host name", "curl local", "host:8080"),
    plant("d.json", "a path of one machine", '"/wo', 'rk/main"'),
    plant("e.json", "a path of one machine", "/ro", "ot/x"),
    plant("f.ts", "a path outside the repository", 'import "../sha', 'red/design"'),
    plant("g.md", "an issue number", "fixes iss", "ue #12"),
    plant("h.md", "a mail address", "write to somebody@example.o", "rg"),
    plant("sub/.npmrc", "a registry", "regis", "try=x"),
    plant("sub/pnpm-lock.yaml", "a tarball", "tar", "ball: x.tgz"),
  ]);
});

test("the model's sources use no clock, no chance, no asynchrony, and keep no state outside a world", () => {
  const tree = fixtureTree({
    "packages/mm/src/right.ts": [
      "// A Date, a Promise and setTimeout() in a comment; a let below.",
      "const TABLE: readonly number[] = [1, 2];",
      "interface Inode { Date: number; process(): void }",
      "export function right(inode: Inode, process: number): number {",
      "  let sum = inode.Date + Math.max(process, TABLE[0]);",
      "  for (let i = 0; i < 3; i++) sum += i;",
      "  return sum;",
      "}",
      "export class Frame { static readonly SIZE: number = 1; now = 0 }",
      "",
    ].join("\n"),
    "packages/mm/src/right.test.ts": "export const start = Date.now();\n",
    "packages/cli/src/bench.ts": "export const start = performance.now();\n",
  });
  const plant = (name: string, text: string, want: string): Plant => ({
    file: `packages/${name}.ts`,
    text: `${text}\n`,
    want,
  });
  expectFoundThenClean(tree, "tools/check-model.mjs", [
    plant("kernel/src/a", "export const now = (): number => Date.now();", "Date is a clock"),
    plant("mm/src/b", "export const now = (): number => performance.now();", "performance is a clock"),
    plant("mm/src/c", "export const now = (): bigint => process.hrtime.bigint();", "process is the host"),
    plant("uio/src/d", "export const pick = (): number => Math.random();", "Math.random is chance"),
    plant("fs/src/e", "export const later = (f: () => void): unknown => setTimeout(f, 1);", "setTimeout is asynchrony"),
    plant("fs/src/f", "export function read(): Promise<void> | null { return null; }", "Promise is asynchrony"),
    plant("explore/src/g", "export const read = async (): Promise<void> => {};", "async is asynchrony"),
    plant("scenario/src/h", "let last = 0;\nexport const next = (): number => ++last;", "module-level let last"),
    plant("kernel/src/i", "export class Ids { static last = 0; }", "static last is state outside a world"),
    plant("kernel/src/j", "export const now = (): number => globalThis.Date.now();", "Date is a clock"),
    plant("kernel/src/k", "export const f = (): unknown => ({ at: new Date() });", "Date is a clock"),
  ]);
});

test("the files that are excused because they belong to the host exist", () => {
  const excused = Object.keys(JSON.parse(readFileSync(join(root, "tools/host-files.json"), "utf8")));
  expect(excused.filter((file) => !existsSync(join(root, file)))).toEqual([]);
});
