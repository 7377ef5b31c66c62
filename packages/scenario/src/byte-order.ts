// Who was first at the bytes of each page, by the sum of all of them: a copy that was made before or after a store, and
// which of two writes came last.

import { type ByteHistory, isSame, type PageName, type Version } from "./byte-history.ts";
import { type Candidate, readSum } from "./sum-reader.ts";

/** A step of a run that is to come before another one. */
export interface StepOrder {
  readonly earlier: number;
  readonly later: number;
}

/** A page that is summed up, and what it holds. */
export interface SummedPage {
  readonly name: PageName;
  readonly bytes: Uint8Array;
}

/** What a page may have held, and the order of steps that makes it so. */
interface Way extends Candidate {
  readonly orders: readonly StepOrder[];
}

/** Returns: the order of steps with which the pages have this sum; null when no order is known to. */
export function orderBySum(pages: readonly SummedPage[], sum: string, history: ByteHistory): StepOrder[] | null {
  const ways = pages.map((page) => waysOf(page, history));
  const chosen = readSum(ways, sum);
  return chosen?.flatMap((way, page) => ways[page][way].orders) ?? null;
}

/** What it holds comes first. */
function waysOf({ name, bytes }: SummedPage, history: ByteHistory): readonly Way[] {
  const versions = history.versionsOf(name);
  const ways = wayOfLast(name, versions, history).sort((one, other) => rank(one, bytes) - rank(other, bytes));
  return ways.length > 0 && isSame(ways[0].bytes, bytes) ? ways : [{ bytes, kind: "", orders: [] }];
}

function rank({ bytes }: Way, held: Uint8Array): number {
  return isSame(bytes, held) ? 0 : 1;
}

/** The latest write stays the latest, and may have copied something else; or another one was. */
function wayOfLast(name: PageName, versions: readonly Version[], history: ByteHistory): Way[] {
  const ways: Way[] = [];
  for (const [at, { step, bytes, source }] of [...versions.entries()].reverse()) {
    const orders = versions.slice(at + 1).map((other) => ({ earlier: other.step, later: step }));
    if (source === null || source === name) {
      addWay(ways, { bytes, kind: `step ${at - versions.length}`, orders });
      continue;
    }
    const sources = distinct(history.versionsOf(source));
    for (const [i, from] of sources.entries()) {
      const copied = [...orders, { earlier: from.step, later: step }];
      if (i + 1 < sources.length) copied.push({ earlier: step, later: sources[i + 1].step });
      addWay(ways, { bytes: from.bytes, kind: `${at - versions.length} ${i}`, orders: copied });
    }
  }
  return ways;
}

function addWay(ways: Way[], way: Way): void {
  if (!ways.some(({ bytes }) => isSame(bytes, way.bytes))) ways.push(way);
}

/** The versions that differ from the one before. */
function distinct(versions: readonly Version[]): Version[] {
  return versions.filter(({ bytes }, i) => i === 0 || !isSame(bytes, versions[i - 1].bytes));
}
