// What may come out of a scenario's threads: whatever their operations come to when they run one after the other,
// whole, in some order. Returns of calls, and bytes of files in pieces of half a kilobyte: a write that is under way
// while another thread writes its source may take some of its pieces before and others after.

import { World } from "@faultline/kernel";
import { type Ending, exploredOf, type Stage, StagedRun } from "./explorable.ts";
import type { OpResult } from "./result.ts";

/** Orders of operations to try; with more of them than this nothing is expected. */
const MOST_ORDERS = 400;
const PIECE = 512;

export class Expectations {
  /** By thread and operation: what it may return. */
  readonly #returns: Set<string>[][];
  /** By file: sizes, and contents of each piece. */
  readonly #sizes = new Map<string, Set<number>>();
  readonly #pieces = new Map<string, Uint8Array[][]>();
  /** Orders that ended well. */
  #orders = 0;

  constructor(stage: Stage) {
    const threads = exploredOf(stage.scenario);
    this.#returns = threads.map((ops) => ops.map(() => new Set()));
    const orders = ordersOf(threads.map(({ length }) => length));
    if (orders !== null) for (const order of orders) this.#try(stage, order);
  }

  /** What is wrong with an ending, in words; null when nothing is. */
  check({ results, files }: Ending): string | null {
    if (this.#orders === 0) return null;
    for (const [thread, list] of results.entries()) {
      for (const [op, result] of list.entries()) {
        const expected = this.#returns[thread][op];
        if (expected.has(returnOf(result))) continue;
        return `thread ${thread}, operation ${op} returns ${returnOf(result)}, and ${[...expected].join(" or ")} in any order of whole operations`;
      }
    }
    for (const [name, bytes] of Object.entries(files)) {
      const wrong = this.#checkFile(name, bytes);
      if (wrong !== null) return wrong;
    }
    return null;
  }

  #checkFile(name: string, bytes: Uint8Array | null): string | null {
    const size = bytes?.length ?? -1;
    if (this.#sizes.get(name)?.has(size) === false) return `${name} has ${size} bytes, and never in any order`;
    const pieces = this.#pieces.get(name) ?? [];
    for (let at = 0; bytes !== null && at < size; at += PIECE) {
      if (pieces[at / PIECE]?.some((piece) => holds(bytes, at, piece)) === true) continue;
      return `${name} holds bytes from ${at} on that no order of whole operations leaves there`;
    }
    return null;
  }

  #try(stage: Stage, order: readonly number[]): void {
    const run = new StagedRun(stage, new World());
    const next = exploredOf(stage.scenario).map(() => 0);
    for (const thread of order) if (run.runAlone(thread, next[thread]++).kind !== "completed") return;
    this.#orders++;
    const { results, files } = run.ending;
    for (const [thread, list] of results.entries()) {
      for (const [op, result] of list.entries()) this.#returns[thread][op].add(returnOf(result));
    }
    for (const [name, bytes] of Object.entries(files)) this.#learnFile(name, bytes);
  }

  #learnFile(name: string, bytes: Uint8Array | null): void {
    const sizes = this.#sizes.get(name) ?? new Set();
    const pieces = this.#pieces.get(name) ?? [];
    this.#sizes.set(name, sizes.add(bytes?.length ?? -1));
    this.#pieces.set(name, pieces);
    for (let at = 0; bytes !== null && at < bytes.length; at += PIECE) {
      pieces[at / PIECE] ??= [];
      const known = pieces[at / PIECE].some((piece) => holds(bytes, at, piece));
      if (!known) pieces[at / PIECE].push(bytes.slice(at, at + PIECE));
    }
  }
}

function returnOf({ ret, errno, sig }: OpResult): string {
  return sig ?? errno ?? String(ret);
}

function holds(bytes: Uint8Array, at: number, piece: Uint8Array): boolean {
  for (let i = 0; i < piece.length; i++) if (bytes[at + i] !== piece[i]) return false;
  return true;
}

/** Every way to merge lists of these lengths, as list numbers; null when there are too many. */
function ordersOf(lengths: readonly number[]): number[][] | null {
  const left = [...lengths];
  const orders: number[][] = [];
  const walk = (order: readonly number[]): boolean => {
    if (orders.length > MOST_ORDERS) return false;
    if (left.every((count) => count === 0)) orders.push([...order]);
    return left.every((count, list) => {
      if (count === 0) return true;
      left[list]--;
      const fits = walk([...order, list]);
      left[list]++;
      return fits;
    });
  };
  return walk([]) && orders.length <= MOST_ORDERS ? orders : null;
}
