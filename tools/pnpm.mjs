// The pinned pnpm, through npx: needs only Node and npm, and nothing that is installed globally.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

// npm exports its whole configuration to scripts: keep what reaches a registry, drop the rest.
const keep = /^npm_config_(registry|cache|userconfig|cafile|https?_?proxy|noproxy)$/i;
const env = {
  ...Object.fromEntries(
    Object.entries(process.env).filter(([key]) => keep.test(key) || !/^npm_(config|package|lifecycle)_/i.test(key)),
  ),
  // .npmrc silences npm's banner around scripts; what fails here must say why.
  npm_config_loglevel: "error",
};

/** Runs pnpm and waits for it. Returns: what spawnSync returns. */
export function pnpm(args, options = {}) {
  // Without --prefer-offline npx asks the registry each time, and waits a minute where there is none.
  return spawnSync("npx", ["--yes", "--prefer-offline", packageManager, ...args], {
    cwd: root,
    env,
    shell: process.platform === "win32",
    stdio: ["ignore", "inherit", "inherit"],
    ...options,
  });
}
