// The lines of a file, one after the other, however large the file is.

import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";

export interface Line {
  readonly text: string;
  /** "scenarios/a.jsonl:12", for complaints. */
  readonly where: string;
}

/** Lines that hold something. */
export async function* linesOf(path: string): AsyncGenerator<Line, void, void> {
  let number = 0;
  for await (const text of createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })) {
    number++;
    if (text.trim() !== "") yield { text, where: `${path}:${number}` };
  }
}
