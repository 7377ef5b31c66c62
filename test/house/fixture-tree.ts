// A folder with planted files, and the checks run over it as the test command runs them.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { onTestFinished } from "vitest";

export const root: string = join(import.meta.dirname, "../..");

interface Outcome {
  readonly status: number | null;
  /** Everything the check printed, line by line, without empty lines. */
  readonly lines: readonly string[];
}

export interface FixtureTree {
  readonly path: string;
  write(files: Readonly<Record<string, string>>): void;
  remove(file: string): void;
  /** Copy files and folders of this repository to the same place in the tree. */
  copy(...paths: string[]): void;
  /** Let the tree use these installed packages. */
  install(...names: string[]): void;
  /** Run a JavaScript file, of this repository unless the path is absolute, with the tree as its working directory. */
  run(script: string, ...args: string[]): Outcome;
}

/** The environment without what a test run adds to it: a check in a tree may be a test run itself. */
const outside = {
  ...Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^VITEST|^(TEST|MODE|NODE_ENV)$/.test(key))),
  NO_COLOR: "1",
};

/** A folder that goes away when the test ends. */
export function fixtureTree(files: Readonly<Record<string, string>>): FixtureTree {
  const path = mkdtempSync(join(tmpdir(), "faultline-house-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  const tree: FixtureTree = {
    path,
    write(more) {
      for (const [file, text] of Object.entries(more)) {
        mkdirSync(dirname(join(path, file)), { recursive: true });
        writeFileSync(join(path, file), text);
      }
    },
    remove(file) {
      rmSync(join(path, file));
    },
    copy(...paths) {
      for (const each of paths) cpSync(join(root, each), join(path, each), { recursive: true });
    },
    install(...names) {
      for (const name of names) {
        const link = join(path, "node_modules", name);
        mkdirSync(dirname(link), { recursive: true });
        symlinkSync(join(root, "node_modules", name), link);
      }
    },
    run(script, ...args) {
      const { status, stdout, stderr } = spawnSync(process.execPath, [resolve(root, script), ...args], {
        cwd: path,
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe"],
        env: outside,
      });
      const lines = `${stdout}${stderr}`.split("\n").filter((line) => line.trim() !== "");
      return { status, lines };
    },
  };
  tree.write(files);
  return tree;
}
