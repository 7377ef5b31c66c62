// The programs that are built in: benchmarks with published numbers of traces, to measure an explorer by.

import type { Program } from "../program.ts";
import { lockedIncrement, lockWithoutUnlock, racyIncrement } from "./counters.ts";
import { filesystem } from "./filesystem.ts";
import { indexer } from "./indexer.ts";
import { lastZero } from "./last-zero.ts";
import { abba, orderedPhilosophers, philosophers } from "./philosophers.ts";
import { readers } from "./readers.ts";
import { writersReader } from "./writers-reader.ts";

export interface CatalogueEntry {
  /** What it does, for people. */
  readonly about: string;
  /** Its number of tasks when none is given, and the least and the most it can be. */
  readonly size: { readonly usual: number; readonly least: number; readonly most: number };
  make(n: number): Program;
}

export const CATALOGUE: Readonly<Record<string, CatalogueEntry>> = {
  readers: { about: "one writer, n readers", size: size(8, 1, 30), make: readers },
  lastzero: { about: "n writers, a reader looks for the last zero", size: size(10, 1, 30), make: lastZero },
  indexer: { about: "n tasks fill a hash table", size: size(12, 1, 20), make: indexer },
  filesystem: { about: "n tasks allocate blocks for inodes", size: size(14, 1, 26), make: filesystem },
  "lock-inc": { about: "n increments under a lock", size: size(5, 1, 12), make: lockedIncrement },
  "lock-no-unlock": { about: "n tasks take a lock for ever", size: size(5, 1, 30), make: lockWithoutUnlock },
  "racy-inc": { about: "n increments without a lock", size: size(3, 1, 8), make: racyIncrement },
  "writers-reader": { about: "n writers, one reader", size: size(5, 1, 12), make: writersReader },
  abba: { about: "two locks in opposite orders", size: size(2, 2, 2), make: abba },
  philosophers: { about: "n philosophers, left fork first", size: size(5, 2, 16), make: philosophers },
  "philosophers-ordered": {
    about: "n philosophers, lower fork first",
    size: size(5, 2, 16),
    make: orderedPhilosophers,
  },
};

function size(usual: number, least: number, most: number): CatalogueEntry["size"] {
  return { usual, least, most };
}
