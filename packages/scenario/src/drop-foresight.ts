// What whoever drops the pages of a file is to leave there, and what not: other lanes find it so afterwards, and how many
// pages are left it tells itself.

import { isDroppable } from "@faultline/fs";
import { PAGE_SIZE, type Pfn } from "@faultline/kernel";
import { PG_UPTODATE } from "@faultline/mm";
import { eventText } from "./events.ts";
import { type Expectation, isMerged } from "./expectation.ts";
import type { Foresight, Need, Outlook } from "./foresight.ts";
import { ALREADY, type Loss, losesAfter } from "./loss-foresight.ts";
import { isMapped } from "./mapped-pages.ts";
import type { Names } from "./maps.ts";
import type { Op } from "./op.ts";
import { inodeOf, type Progress } from "./progress.ts";
import { usesMemory } from "./used-memory.ts";

/** Pages of a file. */
interface Range {
  readonly file: string;
  readonly first: number;
  readonly last: number;
}

/** Findings of a page that is not there. */
const ABSENT: ReadonlySet<Need["finding"]> = new Set(["missing", "gone"]);

export class DropForesight {
  readonly #expectation: Expectation;
  readonly #names: Names;
  readonly #foresight: Foresight;

  constructor(expectation: Expectation, names: Names, foresight: Foresight) {
    this.#expectation = expectation;
    this.#names = names;
    this.#foresight = foresight;
  }

