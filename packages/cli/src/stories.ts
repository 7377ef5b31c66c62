// Where the stories are: scenario files that come with the command.

import { existsSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";

/** From the place where this file stands, as source and as built, to the repository; and inside the package. */
const FOLDERS = ["../../../scenarios/", "./scenarios/"];

/** The path of a story, relative to where the user stands. */
export function storyPath(name: string): string {
  const paths = FOLDERS.map((folder) => fileURLToPath(new URL(folder + name, import.meta.url)));
  return relative("", paths.find((path) => existsSync(path)) ?? paths[0]);
}
