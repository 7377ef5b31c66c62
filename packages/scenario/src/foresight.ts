// What the next recorded events of a lane say of the page cache: whether a page was there when the lane came to it, and
// whether it had been read by then. So it is known whether the lane can go on now, or has to let another one go first.

import type { Gfs2Inode } from "@faultline/fs";
import { PAGE_SIZE } from "@faultline/kernel";
import { PG_LOCKED, PG_READAHEAD, PG_UPTODATE } from "@faultline/mm";
import type { Expectation } from "./expectation.ts";
import { FAULTS, isProtected } from "./fault-events.ts";
import { LockForesight } from "./lock-foresight.ts";
import { outlookOfMapping } from "./mapped-pages.ts";
import type { Names } from "./maps.ts";
import { inodeOf, type Progress } from "./progress.ts";
import type { RecordedEvent } from "./result.ts";

/**
 * "now": the cache is as the lane is to find it; "later": it is not yet; "never": it is not any more; "any": nothing is
 * known.
 */
export type Outlook = "now" | "later" | "never" | "any";

/**
 * What a lane is to find of a page: "unready" is missing, not read yet, or marked; "unmarked" is ready without a mark;
 * "read" is there, and so is what its mark would have had read ahead.
 */
export interface Need {
  readonly file: string;
  readonly page: number;
  readonly finding: "ready" | "unmarked" | "unready" | "pending" | "marked" | "missing" | "gone" | "read";
  /** The first page that is read because this one is missing: what the window has before it is there. */
  readonly from?: number | undefined;
  /** The pages up to this one are ready, too. */
  readonly last?: number;
  /** And this one is not. */
  readonly unready?: number | undefined;
}

/** Who comes to a page, and may have to wait until it is read. */
const LOOKS: ReadonlySet<unknown> = new Set(["filemap_fault", "filemap_read", "glock_nq"]);
const GOES_ON: ReadonlySet<Need["finding"]> = new Set(["ready", "unmarked", "marked"]);

export class Foresight {
  readonly #expectation: Expectation;
  readonly #names: Names;
  readonly #locks: LockForesight;

  constructor(expectation: Expectation, names: Names) {
    this.#expectation = expectation;
    this.#names = names;
    this.#locks = new LockForesight(expectation);
  }

