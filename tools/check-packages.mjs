// Packs every public package as it would be published and looks at the result: does the manifest fit the files
// (publint), do types and code resolve for those who import it (attw), does its entry load in plain Node?
// Builds first what is not built. Skipped while nothing that goes into a package has changed.
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { build } from "./build.mjs";
import { pnpm, root } from "./pnpm.mjs";
import { hashOf, readStamp, writeStamp } from "./stamp.mjs";

const ATTW = ["--profile", "esm-only", "--no-definitely-typed", "--no-color", "--no-emoji", "--format", "ascii"];
// A package may import itself by name: what loads is its built entry, found as a user's import finds it.
const LOADS =
  'if (Object.keys(await import(process.argv[1])).length === 0) throw new Error("the entry exports nothing");';

if (!(await build({ declarations: true }))) process.exit(1);

const packages = readdirSync(join(root, "packages"))
  .map((name) => join(root, "packages", name))
  .filter((folder) => existsSync(join(folder, "package.json")))
  .map((folder) => ({ folder, manifest: JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) }))
  .filter(({ manifest }) => manifest.private !== true);
const inputs = [
  ...packages.flatMap(({ folder }) => ["dist", "package.json", "README.md"].map((name) => join(folder, name))),
  ...["LICENSE", "pnpm-lock.yaml", "tools/check-packages.mjs"].map((name) => join(root, name)),
];
const content = hashOf(inputs);
if (readStamp("packages") !== content) {
  const problems = await checkAll();
  for (const problem of problems) console.log(problem);
  if (problems.length > 0) process.exit(1);
  writeStamp("packages", content);
}

async function checkAll() {
  const folder = mkdtempSync(join(tmpdir(), "faultline-pack-"));
  try {
    const filters = packages.map(({ manifest }) => `--filter=${manifest.name}`);
    const { status, stdout, stderr } = pnpm(
      ["--silent", ...filters, "-r", "pack", "--pack-destination", folder, "--json"],
      { stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" },
    );
    if (status !== 0) return [`pnpm pack failed\n${stdout}${stderr}`];
    const packed = [JSON.parse(stdout)].flat();
    const found = await Promise.all(packages.map((each) => checkOne(each, packed)));
    return found.flat();
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function checkOne({ folder, manifest }, packed) {
  const { name } = manifest;
  const { filename } = packed.find((each) => each.name === name);
  const file = readFileSync(filename);
  const tarball = file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength);
  const { messages, pkg } = await publint({ pack: { tarball }, strict: true });
  const problems = messages.map((message) => `${name}: ${formatMessage(message, pkg, { color: false })}`);
  // Who has no entry is a command: nobody imports it.
  if (manifest.exports === undefined) return problems;
  const checks = [
    run(name, [join(root, "node_modules/@arethetypeswrong/cli/dist/index.js"), filename, ...ATTW]),
    run(name, ["--input-type=module", "--eval", LOADS, name], folder),
  ];
  return problems.concat(...(await Promise.all(checks)));
}

/** Returns: what it printed when it failed, else nothing. */
function run(name, args, cwd = root) {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd }, (error, stdout, stderr) => {
      resolve(error === null ? [] : [`${name}: ${stdout}${stderr}`]);
    });
  });
}
