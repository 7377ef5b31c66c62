// Every check and every test, in order, quick ones first; stops at the first that fails and shows its output.
//   node tools/check.mjs               all of them: what `npm test` runs
//   node tools/check.mjs NAME...       only these
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { root } from "./pnpm.mjs";

const modules = (path) => join(root, "node_modules", path);
const tool = (name) => join(root, "tools", name);

const CHECKS = [
  {
    name: "format",
    does: "format and lint (biome)",
    run: [modules("@biomejs/biome/bin/biome"), "ci", "--colors=off", "--error-on-warnings", "."],
  },
  { name: "text", does: "no addresses, hosts or machine paths, also in the lock file", run: [tool("check-text.mjs")] },
  { name: "model", does: "the model has no clock, chance, asynchrony or shared state", run: [tool("check-model.mjs")] },
  {
    name: "layers",
    does: "imports point down the floors (dependency-cruiser)",
    run: [
      modules("dependency-cruiser/bin/dependency-cruise.mjs"),
      ...["--config", ".dependency-cruiser.mjs", "--output-type", "err-long", "packages", "test"],
    ],
  },
  { name: "types", does: "types, and what must not compile (tsc)", run: [modules("typescript/bin/tsc"), "-p", "."] },
  { name: "calls", does: "no lost generators, no dropped results", run: [tool("check-calls.mjs")] },
  {
    name: "unused",
    does: "no dead files, exports or dependencies (knip)",
    run: [modules("knip/bin/knip.js"), "--no-config-hints"],
  },
  { name: "packages", does: "packages as published (tsup, publint, attw)", run: [tool("check-packages.mjs")] },
  { name: "tests", does: "tests (vitest)", run: [modules("vitest/vitest.mjs"), "run"], speaks: true },
];

// A log is for reading: colours only where a terminal shows them.
const env = { ...process.env, ...(process.stdout.isTTY === true ? {} : { NO_COLOR: "1" }) };

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !CHECKS.some((check) => check.name === name));
if (unknown.length > 0) {
  console.error(`faultline: no check is called ${unknown.join(", ")}; there are ${namesOf(CHECKS)}`);
  process.exit(2);
}

for (const { name, does, run, speaks = false } of CHECKS) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  process.stdout.write(speaks ? `check ${name}: ${does}\n` : `check ${name}: ${does} ... `);
  const start = performance.now();
  const { status, stdout, stderr, error } = spawnSync(process.execPath, run, {
    cwd: root,
    env,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    // One stream, so that the closing line stays the last however the log is taken.
    stdio: speaks ? ["ignore", 1, 1] : ["ignore", "pipe", "pipe"],
  });
  if (!speaks) console.log(`${status === 0 ? "ok" : "FAILED"}, ${((performance.now() - start) / 1000).toFixed(1)} s`);
  if (status === 0) continue;
  if (!speaks) {
    console.log(`\n${stdout}${stderr}${error === undefined ? "" : `${error.message}\n`}`);
    console.log(`faultline: the check "${name}" failed; those after it did not run. Again: npm test -- ${name}`);
  }
  process.exit(1);
}

function namesOf(checks) {
  return checks.map(({ name }) => name).join(", ");
}