  /** `goesOn`: nothing stops it then before it lets the lock go. */
  outlook(progress: Progress): { readonly outlook: Outlook; readonly goesOn: boolean; readonly need: Need | null } {
    const { interruptedAt } = progress;
    if (interruptedAt !== null) {
      const inode = inodeOf(progress, this.#names.fileOf(interruptedAt.ino));
      return { outlook: inode?.mapping.find(interruptedAt.page) === 0 ? "later" : "any", goesOn: false, need: null };
    }
    if (this.#locks.isToBeAskedFirst(progress)) return { outlook: "later", goesOn: false, need: null };
    const need = this.#need(progress);
    const inode = inodeOf(progress, need?.file);
    if (need === null || inode === null) {
      return { outlook: outlookOfMapping(progress, this.#names) ?? "any", goesOn: true, need };
    }
    return { outlook: outlookOf(need, inode), goesOn: GOES_ON.has(need.finding), need };
  }

  /** Is the lane to find a page of this file without a mark, and would find it so now? */
  findsUnmarked(progress: Progress, ino: number): boolean {
    const need = this.#need(progress);
    if (need?.finding !== "unmarked" || need.file !== this.#names.fileOf(ino)) return false;
    return this.outlook(progress).outlook === "now";
  }

  /** Is the page that the lane is to find ready being read? */
  isBeingRead(progress: Progress): boolean {
    const need = this.#need(progress);
    return (
      (need?.finding === "ready" || need?.finding === "unmarked") &&
      inodeOf(progress, need.file)?.mapping.find(need.page) !== 0
    );
  }

  /** The file of the page that the lane waits for, or comes to next; undefined when it is not known. */
  readsFrom(progress: Progress): string | undefined {
    const { got } = progress;
    const asks = got.findLastIndex(([name]) => LOOKS.has(name));
    const waits = asks >= 0 && got[asks][0] !== "glock_nq" && !got[asks].includes("ret");
    return this.#need(progress)?.file ?? (waits ? lockedBefore(got, asks) : undefined);
  }

  /**
   * Does somebody else add this page of a file that the lane reads ahead, when it has so many pages before it in hand?
   * The requests of its recording begin behind such a page, or end before it.
   */
  isAddedByOther({ expected, got }: Progress, page: number, inHand: number): boolean {
    const next = expected?.events.slice(got.length).find(([name]) => name === "iomap_begin");
    if (next === undefined) return false;
    const begin = Number(next[2]);
    return inHand === 0 ? begin > page * PAGE_SIZE : begin + Number(next[4]) === page * PAGE_SIZE;
  }

  /** What the lane is to find from now on, in the order in which it does, and at which of its events. */
  *needs(progress: Progress): Generator<readonly [need: Need, at: number], void, void> {
    const { expected, got } = progress;
    if (expected === null) return;
    const { events } = expected;
    const read = isReading(got) ? this.#needOfRead(progress) : null;
    if (read !== null) yield [read, got.length];
    for (let at = got.length; at < events.length; at++) {
      const need = this.#needAt(events, at);
      if (need !== null) yield [need, at];
    }
  }

  #need(progress: Progress): Need | null {
    const { expected, got } = progress;
    if (expected === null) return null;
    const { events } = expected;
    if (isReading(got)) return this.#needOfRead(progress);
    if (events[got.length]?.[0] === "glock_nq") return this.#needOfLockedRead(progress);
    return this.#needAt(events, got.length);
  }

  #needAt(events: readonly RecordedEvent[], at: number): Need | null {
    switch (events[at]?.[0]) {
      case "filemap_fault":
        return events[at][1] === "ret" ? null : needOfFault(events, at);
      case "read_folio":
        return needOfReading(events, at);
      case "mm_fault":
        return this.#needOfFaultAround(events, at);
      default:
        return null;
    }
  }

  /** A read that holds no lock ends where a page is not ready. */
  #needOfRead(progress: Progress): Need | null {
    const { lane, op, expected, got, steps } = progress;
    const [recorded = [], next = []] = expected?.events.slice(got.length - 1, got.length + 1) ?? [];
    const { threads } = this.#expectation.scenario;
    // What a fault of the buffer interrupts had something to copy.
    const copies = recorded.length === 1 && next[0] === "pf_kernel";
    if ((recorded.length !== 3 && !copies) || isLocked(got) || lane === threads.length) return null;
    const read = threads[lane][op];
    if (!("pos" in read && "iov" in read)) return null;
    const file = this.#names.fds.get(read.fd)?.file;
    const inode = inodeOf(progress, file);
    if (file === undefined || inode === null) return null;
    const begin = read.pos + bytesRead(got);
    const page = Math.floor(begin / PAGE_SIZE);
    if (copies) return { file, page, finding: "unmarked" };
    const asked = read.iov.reduce((sum, [, , length]) => sum + length, read.pos);
    const end = begin + Math.max(0, Number(recorded[2]));
    // It lets go of a batch of pages before it looks at the next ones.
    const { readBatch } = inode.sb;
    const reached = page + steps * readBatch;
    const missing = end < Math.min(asked, inode.size) ? Math.floor(end / PAGE_SIZE) : Number.POSITIVE_INFINITY;
    if (missing < reached + readBatch) return { file, page: missing, finding: "unready" };
    const last = Math.floor((end - 1) / PAGE_SIZE);
    return reached > last ? null : { file, page: reached, finding: "unmarked", last };
  }

  /** A read that takes the lock and then reads nothing ahead finds all that it would: others bring it in before. */
  #needOfLockedRead({ lane, op, expected, got }: Progress): Need | null {
    const { threads } = this.#expectation.scenario;
    const events = expected?.events.slice(got.length, got.length + 4) ?? [];
    const [, next, after] = events.filter(([name]) => name !== "glock_grant");
    const copied = after?.[0] === "filemap_read" && after.length === 3 ? Number(after[2]) : 0;
    const read = threads[lane]?.[op];
    if (next?.[0] !== "generic_read" || copied <= 0) return null;
    if (read === undefined || !("pos" in read && "fd" in read)) return null;
    const file = this.#names.fds.get(read.fd)?.file;
    if (file === undefined) return null;
    const begin = read.pos + bytesRead(got);
    const last = Math.floor((begin + copied - 1) / PAGE_SIZE);
    return { file, page: Math.floor(begin / PAGE_SIZE), finding: "read", last };
  }

  /** What is ready around a fault is mapped at once; for a page that is not the file system is asked. */
  #needOfFaultAround(events: readonly RecordedEvent[], at: number): Need | null {
    const [fault, around, after] = events.slice(at, at + 3);
    const map = this.#names.map(String(fault[1]));
    if (map === undefined || map.file === "" || around?.[0] !== "map_pages" || after === undefined) return null;
    const { file } = map;
    const pageAt = (offset: number): number => Math.floor((map.fileOffset + offset) / PAGE_SIZE);
    const page = pageAt(Number(fault[2]));
    if (after[0] === "gfs2_fault") return { file, page, finding: "unready" };
    if (after[0] !== "mm_fault" || after[2] !== "NOPAGE") return null;
    // Whoever walks through the map takes the next fault at the first page that was not ready.
    const next = events.slice(at + 3).find((event) => isFaultOf(event, fault[1]) || event[0] === "fault_in_readable");
    const faults = next !== undefined && next[0] !== "fault_in_readable";
    const end = faults
      ? Number(next[2])
      : next === undefined
        ? endOfProtected(events, at, fault[1])
        : endOfFaultIn(events, at, fault[1]);
    if (end === null || end <= Number(fault[2])) return { file, page, finding: "ready" };
    const last = Number(around[2]);
    const unready = faults && pageAt(end) <= last ? pageAt(end) : undefined;
    return { file, page, finding: "ready", last: Math.min(pageAt(end - 1), last), unready };
  }
}

