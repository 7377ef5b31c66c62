// Does each rule of the floors bite? A small copy of the house, right at first, gets one wrong import per rule;
// packages are linked as an installation links them, so a rule that cannot resolve them would show here.
import { mkdirSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { type FixtureTree, fixtureTree, root } from "./fixture-tree.ts";

const FLOORS = ["kernel", "mm", "uio", "fs", "scenario", "explore", "lab", "cli"];

function house(): FixtureTree {
  const exports = { ".": { "@faultline/source": "./src/index.ts", import: "./dist/index.js" } };
  const tree = fixtureTree({ "test/all.test.ts": 'import "@faultline/fs";\n' });
  for (const floor of FLOORS) {
    tree.write({
      [`packages/${floor}/package.json`]: JSON.stringify({ name: `@faultline/${floor}`, type: "module", exports }),
      [`packages/${floor}/src/index.ts`]: `export * from "./part.ts";\n`,
      [`packages/${floor}/src/part.ts`]: "export const part: number = 1;\n",
    });
    for (const user of [...FLOORS.map((name) => `packages/${name}`), "test"]) {
      const link = join(tree.path, user, "node_modules/@faultline", floor);
      mkdirSync(dirname(link), { recursive: true });
      symlinkSync(join(tree.path, "packages", floor), link);
    }
  }
  return tree;
}

const right = {
  "packages/fs/src/down.ts": 'import { part } from "@faultline/kernel";\nimport "@faultline/uio";\nexport { part };\n',
  "packages/cli/src/down.ts": 'import "@faultline/scenario";\nimport "@faultline/explore";\nimport "node:fs";\n',
  "packages/mm/src/a.ts": 'import type { B } from "./b.ts";\nexport type A = B | 1;\n',
  "packages/mm/src/b.ts": 'import type { A } from "./a.ts";\nexport type B = A | 2;\n',
  "packages/mm/src/a.test.ts": 'import "node:os";\nimport "./index.ts";\n',
};

const wrong: readonly { rule: string; file: string; code: string }[] = [
  { rule: "floor-kernel", file: "packages/kernel/src/up.ts", code: 'import "@faultline/mm";\n' },
  { rule: "floor-mm", file: "packages/mm/src/up.ts", code: 'import type { part } from "@faultline/fs";\n' },
  { rule: "floor-uio", file: "packages/uio/src/up.ts", code: 'import "@faultline/fs";\n' },
  { rule: "floor-fs", file: "packages/fs/src/up.ts", code: 'import "@faultline/scenario";\n' },
  { rule: "floor-scenario", file: "packages/scenario/src/up.ts", code: 'import "@faultline/explore";\n' },
  { rule: "floor-explore", file: "packages/explore/src/up.ts", code: 'import "@faultline/mm";\n' },
  { rule: "floor-lab", file: "packages/lab/src/up.ts", code: 'import "@faultline/cli";\n' },
  { rule: "floor-cli", file: "packages/cli/src/up.ts", code: 'import "@faultline/lab";\n' },
  { rule: "entry-only", file: "packages/mm/src/deep.ts", code: 'import "../../kernel/src/part.ts";\n' },
  { rule: "entry-only-in-tests", file: "test/deep.test.ts", code: 'import "../packages/mm/src/part.ts";\n' },
  { rule: "no-cycle", file: "packages/uio/src/round.ts", code: 'import "./part.ts";\nimport "./trip.ts";\n' },
  { rule: "no-test-code", file: "packages/fs/src/helped.ts", code: 'import "./part.test.ts";\n' },
  { rule: "no-host", file: "packages/fs/src/host.ts", code: 'import "node:fs";\n' },
  { rule: "resolvable", file: "packages/fs/src/lost.ts", code: 'import "@faultline/nowhere";\n' },
];

const beside = {
  "packages/uio/src/trip.ts": 'import "./round.ts";\n',
  "packages/fs/src/part.test.ts": "export const helper: number = 1;\n",
};

function findings(tree: FixtureTree): string[] {
  const config = join(root, ".dependency-cruiser.mjs");
  const { lines } = tree.run(
    "node_modules/dependency-cruiser/bin/dependency-cruise.mjs",
    "-c",
    config,
    "packages",
    "test",
  );
  return lines.flatMap((line) => /^ +error (\S+): (\S+)/.exec(line)?.slice(1, 3).join(" ") ?? []).sort();
}

test("imports that point down pass; one wrong import per rule is found by that rule", () => {
  const tree = house();
  tree.write(right);
  expect(findings(tree)).toEqual([]);
  tree.write(Object.fromEntries(wrong.map(({ file, code }) => [file, code])));
  tree.write(beside);
  const want = wrong.map(({ rule, file }) => `${rule} ${file}`);
  expect(findings(tree)).toEqual([...want].sort());
});
