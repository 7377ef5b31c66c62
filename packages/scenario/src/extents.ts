// Where a recording shows that an extent ends: the kernel puts each new directory into a resource group picked by
// chance, and what is free there depends on all that was there before. So it is a choice of the environment,
// "extent", and a recording tells how it turned out.

import { type Chooser, PAGE_SIZE } from "@faultline/kernel";
import { countLeftOut } from "./cut.ts";
import { expandRepeats } from "./events.ts";
import type { RecordedEvent, Recording } from "./result.ts";
import type { ScenarioRun } from "./run.ts";

/**
 * The decisions on "extent" with which the extents of a run end where those of the recording end.
 *
 * `run` was made without such decisions, and traced. Returns: null when no extent of the recording ends elsewhere.
 */
export function extentDecisions(recording: Recording, run: ScenarioRun): readonly number[] | null {
  const known = extentEnds(run.recording);
  const missing = [...extentEnds(recording)].filter(([key]) => !known.has(key)).map(([, end]) => end);
  const allocated = allocations(run);
  missing.push(...unseenEnds(allocated, unseenMappings(recording, run.recording) - missing.length));
  const decisions: number[] = [];
  for (const { file, first, last } of allocated) {
    const ends = missing.filter((end) => end.file === file && end.block > first && end.block <= last);
    let at = first;
    for (const { block } of ends.sort((one, other) => one.block - other.block)) {
      decisions.push(block - at);
      at = block;
    }
    if (at < last) decisions.push(0);
  }
  return decisions.some((decision) => decision > 0) ? decisions : null;
}

interface ExtentEnd {
  readonly file: string;
  /** The first block of the file that does not belong to the extent. */
  readonly block: number;
}

/** Blocks [first, last) of a file that were allocated at once. */
interface Allocation {
  readonly file: string | undefined;
  readonly first: number;
  readonly last: number;
}

function allocations(run: ScenarioRun): Allocation[] {
  const found: Allocation[] = [];
  for (const { name, args } of run.machine.world.trace?.events(0) ?? []) {
    if (name !== "lab_extent") continue;
    found.push({ file: run.names.fileOf(args.ino), first: args.block, last: args.block + args.wanted });
  }
  return found;
}

/** How many more mappings than the run a recording counts where it shows none of them. */
function unseenMappings(recording: Recording, run: Recording): number {
  let more = 0;
  for (const [i, { elided }] of recording.trace.entries()) {
    if (elided?.iomap_begin === undefined || elided.iomap_end === undefined) continue;
    const counts = countLeftOut(expandRepeats(run.trace[i]?.events ?? []), elided);
    more += Math.max(0, elided.iomap_begin - (counts.get("iomap_begin") ?? 0));
  }
  return more;
}

/** Where that many extents may have ended that nobody saw: in the middle of what is longest. */
function unseenEnds(allocated: readonly Allocation[], count: number): ExtentEnd[] {
  const pieces = allocated.filter(({ file }) => file !== undefined);
  const ends: ExtentEnd[] = [];
  while (ends.length < count) {
    const [longest] = pieces.sort((one, other) => other.last - other.first - (one.last - one.first));
    if (longest?.file === undefined || longest.last - longest.first < 2) break;
    const { file, first, last } = longest;
    const block = (first + last) >> 1;
    ends.push({ file, block });
    pieces.splice(0, 1, { file, first, last: block }, { file, first: block, last });
  }
  return ends;
}

/** A mapping that was asked for: of which file, and for how many bytes. */
interface Asked {
  file: string;
  readonly length: number;
  returned: boolean;
}

/** Where mappings ended although more was asked for, each with a key of its own. */
function extentEnds({ trace }: Recording): Map<string, ExtentEnd> {
  const ends = new Map<string, ExtentEnd>();
  for (const { events, elided } of trace) {
    if (elided?.iomap_begin !== undefined) {
      for (const end of adjoining(expandRepeats(events))) ends.set(`${end.file} ${end.block}`, end);
      continue;
    }
    // A copy under a mapping may fault, and read another file.
    const under: Asked[] = [];
    let file = "";
    for (const event of expandRepeats(events)) {
      const [name, first, pos, , length] = event;
      const last = under[under.length - 1];
      if (name === "glock_nq") {
        file = String(first);
        // On some kernels it is the mapping that takes the lock.
        if (last?.returned === false) last.file = file;
      }
      if (name === "iomap_begin" && first === "pos") {
        under.push({ file, length: Number(length), returned: event.includes("ret") });
      } else if (name === "iomap_begin" && last !== undefined) {
        last.returned = true;
      }
      if (name !== "iomap_end" || first !== "pos") continue;
      const asked = under.pop();
      const block = (Number(pos) + Number(length)) / PAGE_SIZE;
      if (asked !== undefined && asked.file !== "" && Number(length) < asked.length && Number.isInteger(block)) {
        ends.set(`${asked.file} ${block}`, { file: asked.file, block });
      }
    }
  }
  return ends;
}

/** Where mappings ended in a list without their requests: the next one goes on there at once. */
function* adjoining(events: readonly RecordedEvent[]): Generator<ExtentEnd, void, void> {
  let file = "";
  let before = -1;
  for (const [name, first, pos, , length] of events) {
    if (name === "glock_nq") file = String(first);
    const isEnd = name === "iomap_end" && first === "pos" && file !== "";
    if (isEnd && Number(pos) === before * PAGE_SIZE) yield { file, block: before };
    before = isEnd ? (Number(pos) + Number(length)) / PAGE_SIZE : -1;
  }
}

/** First come, first served, and extents as decided. */
export class ExtentChooser implements Chooser {
  readonly preemptive = false;
  readonly #decisions: readonly number[];
  #next = 0;

  constructor(decisions: readonly number[]) {
    this.#decisions = decisions;
  }

  pickTask(): number {
    return 0;
  }

  choose(choice: string): number {
    return choice === "extent" ? (this.#decisions[this.#next++] ?? 0) : 0;
  }
}

/** The budget that these decisions need. */
export function extentBudget(decisions: readonly number[]): Readonly<Record<string, number>> {
  return decisions.length === 0 ? {} : { extent: decisions.filter((decision) => decision > 0).length };
}