function bytesRead(got: readonly RecordedEvent[]): number {
  let done = 0;
  for (const [name, , ret] of got) if (name === "filemap_read" && Number(ret) > 0) done += Number(ret);
  return done;
}

/** Is it a fault at a page of this map that is not there? */
function isFaultOf([name, where, , access]: RecordedEvent, map: unknown): boolean {
  return FAULTS.has(name) && where === map && !isProtected(access);
}

/** Behind the last page of this map that is found to be there, and protected; null when none is. */
function endOfProtected(events: readonly RecordedEvent[], at: number, map: unknown): number | null {
  const last = events.slice(at).findLast(([, where, , access]) => where === map && isProtected(access));
  return last === undefined ? null : Number(last[2]) + 1;
}

/** Where the range of this map ends that is being faulted in; null when none is. */
function endOfFaultIn(events: readonly RecordedEvent[], at: number, map: unknown): number | null {
  for (let i = at; i >= 0; i--) {
    const [name, where, offset, size] = events[i];
    if (name !== "fault_in_readable") continue;
    return where === map && !events[i].includes("ret") ? Number(offset) + Number(size) : null;
  }
  return null;
}

/** What a fault finds shows in what it returns: MAJOR if the page was missing, RETRY if it had to wait. */
function needOfFault(events: readonly RecordedEvent[], at: number): Need | null {
  const file = lockedBefore(events, at);
  const end = events.findIndex((event, i) => i >= at && event[0] === "filemap_fault" && event.includes("ret"));
  if (file === undefined || end < 0) return null;
  const page = Number(events[at][1]);
  const result = String(events[end][events[end].length - 1]);
  if (!/RETRY|LOCKED/.test(result)) return null;
  const begin = events.slice(at, end).find(([name]) => name === "iomap_begin");
  if (result.includes("MAJOR")) {
    return { file, page, finding: "missing", from: begin === undefined ? undefined : Number(begin[2]) / PAGE_SIZE };
  }
  if (begin !== undefined) return { file, page, finding: "marked" };
  return { file, page, finding: result.includes("RETRY") ? "pending" : "ready" };
}

