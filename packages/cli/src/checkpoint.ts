// A search that was put down, in a file.

import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import type { SearchOptions } from "@faultline/explore";
import type { State } from "./conduct.ts";
import { type Source, sourceText } from "./source.ts";
import { UsageError } from "./usage.ts";

export interface Checkpoint extends State {
  readonly faultline: "checkpoint";
  readonly version: 1;
  readonly source: Source;
  readonly options: SearchOptions;
}

/** Write to a new file first: an interrupted writer must not cost what was there. */
export function writeCheckpoint(path: string, checkpoint: Checkpoint): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(checkpoint)}\n`);
  renameSync(`${path}.new`, path);
}

/** Read a checkpoint of just this search. */
export function readCheckpoint(path: string, source: Source, options: SearchOptions): Checkpoint {
  const checkpoint = readJson(path, "checkpoint") as Checkpoint;
  const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
  if (!same(checkpoint.source, source) || !same(checkpoint.options, options)) {
    throw new UsageError(
      `${path} is of another search (${sourceText(checkpoint.source)}); give the options that it was made with`,
    );
  }
  return checkpoint;
}

/** Read a file that this command wrote: `what` is a checkpoint or a certificate. */
export function readJson(path: string, what: string): unknown {
  if (!existsSync(path)) throw new UsageError(`${path} does not exist; give the path of a ${what}`);
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch {
    throw new UsageError(`${path} is not JSON; give the path of a ${what}`);
  }
  const { faultline, version } = (value ?? {}) as { faultline?: unknown; version?: unknown };
  if (faultline !== what || version !== 1) throw new UsageError(`${path} is no ${what} of version 1 of this command`);
  return value;
}
