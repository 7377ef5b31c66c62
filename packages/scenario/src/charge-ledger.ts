// What a recording of threads says of the pages that each of them dirtied: what an operation dirties itself, and where
// a window, or the end of an allowance, shows how many were charged to its thread by then.

import { PAGE_SIZE } from "@faultline/kernel";
import { expandRepeats } from "./events.ts";
import type { Expectation } from "./expectation.ts";
import type { Op, OpName } from "./op.ts";
import type { OpTrace, RecordedEvent } from "./result.ts";

/** One line of a thread's account. */
export type Entry =
  /** A page of a file becomes dirty; `sure`: it was clean. */
  | { readonly kind: "page"; readonly file: string; readonly page: number; sure: boolean }
  /** The thread looks at the throttle, and its allowance has not ended. */
  | { readonly kind: "look" }
  /** The allowance ends when so many pages are charged. */
  | { readonly kind: "balance"; readonly pages: number }
  /** So many pages of the allowance are left; `least`: or more. */
  | { readonly kind: "window"; readonly pages: number; readonly least: boolean }
  /** The dinode of a file comes into the journal. */
  | { readonly kind: "update"; readonly file: string }
  /** The journal is committed if the dinode of this file is in it. */
  | { readonly kind: "commit"; readonly file: string }
  /** Anything may be charged from here on, and be in the journal. */
  | { readonly kind: "unknown" };

/** What the threads do between two barriers, by lane: the number of the first operation of each, and their entries. */
export interface Phase {
  readonly first: readonly number[];
  readonly ops: readonly (readonly (readonly Entry[])[])[];
}

/** Operations that dirty nothing, and leave the journal alone. */
const IDLE: ReadonlySet<OpName> = new Set(["barrier", "close", "mincore", "pagemap", "sleep", "stat"]);
/** Kinds of events without which an account has gaps. */
const NEEDED: readonly string[] = ["balance_dirty", "gfs2_mkwrite", "middle", "update_time", "write_end"];
/** What a write does for its next page, after it has looked at the throttle. */
const NEXT_PAGE: ReadonlySet<unknown> = new Set(["fault_in_readable", "pf_kernel", "write_begin"]);
/** Flags of files whose writes commit by themselves, or pass the cache by. */
const OWN_WAY: ReadonlySet<string> = new Set(["O_DIRECT", "O_DSYNC", "O_SYNC"]);

/** The accounts of all threads, phase by phase. */
export function chargeLedger(expectation: Expectation): Phase[] {
  const { threads } = expectation.scenario;
  const reader = new LedgerReader(expectation);
  const barriers = threads.map((ops) => ops.filter(({ op }) => op === "barrier").length);
  const phases = Array.from({ length: Math.max(...barriers) + 1 }, (): { first: number[]; ops: Entry[][][] } => ({
    first: [],
    ops: threads.map(() => []),
  }));
  for (const [lane, ops] of threads.entries()) {
    let number = 0;
    for (const [at, op] of ops.entries()) {
      if (op.op === "barrier") number++;
      phases[number].ops[lane].push(reader.entries(lane, at, op));
    }
    let before = 0;
    for (const { first, ops } of phases) {
      first[lane] = before;
      before += ops[lane].length;
    }
  }
  markSure(phases);
  return phases;
}

class LedgerReader {
  readonly #expectation: Expectation;
  readonly #traces: ReadonlyMap<string, OpTrace>;
  /** Files of descriptors, and of maps with the place at which they begin. */
  readonly #fds = new Map<string, { readonly file: string; readonly ownWay: boolean }>();
  readonly #maps = new Map<string, string>();

  constructor(expectation: Expectation) {
    this.#expectation = expectation;
    const { recording, scenario } = expectation;
    this.#traces = new Map(recording.trace.map((trace) => [`${trace.thread}/${trace.op}`, trace]));
    for (const op of scenario.ops) {
      if (op.op === "open") this.#fds.set(op.fd, { file: op.file, ownWay: op.flags.some((flag) => OWN_WAY.has(flag)) });
      if (op.op === "mmap" && op.fd !== undefined) this.#maps.set(op.map, this.#fds.get(op.fd)?.file ?? "");
    }
  }

  entries(lane: number, at: number, op: Op): Entry[] {
    if (IDLE.has(op.op)) return [];
    if (op.op === "evict") return this.#commit(this.#maps.get(op.map));
    if (op.op === "fsync") return this.#commit(this.#fds.get(op.fd)?.file);
    const { unseen } = this.#expectation;
    const trace = this.#traces.get(`${lane}/${at}`);
    if (NEEDED.some((kind) => unseen.has(kind) || trace?.elided?.[kind] !== undefined)) return [{ kind: "unknown" }];
    const events = expandRepeats(trace?.events ?? []);
    if (op.op === "touch" || op.op === "madvise") return new OpReader(this.#maps, null).entries(events);
    if (op.op !== "pread" && op.op !== "pwrite") return [{ kind: "unknown" }];
    const file = this.#fds.get(op.fd);
    if (file === undefined || file.ownWay || op.iov.length !== 1) return [{ kind: "unknown" }];
    return new OpReader(this.#maps, { file: file.file, pos: op.pos, size: op.iov[0][2] }).entries(events);
  }

  #commit(file: string | undefined): Entry[] {
    return file === undefined || file === "" ? [{ kind: "unknown" }] : [{ kind: "commit", file }];
  }
}

interface Transfer {
  readonly file: string;
  readonly pos: number;
  readonly size: number;
}

/** Reads the events of one operation. */
class OpReader {
  readonly #maps: ReadonlyMap<string, string>;
  readonly #transfer: Transfer | null;
  readonly #entries: Entry[] = [];
  /** Bytes that have been transferred. */
  #done = 0;
  /** Whose dinode an update is about. */
  #file: string;
  #writing = false;
  /** How it has dirtied a page, if it has not looked at the throttle since. */
  #owesLookOf: "copy" | "fault" | null = null;
  /** Pages that the current round of the write has copied. */
  #copied = 0;

