// Are packages that carry dead weight, or that would not work for who installs them, found?
import { join } from "node:path";
import { expect, test } from "vitest";
import { fixtureTree } from "./fixture-tree.ts";

test("dead files, exports and dependencies are found", () => {
  const tree = fixtureTree({
    "package.json": JSON.stringify({ name: "house", private: true }),
    "pnpm-workspace.yaml": "packages: [packages/*]\n",
    "packages/mm/package.json": JSON.stringify({
      name: "@faultline/mm",
      exports: { ".": { "@faultline/source": "./src/index.ts", import: "./dist/index.js" } },
      dependencies: { flatqueue: "2.1.0" },
    }),
    "packages/mm/src/index.ts": 'export { used } from "./part.ts";\n',
    "packages/mm/src/part.ts": "export const used: number = 1;\nexport const spare: number = 2;\n",
    "packages/mm/src/dead.ts": "export const nobody: number = 1;\n",
    "packages/mm/src/tested.test.ts": "export {};\n",
  });
  tree.copy("knip.json");
  const { status, lines } = tree.run("node_modules/knip/bin/knip.js", "--no-config-hints");
  expect(status).toBe(1);
  expect(lines.map((line) => line.split(/\s+/)[0]).filter((word) => !/^Un/.test(word))).toEqual([
    "packages/mm/src/dead.ts",
    "flatqueue",
    "spare",
  ]);
});

test("packages that would not work once published are found", () => {
  const files: Record<string, string> = {
    "pnpm-workspace.yaml": "packages: [packages/*]\n",
    "pnpm-lock.yaml": "",
    LICENSE: "",
  };
  const add = (name: string, manifest: object, dist: Record<string, string>): void => {
    const rest = { version: "1.0.0", license: "MIT", type: "module", files: ["dist"], sideEffects: false };
    const exports = { ".": { types: "./dist/index.d.ts", import: "./dist/index.js" } };
    const text = JSON.stringify({ name: `@house/${name}`, ...rest, exports, ...manifest });
    files[`packages/${name}/package.json`] = text;
    for (const [file, code] of Object.entries(dist)) files[`packages/${name}/dist/${file}`] = code;
  };
  const code = { "index.js": "export const one = 1;\n", "index.d.ts": "export declare const one: number;\n" };
  add("right", {}, code);
  add("untyped", {}, { "index.js": code["index.js"] });
  add("unpacked", { files: ["lib"] }, code);
  add("common", {}, { ...code, "index.js": "module.exports = { one: 1 };\n" });
  add("needy", {}, { ...code, "index.js": 'export * from "nowhere-to-be-found";\n' });
  add("empty", {}, { ...code, "index.js": "export {};\n" });
  const tree = fixtureTree(files);
  tree.copy("tools", "package.json");
  tree.install("publint", "@arethetypeswrong");
  const { status, lines } = tree.run(join(tree.path, "tools/check-packages.mjs"));
  const blamed = lines.flatMap((line) => /^@house\/(\w+): /.exec(line)?.[1] ?? []);
  expect([status, [...new Set(blamed)].sort()]).toEqual([1, ["common", "empty", "needy", "unpacked", "untyped"]]);
});
