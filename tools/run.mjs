// The one bootstrap: needs only Node and npm, installs and builds when something is missing or stale.
//   node tools/run.mjs start [args]   build, then the `faultline` command with args (without args: `demo`)
//   node tools/run.mjs test           every check and every test
//   node tools/run.mjs SCRIPT [args]  any script of package.json
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { pnpm, root } from "./pnpm.mjs";
import { hashOf, readStamp, writeStamp } from "./stamp.mjs";

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  stop(`Node ${process.versions.node} is too old; 20.19 or newer is needed`);
}

const [script = "start", ...rest] = process.argv.slice(2);
install();
if (script === "start") await start(rest.length > 0 ? rest : ["demo"]);
else if (script === "test") node([join(root, "tools/check.mjs"), ...rest]);
else process.exitCode = pnpm(["--silent", "run", script, ...rest], { stdio: "inherit" }).status ?? 1;

function install() {
  const wanted = hashOf(["pnpm-lock.yaml", "pnpm-workspace.yaml"].map((name) => join(root, name)));
  if (existsSync(join(root, "node_modules/.modules.yaml")) && readStamp("installed") === wanted) return;
  console.log("faultline: installing dependencies (once)");
  const { status, error } = pnpm(["install", "--frozen-lockfile", "--reporter=append-only"]);
  if (status !== 0) stop(`the dependencies could not be installed${error === undefined ? "" : `: ${error.message}`}`);
  writeStamp("installed", wanted);
}

async function start(args) {
  const manifest = join(root, "packages/cli/package.json");
  if (!existsSync(manifest)) stop("there is no packages/cli, so there is no `faultline` command to start");
  if (!(await build({ declarations: false }))) process.exit(2);
  const command = join(root, "packages/cli", JSON.parse(readFileSync(manifest, "utf8")).bin.faultline);
  node([command, ...args], { cwd: process.env.INIT_CWD ?? root });
}

function node(args, options = {}) {
  process.exitCode = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit", ...options }).status ?? 1;
}

function stop(sentence) {
  console.error(`faultline: ${sentence}`);
  process.exit(2);
}
