// Scenario files as arguments: read, checked, and searched by id. What is wrong is told in one line.

import { readFileSync, statSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { parseScenarios, type Scenario } from "@faultline/scenario";
import type { Io } from "./io.ts";
import { isPacked } from "./lines.ts";
import { UsageError } from "./usage.ts";

/** Read a file of scenarios; "-" is the standard input. */
export function readScenarios(path: string, io: Io): Scenario[] {
  return path === "-" ? parseScenarios(io.in(), "standard input") : parseScenarios(readText(path, "scenarios"), path);
}

/** Read a file; `what` says what it should hold. */
function readText(path: string, what: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new UsageError(`${path} does not exist; give the path of a file of ${what}`);
  if (stat.isDirectory()) throw new UsageError(`${path} is a folder; give the path of a file of ${what} in it`);
  if (!isPacked(path)) return readFileSync(path, "utf8");
  try {
    return gunzipSync(readFileSync(path)).toString();
  } catch (error) {
    throw new UsageError(`${path} cannot be read: ${(error as Error).message}`);
  }
}

/** The scenario that --id names; without one, the only scenario of the file. */
export function pickScenario(scenarios: readonly Scenario[], id: string | undefined, path: string): Scenario {
  if (id !== undefined) return findScenario(scenarios, id, path);
  if (scenarios.length === 1) return scenarios[0];
  const ids = scenarios.map((scenario) => scenario.id);
  const some = ids.length > 4 ? [...ids.slice(0, 3), "..."] : ids;
  throw new UsageError(`--id is missing; ${path} holds ${ids.length} scenarios: ${some.join(", ")}`);
}

export function findScenario(scenarios: readonly Scenario[], id: string, path: string): Scenario {
  const found = scenarios.find((scenario) => scenario.id === id);
  if (found !== undefined) return found;
  const near = nearest(
    id,
    scenarios.map((scenario) => scenario.id),
  );
  throw new UsageError(
    `${path} holds no scenario "${id}"; there ${near.length === 1 ? "is" : "are"} ${near.join(", ")}`,
  );
}

/** The few names that are most like a wrong one. */
function nearest(wrong: string, names: readonly string[]): string[] {
  // Somebody who stopped typing is nearer than anybody who mistyped.
  const distances = names.map((name) => ({ name, distance: name.startsWith(wrong) ? 0 : editDistance(wrong, name) }));
  return distances
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ name }) => name);
}

/** How many letters have to be put in, taken out or changed. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[b.length];
}