  /** Of a lane that takes away pages, or counts what is left: is all as it is to be by then? */
  outlook(progress: Progress, lanes: Iterable<Progress>): Outlook {
    const { idle, call } = progress;
    if (call === "madvise" || (idle && this.#beginsWithUnmapping(progress))) {
      return this.#outlookOfLoss("mapping", progress, lanes);
    }
    const range = idle ? null : this.#range(this.#op(progress));
    if (range === null || call === null || call === "open") return "any";
    if (call === "fsync") return this.#outlookOfLoss("storing", progress, lanes);
    const outlook = this.#outlookOfCount(progress, range, lanes);
    if (outlook === "later" || call === "mincore") return outlook;
    for (const lane of lanes) {
      if (lane === progress) continue;
      const found = new Set<number>();
      for (const [need, at] of this.#foresight.needs(lane)) {
        if (need.file !== range.file || need.finding === "unready") continue;
        if (ABSENT.has(need.finding)) {
          // It is what this lane drops, if it has nothing else to do before; as soon as it can.
          if (outlook === "now" && this.#comesBefore(lane, at, progress)) return "later";
          const next = found.has(need.page) && this.#dropsLater(progress, need);
          if (outlook === "any" && !next && this.#isBusy(progress, range, need.page)) return "later";
          break;
        }
        if (this.#drops(progress, range, need)) return "later";
        for (let page = need.page; page <= (need.last ?? need.page); page++) found.add(page);
      }
    }
    return outlook;
  }

  /** Does a lane come to the fault that this event of its is part of before another one comes to its next lock event? */
  #comesBefore({ lane, merged, expected, got }: Progress, at: number, other: Progress): boolean {
    const { positions, merged: all } = this.#expectation;
    const limit = positions[other.lane][other.merged];
    const between = expected?.events.slice(got.length, at) ?? [];
    const turns = positions[lane].slice(merged);
    const faults = between.filter((event) => isFault(eventText(event))).length;
    const [first] = between.some(isMerged) ? turns : [];
    const last = turns.filter((position) => isFault(all[position].text))[faults - 1] ?? first;
    return limit === undefined || last === undefined || last < limit;
  }

  /** The file that a lane drops pages of; undefined if it drops none. */
  fileOf(progress: Progress): string | undefined {
    return progress.call === null ? undefined : this.#range(this.#op(progress))?.file;
  }

  /** Is there a lane that is still to drop this page of a file? */
  isDropped(file: string, page: number, lanes: Iterable<Progress>): boolean {
    for (const { lane, op, idle } of lanes) {
      const ops = this.#expectation.scenario.threads[lane] ?? [];
      for (let i = idle ? op + 1 : op; i < ops.length; i++) {
        const range = this.#range(ops[i]);
        if (range !== null && range.file === file && page >= range.first && page <= range.last) return true;
      }
    }
    return false;
  }

  /** The others are to have all that they are to lose, and what they are to keep they have until they are done. */
  #outlookOfLoss(loss: Loss, progress: Progress, lanes: Iterable<Progress>): Outlook {
    for (const lane of lanes) {
      if (lane === progress || lane.expected === null) continue;
      const after = losesAfter(loss, lane, this.#names);
      if (after === ALREADY) return "now";
      if (after === null && (loss === "storing" || !this.#touches(lane, progress))) continue;
      if (!this.#comesBefore(lane, after ?? lane.expected.events.length, progress)) continue;
      // What is to be left when the others are done they have mapped after it was unmapped here.
      return after === null && this.#leavesMapped(progress) ? "now" : "later";
    }
    return "any";
  }

  /** Is a lane in an operation that touches what another one unmaps? */
  #touches(lane: Progress, { lane: other, op, idle }: Progress): boolean {
    const touching = this.#op(lane);
    const unmapping = this.#expectation.scenario.threads[other]?.[idle ? op + 1 : op];
    const isOfMap = unmapping?.op === "evict" || unmapping?.op === "madvise";
    return touching !== undefined && isOfMap && usesMemory(touching, unmapping);
  }

  /** Does the lane leave pages there that it has unmapped, and is none of them mapped now? */
  #leavesMapped({ lane, op: current, idle, task }: Progress): boolean {
    const op = idle ? current + 1 : current;
    const unmaps = this.#expectation.scenario.threads[lane]?.[op];
    const left = this.#expectation.result({ thread: lane, op })?.resident;
    if (unmaps?.op !== "evict" || typeof left !== "number" || left <= 0) return false;
    const start = this.#names.address(unmaps.map, unmaps.off);
    for (let address = start; address < start + unmaps.len; address += PAGE_SIZE) {
      if (isMapped(task, address, false)) return false;
    }
    return true;
  }

  #beginsWithUnmapping({ lane, op }: Progress): boolean {
    const next = this.#expectation.scenario.threads[lane]?.[op + 1];
    return next?.op === "evict" || (next?.op === "madvise" && next.advice === "DONTNEED");
  }

  /** Would as many be left as it is to count; or are there, when it counts? */
  #outlookOfCount(progress: Progress, range: Range, lanes: Iterable<Progress>): Outlook {
    const wanted = this.#expectation.result({ thread: progress.lane, op: progress.op })?.resident;
    const mapping = inodeOf(progress, range.file)?.mapping;
    if (typeof wanted !== "number" || mapping === undefined) return "any";
    const { mem } = mapping;
    const drops = progress.call === "fadvise";
    let count = 0;
    let reading = 0;
    mapping.pages.forEach(range.first, range.last + 1, (_index, frame) => {
      if ((mem.flags[frame] & PG_UPTODATE) === 0) reading++;
      else if (!drops || !isDroppable(mem, frame as Pfn)) count++;
    });
    // Whoever counts now changes nothing, and finds what others may change.
    if (wanted === count && !drops) return "now";
    // What the disk still does for calls that are over it has had time for.
    if (wanted === count) return reading > 0 && !isSomebodyBusy(lanes) ? "later" : "any";
    // What is being read is counted when it is read by then, and cannot be dropped until it is.
    return drops && wanted === count + reading ? "now" : "later";
  }

  /** Is a page there that cannot be dropped yet? */
  #isBusy(progress: Progress, { file, first, last }: Range, page: number): boolean {
    const mapping = inodeOf(progress, file)?.mapping;
    if (mapping === undefined || page < first || page > last) return false;
    const frame = mapping.find(page);
    return frame !== 0 && !isDroppable(mapping.mem, frame as Pfn);
  }

  /** Is this page dropped by a later operation of the lane, too? */
  #dropsLater({ lane, op }: Progress, { file, page }: Need): boolean {
    return this.#expectation.scenario.threads[lane].slice(op + 1).some((later) => {
      const range = this.#range(later);
      return range !== null && range.file === file && range.first <= page && page <= range.last;
    });
  }

  /** Would a page that another lane is to find be dropped now? */
  #drops(progress: Progress, range: Range, { page, last }: Need): boolean {
    const mapping = inodeOf(progress, range.file)?.mapping;
    if (mapping === undefined) return false;
    for (let at = Math.max(page, range.first); at <= Math.min(last ?? page, range.last); at++) {
      const frame = mapping.find(at);
      if (frame !== 0 && isDroppable(mapping.mem, frame as Pfn)) return true;
    }
    return false;
  }

  #op({ lane, op }: Progress): Op | undefined {
    return this.#expectation.scenario.threads[lane]?.[op];
  }

  /** The pages that an operation drops; null if it drops none. */
  #range(op: Op | undefined): Range | null {
    if (op?.op === "dropcache") {
      const file = this.#names.fds.get(op.fd)?.file;
      return file === undefined ? null : { file, first: 0, last: Number.MAX_SAFE_INTEGER };
    }
    if (op?.op !== "evict") return null;
    const map = this.#names.map(op.map);
    if (map === undefined || map.file === "") return null;
    const start = map.fileOffset + op.off;
    return { file: map.file, first: Math.ceil(start / PAGE_SIZE), last: Math.floor((start + op.len) / PAGE_SIZE) - 1 };
  }
}

/** Is a lane in a call that shows something? */
function isSomebodyBusy(lanes: Iterable<Progress>): boolean {
  return [...lanes].some(({ expected }) => expected !== null && expected.events.length > 0);
}

/** Is it the beginning of a fault, or its end? Who is to have what it gave has to come out of it. */
function isFault(text: string): boolean {
  return text.startsWith("gfs2_fault ");
}
