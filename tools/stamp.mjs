// What was done for which content, so that a second run does not do it again: one small file a subject.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./pnpm.mjs";

const folder = join(root, "node_modules/.cache/faultline");

/** One hash over the names and contents of files and folders; a path that is not there counts as absent. */
export function hashOf(paths, skip = () => false) {
  const hash = createHash("sha256");
  const add = (path) => {
    if (skip(path) || !existsSync(path)) return;
    if (statSync(path).isDirectory()) {
      for (const name of readdirSync(path).sort()) add(join(path, name));
    } else {
      hash.update(`${path}\0`).update(readFileSync(path)).update("\0");
    }
  };
  for (const path of paths) add(path);
  return hash.digest("hex");
}

/** The value noted last for this subject; undefined when there is none. */
export function readStamp(subject) {
  try {
    return readFileSync(join(folder, subject), "utf8");
  } catch {
    return undefined;
  }
}

export function writeStamp(subject, value) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, subject), value);
}