  constructor(maps: ReadonlyMap<string, string>, transfer: Transfer | null) {
    this.#maps = maps;
    this.#transfer = transfer;
    this.#file = transfer?.file ?? "";
  }

  entries(events: readonly RecordedEvent[]): Entry[] {
    const { size = 0 } = this.#transfer ?? {};
    let faulting = "";
    for (const event of events) {
      const [name, what] = event;
      const ret = event[event.length - 1];
      const returns = event[1] === "ret";
      const copies = this.#owesLookOf === "copy";
      if (copies ? NEXT_PAGE.has(name) : this.#owesLookOf === "fault" && name === "mm_fault" && event.includes("ret")) {
        this.#entries.push({ kind: "look" });
        this.#owesLookOf = null;
      }
      if (name === "mm_fault" && !returns) faulting = this.#maps.get(String(what)) ?? "";
      if (name === "gfs2_mkwrite") {
        if (!returns) this.#entries.push({ kind: "page", file: faulting, page: Number(what), sure: true });
        this.#owesLookOf = "fault";
        const made = this.#entries.findLast(({ kind }) => kind === "page");
        if (event.includes("ret") && ret !== "LOCKED" && made?.kind === "page") made.sure = false;
        this.#file = event.includes("ret") ? (this.#transfer?.file ?? "") : faulting;
      } else if (name === "update_time") {
        this.#entries.push({ kind: "update", file: this.#file });
      } else if (name === "balance_dirty") {
        this.#entries.push({ kind: "balance", pages: Number(what) });
        this.#owesLookOf = null;
      } else if (name === "iomap_write") {
        if (returns && Number(ret) > 0) this.#done += Number(ret);
        this.#writing = !event.includes("ret");
        this.#copied = 0;
        this.#owesLookOf = null;
      } else if (name === "filemap_read" && event.includes("ret") && Number(ret) > 0) {
        this.#done += Number(ret);
      } else if (name === "write_end" && Number(ret) !== 0) {
        this.#copy();
      } else if ((name === "fault_in_readable" || name === "fault_in_safe_w") && !returns && !this.#writing) {
        this.#window(Number(event[3]), size - this.#done);
      }
    }
    return this.#entries;
  }

  #copy(): void {
    const { file, pos } = this.#transfer as Transfer;
    const page = Math.floor((pos + this.#done) / PAGE_SIZE) + this.#copied++;
    this.#entries.push({ kind: "page", file, page, sure: true });
    this.#owesLookOf = "copy";
  }

  #window(size: number, left: number): void {
    if (this.#transfer === null || size > left) return;
    const bytes = size + ((this.#transfer.pos + this.#done) % PAGE_SIZE);
    const least = size === left;
    if (!least && bytes % PAGE_SIZE !== 0) return;
    this.#entries.push({ kind: "window", pages: Math.ceil(bytes / PAGE_SIZE), least });
  }
}

/** A page is clean for sure if nobody else may have dirtied it since it was made clean. */
function markSure(phases: readonly Phase[]): void {
  const dirty = new Map<string, Set<number>>();
  for (const { ops } of phases) {
    const lanes = ops.map((list) => list.flat());
    const before = new Map([...dirty].map(([file, pages]) => [file, new Set(pages)]));
    const by = new Map<string, number>();
    for (const [lane, entries] of lanes.entries()) {
      for (const entry of entries) {
        if (entry.kind !== "page") continue;
        const { file, page } = entry;
        const key = `${file} ${page}`;
        entry.sure &&= before.get(file)?.has(page) !== true && !by.has(key);
        // Who of two came first is not known.
        if ((by.get(key) ?? lane) !== lane) for (const other of lanes.flat()) unmark(other, file, page);
        by.set(key, lane);
        const pages = dirty.get(file) ?? new Set();
        dirty.set(file, pages.add(page));
      }
    }
    const dirties = lanes.some((entries) => entries.some(({ kind }) => kind === "page" || kind === "unknown"));
    if (dirties) continue;
    for (const entry of lanes.flat()) if (entry.kind === "commit") dirty.delete(entry.file);
  }
}

function unmark(entry: Entry, file: string, page: number): void {
  if (entry.kind === "page" && entry.file === file && entry.page === page) entry.sure = false;
}
