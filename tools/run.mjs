// The one bootstrap: needs only Node and npm, installs and builds when something is missing or stale.
//   node tools/run.mjs start [args]   build, then the `faultline` command with args (without args: `demo`)
//   node tools/run.mjs test           every check and every test
//   node tools/run.mjs SCRIPT [args]  any script of tools/scripts.mjs
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`faultline: Node ${process.versions.node} is too old; 20.19 or newer is needed`);
  process.exit(2);
}

// npm exports its whole configuration to scripts: keep what reaches a registry, drop the rest.
const keep = /^npm_config_(registry|cache|userconfig|cafile|https?_?proxy|noproxy)$/i;
const env = Object.fromEntries(
  Object.entries(process.env).filter(([key]) => keep.test(key) || !/^npm_(config|package|lifecycle)_/i.test(key)),
);

function run(command, args, options = {}) {
  const windows = process.platform === "win32";
  const result = spawnSync(command, args, { cwd: root, stdio: "inherit", env, shell: windows, ...options });
  if (result.status !== 0) process.exit(result.status ?? 1);
}

function pnpm(...args) {
  run("npx", ["--yes", packageManager, ...args]);
}

function newest(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

function install() {
  const stamp = join(root, "node_modules/.modules.yaml");
  if (existsSync(stamp) && statSync(stamp).mtimeMs >= statSync(join(root, "pnpm-lock.yaml")).mtimeMs) return;
  console.log("faultline: installing dependencies (once)");
  pnpm("install", "--frozen-lockfile", "--reporter=append-only");
}

function build() {
  const packages = join(root, "packages");
  const stamp = join(root, "node_modules/.faultline-built");
  const sources = readdirSync(packages).flatMap((name) => [
    join(packages, name, "src"),
    join(packages, name, "package.json"),
  ]);
  const latest = Math.max(...sources.filter((path) => existsSync(path)).map(newest));
  if (existsSync(stamp) && statSync(stamp).mtimeMs >= latest && existsSync(join(packages, "cli/dist/faultline.js")))
    return;
  console.log("faultline: building the packages");
  pnpm("--silent", "-r", "--filter", "./packages/*", "run", "build", "--no-dts", "--silent");
  writeFileSync(stamp, "");
}

const [script = "start", ...rest] = process.argv.slice(2);
install();
if (script === "start") {
  build();
  run(process.execPath, [join(root, "packages/cli/dist/faultline.js"), ...(rest.length > 0 ? rest : ["demo"])], {
    cwd: process.env.INIT_CWD ?? root,
    shell: false,
  });
} else {
  if (script === "test") build();
  pnpm("--silent", "run", script === "test" ? "check" : script, ...rest);
}
