// Does a call that takes the shortcut leave behind what the long way leaves? Random histories of reads and writes
// on two machines that differ in one thing: one of them learns the order of locks, and whoever is watched takes no
// shortcut. After each step both must have returned the same and be in the same state, down to page flags.
import { type MayFault, PAGE_SIZE, pageIndex, RunError } from "@faultline/kernel";
import {
  doMadvise,
  faultInSafeWriteable,
  MADV_DONTNEED,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PG_READAHEAD,
  PG_UPTODATE,
  PROT_READ,
  PROT_WRITE,
} from "@faultline/mm";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  type FsTask,
  type Gfs2Inode,
  type Gfs2Revision,
  Machine,
  O_APPEND,
  O_CREAT,
  O_DIRECT,
  O_RDWR,
  REVISIONS,
  sysFallocate,
  sysFsync,
  sysFtruncate,
  sysMmap,
  sysOpen,
  sysPread64,
  sysPwrite64,
} from "../../index.ts";
import { GLF_DIRTY } from "../glock.ts";
import type { Gfs2Io } from "../revision.ts";

const PAGES = 24;
const SIZE = PAGES * PAGE_SIZE;
/** Descriptors: a file, the same file opened for appending, and past the page cache. */
const FDS = [0, 1, 2];

interface Counters {
  taken: number;
}

/** The same revision, which counts the shortcuts that it takes. */
function counting(revision: Gfs2Revision, counters: Counters): Gfs2Revision {
  const count = (io: Gfs2Io): Gfs2Io =>
    Object.assign<Gfs2Io, Partial<Gfs2Io>>((task, iocb, iter) => io(task, iocb, iter), {
      whenResident: (task, iocb, buf, count) => {
        const done = io.whenResident?.(task, iocb, buf, count) ?? null;
        if (done !== null) counters.taken++;
        return done;
      },
    });
  return { ...revision, bufferedRead: count(revision.bufferedRead), bufferedWrite: count(revision.bufferedWrite) };
}

class Side {
  readonly machine: Machine;
  readonly task: FsTask;
  /** Anonymous memory, and a mapping of the file itself. */
  readonly buffers: readonly number[];
  isOver = false;
  readonly inode: Gfs2Inode;

  constructor(kernel: Gfs2Revision, lockdep: boolean) {
    this.machine = new Machine({ kernel, lockdep, memory: 1024 * 1024, disk: { latency: 0 } });
    this.task = this.machine.task("t");
    this.call(sysOpen(this.task, "a", O_CREAT | O_RDWR));
    this.call(sysOpen(this.task, "a", O_RDWR | O_APPEND));
    this.call(sysOpen(this.task, "a", O_RDWR | O_DIRECT));
    const map = { address: 0, length: SIZE, prot: PROT_READ | PROT_WRITE };
    const anonymous = this.call(sysMmap(this.task, { ...map, flags: MAP_PRIVATE | MAP_ANONYMOUS }));
    const shared = this.call(sysMmap(this.task, { ...map, flags: MAP_SHARED, fd: 0 }));
    this.buffers = [anonymous, shared];
    this.inode = this.task.files.get(0)?.inode as Gfs2Inode;
  }

  call<T>(body: MayFault<T>): T {
    return this.machine.call(this.task, body);
  }

  /** What a step returns, or how the run ends: before the fix, a read into a mapping of the file is a BUG. */
  take(step: Step): unknown {
    try {
      return step(this);
    } catch (error) {
      this.isOver = true;
      return error instanceof RunError ? error.message : error;
    }
  }

  /** All that a later call could tell from a difference, but for arrays as long as memory. */
  get state(): Record<string, unknown> {
    const { task } = this;
    const { inode } = this;
    const { mapping, glock, rwsem, sb } = inode;
    const entries: number[] = [];
    task.mm.pgd.forEach(0, 2 ** 36, (key, entry) => entries.push(key, entry));
    return {
      lists: [sb.mem.active, sb.mem.inactive],
      entries: entries.join(),
      inode: [inode.size, inode.mtime, inode.metadataDirty, inode.ordered, mapping.nrDirty, sb.dirty.count],
      blocks: inode.disk.map.blocks,
      glock: [glock.state, glock.flags, glock.queue.length, { ...glock.stats }],
      rwsem: [rwsem.readers.length, rwsem.writer?.comm],
      task: [task.nrDirtied, task.nrDirtiedPause, task.minFlt, task.majFlt, task.held.length, task.pagefaultDisabled],
      ra: FDS.map((fd) => ({ ...task.files.get(fd)?.ra })),
    };
  }

  /** The arrays of memory that differ from those of another machine. */
  differences(other: Side): string[] {
    const names = ["u8", "refcount", "mapcount", "flags", "lruNext", "lruPrev"] as const;
    const bytes = ({ buffer }: ArrayBufferView): Buffer => Buffer.from(buffer as ArrayBuffer);
    const [mine, its] = [this.inode.sb.mem, other.inode.sb.mem];
    return names.filter((name) => !bytes(mine[name]).equals(bytes(its[name])));
  }

