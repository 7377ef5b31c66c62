// Random histories of operations, on every kind of iterator but pipes, beside the slowest iterator there is: the list of
// the addresses of its bytes, and a position in it. After each step both must have done the same number of bytes,
// stand at the same place, and memory must hold the same bytes everywhere.
import { offsetInPage, PAGE_SIZE, type Pfn, pageIndex } from "@faultline/kernel";
import { FAULTS_DISABLED, FAULTS_ENABLED, MM_5_10, MM_LATEST, pageAddress, type UserAccess } from "@faultline/mm";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  copyFromIter,
  copyFromIterFull,
  copyPageFromIter,
  copyPageFromIterAtomic,
  copyPageToIter,
  copyPageToIterAtomic,
  copyToIter,
  copyToIterFull,
  dupIter,
  FolioQueue,
  folioqAppend,
  folioqExtend,
  type IovIter,
  ITER_SOURCE,
  iovIterAdvance,
  iovIterBvec,
  iovIterCopyFromUserAtomic,
  iovIterDiscard,
  iovIterFolioQueue,
  iovIterInit,
  iovIterKvec,
  iovIterReexpand,
  iovIterRestore,
  iovIterRevert,
  iovIterSaveState,
  iovIterTruncate,
  iovIterUbuf,
  iovIterXarray,
  iovIterZero,
  UIO_5_10,
  UIO_LATEST,
} from "./index.ts";
import {
  allocFrames,
  BASE,
  firstDifference,
  makeMapping,
  makeRig,
  mapPages,
  POISON,
  peek,
  type Rig,
  run,
} from "./rig.ts";

/** Pages of the iterator's memory, and frames of the kernel's buffer. */
const PAGES = 5;
const FRAMES = 4;
const RUNS = 150;

type Kind = "ubuf" | "iovec" | "kvec" | "bvec" | "xarray" | "folioq" | "discard";

interface Step {
  readonly op: string;
  readonly size: number;
  readonly offset: number;
}

interface History {
  readonly letters: string;
  readonly old: boolean;
  readonly dataSource: boolean;
  readonly segments: readonly (readonly [number, number])[];
  readonly steps: readonly Step[];
}

const SIZES = fc.oneof(
  fc.constantFrom(0, 1, 63, 64, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1),
  fc.integer({ min: 0, max: 100 }),
  fc.integer({ min: 0, max: 2 * PAGE_SIZE }),
);

const MOVES = ["page", "pageAtomic", "notAdvancing", "iter", "full", "zero"];

const OPS = ["advance", "revert", "truncate", "reexpand", "save", "restore", "dup", ...MOVES];

const HISTORY: fc.Arbitrary<History> = fc.record({
  letters: fc.string({ unit: fc.constantFrom(..."wwww.zrnp-"), minLength: PAGES, maxLength: PAGES }),
  old: fc.boolean(),
  dataSource: fc.boolean(),
  segments: fc.array(fc.tuple(fc.integer({ min: 0, max: PAGES * PAGE_SIZE - 1 }), SIZES), {
    minLength: 1,
    maxLength: 6,
  }),
  steps: fc.array(
    fc.record({
      op: fc.constantFrom(...OPS, ...OPS.map((op) => `${op}, faults`)),
      size: SIZES,
      offset: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: PAGE_SIZE })),
    }),
    { maxLength: 12 },
  ),
});

describe.each<Kind>(["ubuf", "iovec", "kvec", "bvec", "xarray", "folioq", "discard"])("%s", (kind) => {
  test(`${RUNS} random histories are those of a list of bytes`, () => {
    fc.assert(
      fc.property(HISTORY, (history) => {
        new Twins(kind, history).play();
      }),
      { numRuns: RUNS, seed: 20210727 },
    );
  });
});

/** An iterator and its slow twin. */
class Twins {
  readonly rig: Rig;
  readonly history: History;
  readonly kind: Kind;
  readonly frame: Pfn;
  /** Frames of a kernel-backed iterator's pages, in its order. */
  readonly frames: Pfn[] = [];
  readonly letters: string[];
  /** The iterator's memory, from its first page on, as it should be; and the kernel's buffer. */
  readonly memory: Uint8Array;
  readonly buffer: Uint8Array;
  /** Offsets in `memory` of the iterator's bytes, in its order. */
  readonly cells: number[] = [];
  i: IovIter;
  at = 0;
  count: number;
  saved: { state: ReturnType<typeof iovIterSaveState>; at: number; count: number; i: IovIter } | null = null;