/** A fault that reads its page alone, after it has read ahead, has lost it again. */
function needOfReading(events: readonly RecordedEvent[], at: number): Need | null {
  const file = lockedBefore(events, at);
  let fault = at;
  while (fault >= 0 && events[fault][0] !== "filemap_fault") fault--;
  if (file === undefined || fault < 0 || events[fault].includes("ret")) return null;
  return { file, page: Number(events[fault][1]), finding: "gone" };
}

/** The file whose lock was asked for last. */
function lockedBefore(events: readonly RecordedEvent[], at: number): string | undefined {
  for (let i = at - 1; i >= 0; i--) if (events[i][0] === "glock_nq") return String(events[i][1]);
  return undefined;
}

/** Has a read begun, and nothing happened since? */
function isReading(got: readonly RecordedEvent[]): boolean {
  const last = got[got.length - 1];
  return last?.[0] === "filemap_read" && last.length === 1;
}

function isLocked(got: readonly RecordedEvent[]): boolean {
  let held = 0;
  for (const [name] of got) held += name === "glock_nq" ? 1 : name === "glock_dq" ? -1 : 0;
  return held > 0;
}

function outlookOf({ page, finding, from, last, unready }: Need, { mapping, sb, size }: Gfs2Inode): Outlook {
  const pages = Math.ceil(size / PAGE_SIZE);
  const { flags } = mapping.mem;
  const has = (at: number, flag: number): boolean => (flags[mapping.find(at)] & flag) !== 0;
  const isThere = (at: number): boolean => mapping.find(at) !== 0;
  const isReady = (at: number): boolean => isThere(at) && has(at, PG_UPTODATE) && !has(at, PG_LOCKED);
  const isMarked = (at: number): boolean => isThere(at) && has(at, PG_READAHEAD);
  switch (finding) {
    case "ready":
      for (let at = page; at <= (last ?? page); at++) if (!isReady(at)) return "later";
      return unready !== undefined && isReady(unready) && !isMarked(unready) ? "never" : "now";
    case "unmarked":
      return isReady(page) && !isMarked(page) ? "now" : "later";
    case "read":
      // With a mark among them, what the next window has to bring in is there, too.
      for (let at = page, ahead = 0; at <= Math.max(last ?? page, ahead) && at < pages; at++) {
        if (!isThere(at)) return "later";
        if (at <= (last ?? page) && isMarked(at)) ahead = (last ?? page) + sb.readahead.raPages;
      }
      return "any";
    case "gone":
      return isThere(page) ? "later" : "now";
    case "unready":
      return isReady(page) && !isMarked(page) ? "never" : "now";
    case "pending":
      return !isThere(page) ? "later" : isReady(page) ? "never" : "now";
    case "marked":
      return !isThere(page) ? "later" : isMarked(page) ? "now" : "never";
    case "missing": {
      if (isThere(page) || (from !== undefined && isThere(from))) return "never";
      // What is read begins behind it: others add it, and what follows, before this one does.
      if (from !== undefined && from > page) return "now";
      const start = Math.max(0, page - Math.floor(sb.readahead.raPages / 2));
      for (let at = start; at < (from ?? start); at++) if (!isThere(at)) return "later";
      return "now";
    }
  }
}
