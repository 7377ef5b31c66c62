// The lines of a file, one after the other, however large the file is; what gzip packed is unpacked on the way,
// whatever it is called.

import { closeSync, createReadStream, openSync, readSync, statSync } from "node:fs";
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
      for (const line of lines) {
        const text = number++ === 0 ? withoutMark(line) : line;
        if (text.trim() !== "") yield { text, where: `${path}:${number}` };
      }
      if (rest.length > LONGEST) throw new UsageError(`${path}:${number + 1}: longer than any line may be`);
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined || error instanceof UsageError) throw error;
    throw new UsageError(`${path} cannot be read: ${message}`);
  }
  const last = number === 0 ? withoutMark(rest) : rest;
  if (last.trim() !== "") yield { text: last, where: `${path}:${number + 1}` };
}

/** Some editors begin a file with a byte order mark. */
function withoutMark(text: string): string {
  return text.startsWith("\uFEFF") ? text.slice(1) : text;
}

/** Does a file begin as gzip begins one? Of what can be read only once its name has to tell. */
export function isPacked(path: string): boolean {
  if (!statSync(path).isFile()) return path.endsWith(".gz");
  const file = openSync(path, "r");
  const start = Buffer.alloc(2);
  readSync(file, start, 0, 2, 0);
  closeSync(file);
  return start.readUInt16BE(0) === 0x1f8b;
}

function charactersOf(path: string): AsyncIterable<string> {
  const packed = isPacked(path);
  const file = createReadStream(path);
  if (!packed) return file.setEncoding("utf8");
  // Whoever iterates is told of what goes wrong.
  return pipeline(file, createGunzip(), () => {}).setEncoding("utf8");
}