  constructor(kind: Kind, history: History) {
    this.kind = kind;
    this.history = history;
    this.rig = makeRig({ revision: history.old ? MM_5_10 : MM_LATEST });
    this.frame = allocFrames(this.rig, FRAMES);
    for (let k = 0; k < FRAMES * PAGE_SIZE; k++) this.rig.mem.u8[pageAddress(this.frame) + k] = (k * 3) % 241;
    if (this.userBacked) {
      mapPages(this.rig, history.letters);
      this.letters = [...history.letters];
    } else {
      const first = allocFrames(this.rig, PAGES);
      // kvec is physical memory in order; the pages of the others are where they like.
      for (let n = 0; n < PAGES; n++) this.frames.push((first + (kind === "kvec" ? n : (n * 2) % PAGES)) as Pfn);
      for (let k = 0; k < PAGES * PAGE_SIZE; k++) this.rig.mem.u8[pageAddress(first) + k] = (k * 5) % 239;
      this.letters = new Array(PAGES).fill("w");
    }
    this.memory = this.currentMemory();
    this.buffer = this.currentBuffer();
    this.i = this.make();
    this.count = this.i.count;
  }

  get userBacked(): boolean {
    return this.kind === "ubuf" || this.kind === "iovec";
  }

  make(): IovIter {
    const { dataSource, segments, old } = this.history;
    const revision = old ? UIO_5_10 : UIO_LATEST;
    const limit = PAGES * PAGE_SIZE;
    const pieces = segments.map(([from, len]) => ({ from, len: Math.min(len, limit - from) }));
    // One segment for the kinds that know no more.
    if (this.kind !== "iovec" && this.kind !== "kvec" && this.kind !== "bvec") pieces.length = 1;
    const [{ from, len }] = pieces;
    // A piece of a bvec stays within physically contiguous memory.
    if (this.kind === "bvec")
      for (const piece of pieces) piece.len = Math.min(piece.len, PAGE_SIZE - (piece.from % PAGE_SIZE));
    for (const piece of pieces) for (let n = 0; n < piece.len; n++) this.cells.push(piece.from + n);
    const total = this.cells.length;
    switch (this.kind) {
      case "ubuf":
        return iovIterUbuf(dataSource, BASE + from, len, revision);
      case "iovec":
        return iovIterInit(
          dataSource,
          pieces.map((piece) => ({ base: BASE + piece.from, len: piece.len })),
          total,
          revision,
        );
      case "kvec":
        return iovIterKvec(
          dataSource,
          pieces.map((piece) => ({ base: pageAddress(this.frames[0]) + piece.from, len: piece.len })),
          total,
          revision,
        );
      case "bvec":
        return iovIterBvec(
          dataSource,
          pieces.map((piece) => ({
            page: this.frames[pageIndex(piece.from)],
            offset: offsetInPage(piece.from),
            len: piece.len,
          })),
          total,
          revision,
        );
      case "xarray": {
        return iovIterXarray(dataSource, makeMapping(this.rig, this.frames), from, len, revision);
      }
      case "folioq": {
        // The history's position, but begun at the first byte and advanced.
        const first = new FolioQueue();
        let last = first;
        this.frames.forEach((page, index) => {
          if (index === 2) last = folioqExtend(last);
          folioqAppend(last, page);
        });
        const i = iovIterFolioQueue(dataSource, first, 0, 0, from + len, revision);
        iovIterAdvance(i, from);
        return i;
      }
      case "discard":
        return iovIterDiscard(false, len, revision);
    }
  }

  currentMemory(): Uint8Array {
    if (this.userBacked) return peek(this.rig, BASE, PAGES * PAGE_SIZE);
    const bytes = new Uint8Array(PAGES * PAGE_SIZE);
    this.frames.forEach((page, n) => {
      bytes.set(this.rig.mem.u8.subarray(pageAddress(page), pageAddress(page) + PAGE_SIZE), n * PAGE_SIZE);
    });
    return bytes;
  }

  currentBuffer(): Uint8Array {
    return this.rig.mem.u8.slice(pageAddress(this.frame), pageAddress(this.frame) + FRAMES * PAGE_SIZE);
  }

  play(): void {
    for (const step of this.history.steps) {
      this.step(step);
      expect(this.i.count).toBe(this.count);
      this.checkPosition();
      if (!MOVES.includes(step.op.split(", ")[0])) continue;
      expect(firstDifference(this.currentBuffer(), this.buffer)).toBe(-1);
      expect(firstDifference(this.currentMemory(), this.memory)).toBe(-1);
    }
  }

