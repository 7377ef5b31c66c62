// Where a recording shows that an extent ends: the kernel puts each new directory into a resource group picked by
// chance, and what is free there depends on all that was there before. So it is a choice of the environment,
// "extent", and a recording tells how it turned out.

import { type Chooser, PAGE_SIZE } from "@faultline/kernel";
import { countLeftOut } from "./cut.ts";
import { expandRepeats } from "./events.ts";
import type { RecordedEvent, Recording } from "./result.ts";
import type { ScenarioRun } from "./run.ts";

/** An extent that ends within an allocation, or with it. */
export interface AllocatedEnd {
  readonly ino: number;
  /** The first block of the file that does not belong to the extent. */
  readonly block: number;
}

/**
 * Where the extents have to end so that those of a run end where those of the recording end; once for each allocation
 * that it is about.
 *
 * `run` was made without such decisions, and traced. Returns: null when no extent of the recording ends elsewhere.
 */
export function extentDecisions(recording: Recording, run: ScenarioRun): readonly AllocatedEnd[] | null {
  const known = extentEnds(run.recording);
  const missing = [...extentEnds(recording)].filter(([key]) => !known.has(key)).map(([, end]) => end);
  const allocated = allocations(run);
  missing.push(...unseenEnds(allocated, unseenMappings(recording, run.recording) - missing.length));
  const decisions = missing.flatMap(({ file, block }): AllocatedEnd[] => {
    const ofFile = allocated.filter((one) => one.file === file);
    const around = ofFile.filter(({ first, last }) => block > first && block <= last);
    // Threads in another order allocate other pieces.
    const about = around.length === 0 && recording.interleave !== undefined ? ofFile.slice(0, 1) : around;
    return about.map(({ ino }) => ({ ino, block }));
  });
  return decisions.length > 0 ? decisions : null;
}

interface ExtentEnd {
  readonly file: string;
  /** The first block of the file that does not belong to the extent. */
  readonly block: number;
}

/** Blocks [first, last) of a file that were allocated at once. */
interface Allocation {
  readonly ino: number;
  readonly file: string | undefined;
  readonly first: number;
  readonly last: number;
}

function allocations(run: ScenarioRun): Allocation[] {
  const found: Allocation[] = [];
  for (const { name, args } of run.machine.world.trace?.events(0) ?? []) {
    if (name !== "lab_extent") continue;
    found.push({ ino: args.ino, file: run.names.fileOf(args.ino), first: args.block, last: args.block + args.wanted });
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
    pieces.splice(0, 1, { ...longest, last: block }, { ...longest, first: block });
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
  readonly #ends: readonly AllocatedEnd[];

  constructor(ends: readonly AllocatedEnd[]) {
    this.#ends = ends;
  }

  pickTask(): number {
    return 0;
  }

  /** `about`: the file, and the first of fewer than `count` blocks. */
  choose(choice: string, count: number, about = ""): number {
    if (choice !== "extent") return 0;
    const [ino, first] = about.split(" ").map(Number);
    const lengths = this.#ends.filter((end) => end.ino === ino).map(({ block }) => block - first);
    const within = lengths.filter((length) => length > 0 && length < count);
    return within.length === 0 ? 0 : Math.min(...within);
  }
}

/** The budget that these decisions need. */
export function extentBudget(decisions: readonly AllocatedEnd[]): Readonly<Record<string, number>> {
  return decisions.length === 0 ? {} : { extent: decisions.length };
}
