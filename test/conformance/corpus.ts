// The recordings of real kernels that this folder holds, with the scenarios that were recorded.
//
//   scenarios/THEME.jsonl.gz            what was to be done
//   recordings/KERNEL/THEME.jsonl.gz    what that kernel did; -smp2: with two processors
//   recordings/KERNEL/meta.json         how it was built, and what it could not show
import { existsSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { parseMeta, parseRecordings, parseScenarios, type Recording, type Scenario, unseenKinds } from "@faultline/scenario";

export const KERNELS = ["5.10", "6.1", "6.12", "7.2"] as const;

/** Eighteen themes written by hand; sets made by chance; variations of the hand-written ones; and more threads. */
export const THEMES = [
  "01-write-resident",
  "02-write-faults",
  "03-self",
  "04-two-files",
  "05-read-faults",
  "06-eof",
  "07-map-eof",
  "08-direct",
  "09-flags",
  "10-pipes",
  "11-windows",
  "12-mprotect",
  "13-populate",
  "14-races",
  "15-fiemap",
  "16-lockless",
  "17-readahead",
  "18-long-reads",
  "rand-1",
  "rand-2",
  "rand-3",
  "vary-1",
  "near-1",
  "near-2",
  "threads-1",
] as const;

const at = (path: string): URL => new URL(path, import.meta.url);
const lines = (path: string): string => gunzipSync(readFileSync(at(path))).toString();

/** Each scenario of a theme with its recording; none when the kernel was not asked. */
export function pairsOf(kernel: string, theme: string): { scenario: Scenario; recording: Recording }[] {
  const path = `recordings/${kernel}/${theme}.jsonl.gz`;
  if (!existsSync(at(path))) return [];
  const scenarios = new Map(
    parseScenarios(lines(`scenarios/${theme}.jsonl.gz`), theme).map((scenario) => [scenario.id, scenario]),
  );
  return parseRecordings(lines(path), path).flatMap((recording) => {
    const scenario = scenarios.get(recording.id);
    return scenario === undefined ? [] : [{ scenario, recording }];
  });
}

/** Kinds of events that a kernel's recordings cannot hold. */
export function unseenOf(kernel: string): ReadonlySet<string> {
  const path = `recordings/${kernel}/meta.json`;
  return unseenKinds(parseMeta(readFileSync(at(path), "utf8"), path));
}

/** Why a recording differs although it may, by kernel and id. */
export type KnownDifferences = Readonly<Record<string, Readonly<Record<string, Known>>>>;

interface Known {
  /** The tiers that differ. */
  readonly tiers: string;
  readonly reason: string;
}

export function knownDifferences(): KnownDifferences {
  return JSON.parse(readFileSync(at("known-differences.json"), "utf8"));
}
