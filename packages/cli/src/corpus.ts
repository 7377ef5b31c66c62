// Scenarios and recordings as arguments: each a file, or a folder of files; matched by id, wherever they stand.

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  parseMeta,
  parseRecording,
  parseScenario,
  type Recording,
  type RecordingMeta,
  type Scenario,
} from "@faultline/scenario";
import { linesOf } from "./lines.ts";
import { UsageError } from "./usage.ts";

/** One recording, and the scenario that was recorded. */
export interface Pair {
  readonly scenario: Scenario;
  /** The file that holds the scenario. */
  readonly file: string;
  readonly recording: Recording;
}

interface Entry {
  readonly scenario: Scenario;
  readonly file: string;
  readonly where: string;
  /** Where its recording is, once one was found. */
  recordedAt: string | null;
}

/** The .jsonl and .jsonl.gz files that an argument means. */
export function jsonlFiles(path: string, what: string): string[] {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined)
    throw new UsageError(`${path} does not exist; give a .jsonl file of ${what} or a folder of them`);
  if (!stat.isDirectory()) return [path];
  const files = readdirSync(path)
    .filter((name) => /\.jsonl(\.gz)?$/.test(name))
    .sort()
    .map((name) => join(path, name));
  if (files.length > 0) return files;
  const inside = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const hint = inside.length > 0 ? `; give one of its folders, such as ${join(path, inside[0].name)}` : "";
  throw new UsageError(`${path} is a folder without a .jsonl file of ${what}${hint}`);
}

/** What `meta.json` beside the recordings says; null when there is none. */
export function metaBeside(path: string): RecordingMeta | null {
  const folder = statSync(path).isDirectory() ? path : dirname(path);
  const file = join(folder, "meta.json");
  if (!existsSync(file)) return null;
  if (!statSync(file).isFile())
    throw new UsageError(`${file} is no file; what describes the recordings is expected there`);
  return parseMeta(readFileSync(file, "utf8"), file);
}

/**
 * Every recording with its scenario, in the order of the recordings.
 *
 * Throws UsageError or FormatError at the first line that is wrong; at the end, when a scenario was not recorded.
 * A file of scenarios that the recordings do not know at all was not asked for.
 */
export async function* pairs(scenarioPath: string, recordingPath: string): AsyncGenerator<Pair, void, void> {
  const entries = await readEntries(scenarioPath);
  for (const path of jsonlFiles(recordingPath, "recordings")) {
    let isEmpty = true;
    for await (const { text, where } of linesOf(path)) {
      isEmpty = false;
      const recording = parseRecording(text, where);
      const entry = entries.get(recording.id);
      if (entry === undefined)
        throw new UsageError(`${where}: id: ${scenarioPath} holds no scenario "${recording.id}"`);
      if (entry.recordedAt !== null) {
        throw new UsageError(`${where}: id: "${recording.id}" is recorded twice, first at ${entry.recordedAt}`);
      }
      entry.recordedAt = where;
      checkShape(entry.scenario, recording, where);
      yield { scenario: entry.scenario, file: entry.file, recording };
    }
    if (isEmpty) throw new UsageError(`${path}: holds no recording; one JSON object a line is expected`);
  }
  checkComplete([...entries.values()], recordingPath);
}

async function readEntries(path: string): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>();
  for (const file of jsonlFiles(path, "scenarios")) {
    const before = entries.size;
    for await (const { text, where } of linesOf(file)) {
      const scenario = parseScenario(text, where);
      const same = entries.get(scenario.id);
      if (same !== undefined) {
        throw new UsageError(`${where}: id: "${scenario.id}" is used twice, first at ${same.where}`);
      }
      entries.set(scenario.id, { scenario, file, where, recordedAt: null });
    }
    if (entries.size === before) {
      throw new UsageError(`${file}: holds no scenario; one JSON object a line is expected`);
    }
  }
  return entries;
}

/** A recording of more than the scenario does is of another scenario. */
function checkShape({ ops, threads, post }: Scenario, recording: Recording, where: string): void {
  const lists: [string, number, number][] = [
    ["results", recording.results.length, ops.length],
    ["threads", recording.threads?.length ?? 0, threads.length],
    ["post", recording.post?.length ?? 0, post.length],
    ...threads.map((list, thread): [string, number, number] => [
      `threads[${thread}]`,
      recording.threads?.[thread]?.length ?? 0,
      list.length,
    ]),
  ];
  for (const [field, recorded, asked] of lists) {
    if (recorded <= asked) continue;
    throw new UsageError(
      `${where}: ${field}: expected at most ${asked} of scenario "${recording.id}", got ${recorded}`,
    );
  }
}

function checkComplete(entries: readonly Entry[], recordingPath: string): void {
  const known = new Set(entries.filter(({ recordedAt }) => recordedAt !== null).map(({ file }) => file));
  const lost = entries.find(({ file, recordedAt }) => recordedAt === null && known.has(file));
  if (lost === undefined) return;
  throw new UsageError(`${lost.where}: id: ${recordingPath} holds no recording of "${lost.scenario.id}"`);
}
