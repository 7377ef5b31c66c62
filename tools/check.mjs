// Every check and every test, quick ones first and two checks at a time; stops when one fails and shows its output.
//   node tools/check.mjs               all of them: what `npm test` runs
//   node tools/check.mjs NAME...       only these
import { execFile, spawnSync } from "node:child_process";
import { join } from "node:path";
import { root } from "./pnpm.mjs";

const modules = (path) => join(root, "node_modules", path);
const tool = (name) => join(root, "tools", name);

/** A stage begins when the one before it is over; within one, what takes longest begins first. */
const STAGES = [
  [
    {
      name: "format",
      does: "format and lint (biome)",
      run: [modules("@biomejs/biome/bin/biome"), "ci", "--colors=off", "--error-on-warnings", "."],
    },
  ],
  [
    {
      name: "text",
      does: "no addresses, hosts or machine paths, also in the lock file",
      run: [tool("check-text.mjs")],
    },
    {
      name: "model",
      does: "the model has no clock, chance, asynchrony or shared state",
      run: [tool("check-model.mjs")],
    },
  ],
  [
    { name: "packages", does: "packages as published (tsup, publint, attw)", run: [tool("check-packages.mjs")] },
    { name: "types", does: "types, and what must not compile (tsc)", run: [modules("typescript/bin/tsc"), "-p", "."] },
    { name: "calls", does: "no lost generators, no dropped results", run: [tool("check-calls.mjs")] },
    {
      name: "layers",
      does: "imports point down the floors (dependency-cruiser)",
      run: [
        modules("dependency-cruiser/bin/dependency-cruise.mjs"),
        ...["--config", ".dependency-cruiser.mjs", "--output-type", "err-long", "packages", "test"],
      ],
    },
    {
      name: "unused",
      does: "no dead files, exports or dependencies (knip)",
      run: [modules("knip/bin/knip.js"), "--no-config-hints"],
    },
  ],
];
const TESTS = { name: "tests", does: "tests (vitest)", run: [modules("vitest/vitest.mjs"), "run"] };
const AT_A_TIME = 2;

// A log is for reading: colours only where a terminal shows them.
const env = { ...process.env, ...(process.stdout.isTTY === true ? {} : { NO_COLOR: "1" }) };

const names = [...STAGES.flat(), TESTS].map(({ name }) => name);
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  console.error(`faultline: no check is called ${unknown.join(", ")}; there are ${names.join(", ")}`);
  process.exit(2);
}
const isWanted = ({ name }) => wanted.length === 0 || wanted.includes(name);

for (const stage of STAGES) {
  const failures = await runStage(stage.filter(isWanted));
  for (const { name, output } of failures) {
    console.log(`\n${output}`);
    console.log(`faultline: the check "${name}" failed; the rest did not run. Again: npm test -- ${name}`);
  }
  if (failures.length > 0) process.exit(1);
}
if (isWanted(TESTS)) {
  console.log(`check ${TESTS.name}: ${TESTS.does}`);
  // One stream, so that the closing line stays the last however the log is taken.
  const { status } = spawnSync(process.execPath, TESTS.run, { cwd: root, env, stdio: ["ignore", 1, 1] });
  process.exitCode = status === 0 ? 0 : 1;
}

/** Returns: the checks that failed, and what they printed. None begins after that. */
async function runStage(checks) {
  const waiting = [...checks];
  const failures = [];
  const runNext = async () => {
    const check = failures.length === 0 ? waiting.shift() : undefined;
    if (check === undefined) return;
    const output = await outputOfFailure(check);
    if (output !== null) failures.push({ name: check.name, output });
    await runNext();
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, runNext));
  return failures;
}

/** Returns: what the check printed if it failed, else null. */
function outputOfFailure({ name, does, run }) {
  const start = performance.now();
  return new Promise((resolve) => {
    const options = { cwd: root, env, maxBuffer: 1 << 28 };
    execFile(process.execPath, run, options, (error, stdout, stderr) => {
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      console.log(`check ${name}: ${does} ... ${error === null ? "ok" : "FAILED"}, ${seconds} s`);
      if (error === null) return resolve(null);
      // One that could not be started or was killed has printed nothing about it.
      resolve(`${stdout}${stderr}${typeof error.code === "number" ? "" : `${error.message}\n`}`);
    });
  });
}
