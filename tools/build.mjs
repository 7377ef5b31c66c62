// Builds every package whose sources changed since its last build.
//   node tools/build.mjs            JavaScript and declarations, as they are published
//   node tools/build.mjs --no-dts   JavaScript only, which is enough to run the command
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./pnpm.mjs";
import { hashOf, readStamp, writeStamp } from "./stamp.mjs";

const packagesFolder = join(root, "packages");
/** What every build depends on beside the package's own files. */
const shared = ["tools/tsup.ts", "tsconfig.json", "pnpm-lock.yaml"].map((path) => join(root, path));

/** Folders of the packages that are built. */
function builtPackages() {
  return readdirSync(packagesFolder)
    .map((name) => join(packagesFolder, name))
    .filter((folder) => existsSync(join(folder, "tsup.config.ts")) && existsSync(join(folder, "src")));
}

/** Returns: is everything built? What went wrong has been printed. */
export async function build({ declarations }) {
  const stale = builtPackages()
    .map((folder) => ({ folder, ...stateOf(folder, declarations) }))
    .filter(({ fresh }) => !fresh);
  if (stale.length === 0) return true;
  console.log(`faultline: building ${stale.map(({ folder }) => nameOf(folder)).join(", ")}`);
  let ok = true;
  const worker = async () => {
    for (let next = stale.shift(); next !== undefined; next = stale.shift()) {
      const { folder, subject, stamp } = next;
      if (await tsup(folder, declarations)) writeStamp(subject, stamp);
      else ok = false;
    }
  };
  await Promise.all(Array.from({ length: Math.min(os.availableParallelism(), stale.length) }, worker));
  return ok;
}

function stateOf(folder, declarations) {
  const subject = `build-${nameOf(folder)}`;
  const isTest = (path) => /\.test(-d)?\.ts$/.test(path);
  const own = ["src", "package.json", "tsup.config.ts"].map((name) => join(folder, name));
  const hash = hashOf([...own, ...shared], isTest);
  const done = readStamp(subject);
  const builtFiles = outputs(folder).filter((path) => declarations || !path.endsWith(".d.ts"));
  const sameSources = done === `${hash} dts` || (done === `${hash} js` && !declarations);
  const fresh = sameSources && builtFiles.every((path) => existsSync(join(folder, path)));
  return { subject, stamp: `${hash} ${declarations ? "dts" : "js"}`, fresh };
}

/** Every built file that the package's manifest names. */
function outputs(folder) {
  const { exports = {}, bin = {} } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const leaves = (value) => (typeof value === "string" ? [value] : Object.values(value).flatMap(leaves));
  return [...leaves(exports), ...leaves(bin)].filter((path) => /^(\.\/)?dist\//.test(path));
}

function nameOf(folder) {
  return folder.slice(packagesFolder.length + 1);
}

function tsup(folder, declarations) {
  const bin = join(root, "node_modules/tsup/dist/cli-default.js");
  const args = [bin, "--silent", ...(declarations ? [] : ["--no-dts"])];
  const child = spawn(process.execPath, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (data) => {
    output += data;
  });
  child.stderr.on("data", (data) => {
    output += data;
  });
  return new Promise((resolve) => {
    child.on("close", (status) => {
      if (status !== 0) console.error(`faultline: packages/${nameOf(folder)} does not build\n${output.trimEnd()}`);
      resolve(status === 0);
    });
  });
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = (await build({ declarations: !process.argv.includes("--no-dts") })) ? 0 : 1;
}
