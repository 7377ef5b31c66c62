// The files of the repository, without what a build or an installation put there.
import { readdirSync } from "node:fs";
import { join } from "node:path";

const SKIPPED = new Set([".git", "node_modules", "dist", "coverage"]);

/** Paths below `folder`, with slashes, in order. */
export function filesBelow(folder, prefix = "") {
  return readdirSync(join(folder, prefix), { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .filter(({ name }) => !SKIPPED.has(name))
    .flatMap((entry) => (entry.isDirectory() ? filesBelow(folder, `${prefix}${entry.name}/`) : [prefix + entry.name]));
}