  step({ op, size, offset }: Step): void {
    const [name, tag] = op.split(", ");
    const user: UserAccess<never> = tag === "faults" ? (FAULTS_ENABLED as UserAccess<never>) : FAULTS_DISABLED;
    const { i, frame, rig } = this;
    const { task } = rig;
    const physical = pageAddress(frame) + offset;
    const moves = i.dataSource === ITER_SOURCE ? "out" : "in";
    const out = moves === "out";
    switch (name) {
      case "advance": {
        iovIterAdvance(i, size);
        this.at += Math.min(size, this.count);
        this.count -= Math.min(size, this.count);
        break;
      }
      case "revert": {
        const n = Math.min(size, this.at);
        iovIterRevert(i, n);
        this.at -= n;
        this.count += n;
        break;
      }
      case "truncate":
        iovIterTruncate(i, size);
        this.count = Math.min(this.count, size);
        break;
      case "reexpand":
        this.count = Math.min(this.cells.length - this.at, this.count + size);
        iovIterReexpand(i, this.count);
        break;
      case "save":
        this.saved = { state: iovIterSaveState(i), at: this.at, count: this.count, i };
        break;
      case "restore": {
        // Only these kinds can.
        if (this.saved === null || this.saved.i !== i || ["xarray", "folioq", "discard"].includes(this.kind)) break;
        iovIterRestore(i, this.saved.state);
        this.at = this.saved.at;
        this.count = this.saved.count;
        break;
      }
      case "dup":
        this.i = dupIter(i);
        this.cells.splice(0, this.at);
        this.at = 0;
        // The original goes its own way.
        iovIterAdvance(i, size);
        break;
      case "page": {
        const steps = out
          ? copyPageFromIter(task, frame, offset, size, i, user)
          : copyPageToIter(task, frame, offset, size, i, user);
        this.expectMoved(run(rig, steps), size, offset, moves, user.faults);
        break;
      }
      case "pageAtomic": {
        const done = out
          ? copyPageFromIterAtomic(task, frame, offset, size, i)
          : copyPageToIterAtomic(task, frame, offset, size, i);
        this.expectMoved(done, size, offset, moves, false);
        break;
      }
      case "notAdvancing": {
        const done = iovIterCopyFromUserAtomic(task, frame, offset, size, i);
        if (out) {
          const { at, count } = this;
          this.expectMoved(done, size, offset, moves, false);
          this.at = at;
          this.count = count;
        } else expect(done).toBe(0);
        break;
      }
      case "iter": {
        const steps = out ? copyFromIter(task, physical, size, i, user) : copyToIter(task, physical, size, i, user);
        this.expectMoved(run(rig, steps), size, offset, moves, user.faults);
        break;
      }
      case "full": {
        const { at, count } = this;
        const steps = out
          ? copyFromIterFull(task, physical, size, i, user)
          : copyToIterFull(task, physical, size, i, user);
        const all = run(rig, steps);
        const want = this.move(size, offset, moves, user.faults);
        expect(all).toBe(want === size);
        if (all) break;
        this.at = at;
        this.count = count;
        break;
      }
      case "zero":
        this.expectMoved(run(rig, iovIterZero(task, size, i, user)), size, offset, "zero", user.faults);
        break;
    }
  }

  expectMoved(done: number, size: number, offset: number, moves: "in" | "out" | "zero", faults: boolean): void {
    expect(done).toBe(this.move(size, offset, moves, faults));
  }

  /** What a move does to the slow twin, byte by byte. Returns: bytes done. */
  move(size: number, offset: number, moves: "in" | "out" | "zero", faults: boolean): number {
    let done = 0;
    for (; done < size && this.count > 0; done++) {
      const cell = this.cells[this.at];
      if (!this.touch(cell, moves !== "out", faults)) break;
      if (this.kind !== "discard") {
        if (moves === "out") this.buffer[offset + done] = this.memory[cell];
        else this.memory[cell] = moves === "zero" ? 0 : this.buffer[offset + done];
      }
      this.at++;
      this.count--;
    }
    return done;
  }

  /** Can a byte be had? A fault that is resolved changes what its page is. */
  touch(cell: number, write: boolean, faults: boolean): boolean {
    const page = pageIndex(cell);
    const letter = this.letters[page];
    if (letter === "." && faults) this.letters[page] = write ? "w" : "z";
    if (letter === "z" && faults && write) this.letters[page] = "w";
    if (letter === "." || (letter === "z" && write)) return faults;
    if (letter === "r") return !write;
    return letter === "w" || letter === "z" || (letter === "p" && offsetInPage(cell) < POISON);
  }

  /** The first and the last byte that the iterator's own fields name must be the twin's. */
  checkPosition(): void {
    const { i } = this;
    if (this.kind === "discard" || i.count === 0) return;
    expect(this.cellAt(0)).toBe(this.cells[this.at]);
    expect(this.cellAt(i.count - 1)).toBe(this.cells[this.at + i.count - 1]);
  }

  cellAt(index: number): number {
    const { i } = this;
    if (i.kind === "ubuf") return i.ubuf + i.iovOffset + index - BASE;
    if (i.xarray !== null) return i.xarray.start + i.iovOffset + index;
    let left = i.iovOffset + index;
    if (i.folioq !== null) {
      let { folioq, segment }: { folioq: FolioQueue | null; segment: number } = i as never;
      for (; folioq !== null; folioq = folioq.next, segment = 0) {
        for (; segment < folioq.folios.length; segment++) {
          const { page, size } = folioq.folios[segment];
          if (left < size) return this.frames.indexOf(page) * PAGE_SIZE + left;
          left -= size;
        }
      }
      return -1;
    }
    for (let { segment } = i; ; segment++) {
      const { base, len } = i.segments[segment];
      if (left < len) return this.cellOf(base + left);
      left -= len;
    }
  }

  cellOf(address: number): number {
    if (this.userBacked) return address - BASE;
    return this.frames.indexOf(pageIndex(address) as Pfn) * PAGE_SIZE + offsetInPage(address);
  }
}
