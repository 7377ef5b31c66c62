// The lines of a file, one after the other, however large the file is; .gz files are unpacked on the way.

import { createReadStream } from "node:fs";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { UsageError } from "./usage.ts";

export interface Line {
  readonly text: string;
  /** "scenarios/a.jsonl:12", for complaints. */
  readonly where: string;
}

/** Characters that a line may have: longer ones do not fit into a string once they are joined. */
const LONGEST = 256 * 1024 * 1024;

/** Lines that hold something. Throws UsageError when the file cannot be read. */
export async function* linesOf(path: string): AsyncGenerator<Line, void, void> {
  let number = 0;
  let rest = "";
  try {
    for await (const chunk of charactersOf(path)) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() as string;
      for (const text of lines) {
        number++;
        if (text.trim() !== "") yield { text, where: `${path}:${number}` };
      }
      if (rest.length > LONGEST) throw new UsageError(`${path}:${number + 1}: longer than any line may be`);
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined || error instanceof UsageError) throw error;
    throw new UsageError(`${path} cannot be read: ${message}`);
  }
  if (rest.trim() !== "") yield { text: rest, where: `${path}:${number + 1}` };
}

function charactersOf(path: string): AsyncIterable<string> {
  const file = createReadStream(path);
  if (!path.endsWith(".gz")) return file.setEncoding("utf8");
  // Whoever iterates is told of what goes wrong.
  return pipeline(file, createGunzip(), () => {}).setEncoding("utf8");
}