  /** Bytes that tell places apart, in the frames behind a buffer. */
  fill(buffer: number): void {
    const { u8 } = this.inode.sb.mem;
    this.task.mm.pgd.forEach(buffer / PAGE_SIZE, (buffer + SIZE) / PAGE_SIZE, (key, entry) => {
      const start = (entry >>> 12) * PAGE_SIZE;
      for (let at = 0; at < PAGE_SIZE; at += 4) u8[start + at] = key * 31 + at / 4;
    });
  }
}

type Step = (side: Side) => unknown;

const offset = fc.oneof(
  fc.integer({ min: 0, max: PAGES - 1 }).map((page) => page * PAGE_SIZE),
  fc.integer({ min: 0, max: SIZE - 1 }),
);
const length = fc.oneof(
  fc.integer({ min: 1, max: 20 }).map((pages) => pages * PAGE_SIZE),
  fc.nat(5 * PAGE_SIZE),
);

const transfer: fc.Arbitrary<Step> = fc
  .record({
    write: fc.boolean(),
    fd: fc.nat(15),
    shared: fc.nat(3),
    pos: offset,
    toTheEnd: fc.nat(40),
    at: offset,
    length,
  })
  .map(({ write, fd, shared, pos, toTheEnd, at, length }) => (side) => {
    const buffer = side.buffers[shared === 0 ? 1 : 0] + at;
    const call = write ? sysPwrite64 : sysPread64;
    // A few go a little over the end of the file, within its last page.
    const count = toTheEnd < 4 ? toTheEnd + 1 : Math.min(length, SIZE - at);
    const start = toTheEnd < 4 ? Math.max(side.inode.size - 2, 0) : pos;
    return side.call(call(side.task, fd < 3 ? fd : 0, buffer, count, start));
  });
const disturbance: fc.Arbitrary<Step> = fc
  .record({ what: fc.nat(8), pos: offset, length })
  .map(({ what, pos, length }) => (side) => {
    const { task, inode } = side;
    const page = pos - (pos % PAGE_SIZE);
    if (what === 0) return side.call(sysFsync(task, 0));
    if (what === 1) return side.call(sysFtruncate(task, 0, pos));
    if (what === 2) {
      const punched = side.call(sysFallocate(task, 0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, pos, length));
      // Pages without blocks behind them are read, and then written.
      const count = Math.min(length, SIZE);
      const read = side.call(sysPread64(task, 0, side.buffers[0], count, pos));
      return [punched, read, side.call(sysPwrite64(task, 0, side.buffers[0], count, pos))];
    }
    if (what === 3) return side.call(doMadvise(task, side.buffers[0] + page, PAGE_SIZE, MADV_DONTNEED));
    if (what === 4) task.fileSizeLimit = task.fileSizeLimit === pos ? Number.POSITIVE_INFINITY : pos;
    // As a glock is that was synced.
    else if (what === 5) inode.glock.flags &= ~GLF_DIRTY;
    // As a page is that could not be read.
    else if (what === 6) setFlags(side, pos, PG_UPTODATE, 0);
    // As read-ahead leaves its marks.
    else if (what === 7) {
      setFlags(side, pos, 0, PG_READAHEAD);
      return side.call(sysPread64(task, 0, side.buffers[0], PAGE_SIZE, page));
    }
    // Time passes: the next write has a time stamp to take.
    else side.machine.world.now += 10_000;
    return 0;
  });

/** Change the flags of a page of the file, which is made clean before. */
function setFlags(side: Side, pos: number, without: number, and: number): void {
  const { mapping, sb } = side.inode;
  expect(side.call(sysFsync(side.task, 0))).toBe(0);
  const frame = mapping.find(pageIndex(pos));
  if (frame !== 0) sb.mem.flags[frame] = (sb.mem.flags[frame] & ~without) | and;
}

const history = fc.array(fc.oneof({ weight: 6, arbitrary: transfer }, { weight: 2, arbitrary: disturbance }), {
  minLength: 8,
  maxLength: 30,
});

const quickOnes = Object.values(REVISIONS).filter(({ bufferedRead }) => bufferedRead.whenResident !== undefined);

describe.each(quickOnes.map((kernel) => [kernel.name, kernel] as const))("%s", (_name, kernel) => {
  test("whoever is watched sees no difference", () => {
    const counters = { taken: 0 };
    fc.assert(
      fc.property(history, (steps) => {
        const quick = new Side(counting(kernel, counters), false);
        const watched = new Side(kernel, true);
        // A file and a buffer that are there.
        for (const side of [quick, watched]) {
          const [anonymous] = side.buffers;
          expect(side.call(faultInSafeWriteable(side.task, anonymous, SIZE))).toBe(0);
          side.fill(anonymous);
          expect(side.call(sysPwrite64(side.task, 0, anonymous, SIZE, 0))).toBe(SIZE);
        }
        for (const step of steps) {
          expect(quick.take(step)).toEqual(watched.take(step));
          expect(quick.state).toEqual(watched.state);
          expect(quick.differences(watched)).toEqual([]);
          if (quick.isOver) break;
        }
      }),
      { numRuns: 20, seed: 1 },
    );
    expect(counters.taken).toBeGreaterThan(20);
  });
});
