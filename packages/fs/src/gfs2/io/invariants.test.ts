// What holds for every read and write since 5.16, whatever the file, the buffer and the moment at which pages go away:
// random calls, watched at each fault-in and compared with a plain array afterwards.

import { PAGE_SIZE, type TraceEventName } from "@faultline/kernel";
import {
  MAP_PRIVATE,
  MAP_SHARED,
  PG_UPTODATE,
  pageAddress,
  ptePfn,
  ptePresent,
  unmapMappingPages,
} from "@faultline/mm";
import { type IovIter, ITER_DEST, ITER_SOURCE, iovIterInit, type Segment } from "@faultline/uio";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type File, type Gfs2Revision, O_DIRECT, O_RDWR, REVISIONS } from "../../index.ts";
import { fileBytes, Rig } from "../../testing/rig.ts";

/** Bytes that positions, offsets and lengths of direct I/O are multiples of. */
const SECTOR = 512;
const SZ_1M = 1024 * 1024;

interface Call {
  readonly write: boolean;
  readonly direct: boolean;
  /** Pages: `d` data, `h` hole. And bytes by which the file is longer or shorter than them. */
  readonly layout: string;
  readonly cached: boolean;
  readonly pos: number;
  /** Anonymous memory page by page, or a mapping: of the file itself, or of another one. */
  readonly buffer: string | { readonly of: "self" | "other"; readonly shared: boolean };
  readonly offset: number;
  readonly lengths: readonly number[];
  /** After each fault-in, gfs2's and iomap's: from which page on mapped files lose their entries again; 9 = none. */
  readonly evictions: readonly number[];
}

const units = (max: number): fc.Arbitrary<number> =>
  fc.oneof(fc.integer({ min: 0, max }), fc.constantFrom(0, PAGE_SIZE - 1, PAGE_SIZE));

const randomCall: fc.Arbitrary<Call> = fc.record({
  write: fc.boolean(),
  direct: fc.boolean(),
  layout: fc.string({ unit: fc.constantFrom("d", "d", "h"), minLength: 1, maxLength: 8 }),
  cached: fc.boolean(),
  pos: units(6 * PAGE_SIZE),
  buffer: fc.oneof(
    fc.string({ unit: fc.constantFrom("r", ".", ".", "z", "-", "o"), minLength: 8, maxLength: 8 }),
    fc.record({ of: fc.constantFrom("self" as const, "other" as const), shared: fc.boolean() }),
  ),
  offset: units(2 * PAGE_SIZE),
  lengths: fc.array(units(5 * PAGE_SIZE), { minLength: 1, maxLength: 3 }),
  evictions: fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 6 }),
});

/**
 * A write of whole pages that are not cached, each from two pages of another file, of which the second likes to go
 * away after iomap has looked: copies that fall short into pages that are not uptodate. Chance alone makes one in
 * thousands of calls.
 */
const tornWrite: fc.Arbitrary<Call> = fc.record({
  write: fc.constant(true),
  direct: fc.constant(false),
  layout: fc.constantFrom("dddd", "dhdd", "d"),
  cached: fc.constant(false),
  pos: fc.constantFrom(0, PAGE_SIZE),
  buffer: fc.record({ of: fc.constant("other" as const), shared: fc.boolean() }),
  offset: fc.integer({ min: 1, max: PAGE_SIZE - 1 }),
  lengths: fc.array(fc.constantFrom(PAGE_SIZE, 2 * PAGE_SIZE, 3 * PAGE_SIZE), { minLength: 1, maxLength: 2 }),
  evictions: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 2, maxLength: 8 }),
});

const anyCall: fc.Arbitrary<Call> = fc.oneof({ weight: 3, arbitrary: randomCall }, { weight: 1, arbitrary: tornWrite });

/** What a file should hold at some moment. */
interface Content {
  readonly bytes: Uint8Array;
  /**
   * From here to the end of the page nobody can say: a new block that is written in part is uptodate before the copy,
   * and where that falls short, the page shows what its frame held.
   */
  readonly torn: number;
}

/** What is looked at while the call runs. */
class Watch {
  readonly problems: string[] = [];
  readonly #rig: Rig;
  readonly #revision: string;
  readonly #content: () => Content | null;
  #glocks = 0;
  #inIomap = false;
  #before: ReadonlyMap<string, Uint8Array> | null = null;
  #evictions: number[];

  /** `content`: what the file should hold by now; null where nobody can say. */
  constructor(rig: Rig, revision: string, evictions: readonly number[], content: () => Content | null) {
    this.#rig = rig;
    this.#content = content;
    this.#revision = revision;
    this.#evictions = [...evictions];
    const { trace } = rig;
    trace.on("gfs2_promote", () => void this.#glocks++);
    trace.on("gfs2_glock_queue", ([, queued]) => {
      if (queued === 0) this.#glocks--;
    });
    trace.on("iomap_file_buffered_write", () => {
      this.#inIomap = true;
    });
    trace.on("iomap_file_buffered_write_ret", () => {
      this.#inIomap = false;
    });
    for (const name of ["gfs2_fault", "gfs2_page_mkwrite"] as const) trace.on(name, () => this.#fault(name));
    for (const name of ["fault_in_readable", "fault_in_safe_writeable"] as const) {
      trace.on(name, ([, size]) => this.#faultIn(size));
      trace.on(`${name}_ret`, () => this.#faultInDone());
    }
  }

  end(): void {
    for (const name of WATCHED) this.#rig.trace.off(name);
  }

  /** I2: no handler of a mapping runs while the task has a glock that it could not lose. */
  #fault(name: string): void {
    if (this.#glocks > 0 && !(this.#revision === "5.16" && this.#before !== null)) {
      this.problems.push(`${name} with ${this.#glocks} glocks held`);
    }
  }

  #faultIn(size: number): void {
    this.#checkContent();
    if (this.#inIomap) return;
    // I2: since 5.18 a glock is not even held on call. I3: nothing but i_rwsem is.
    if (this.#glocks > 0 && this.#revision !== "5.16") this.problems.push("faults in with the glock held");
    const held = this.#rig.task.held.map(({ lock }) => lock.label).filter((label) => !/^(i_rwsem|glock)/.test(label));
    if (held.length > 0) this.problems.push(`faults in with ${held.join(", ")} held`);
    // I10.
    if (size < 1 || size > SZ_1M) this.problems.push(`asks for ${size} bytes`);
    this.#before = this.#visible();
  }

  /** I6: whoever looked at the file now would see old bytes and accepted ones, and no half-made page. */
  #checkContent(): void {
    const content = this.#content();
    if (content === null) return;
    const { bytes, torn } = content;
    const { mapping } = this.#rig.inode("f");
    const { mem, pages } = mapping;
    pages.forEach(0, 64, (index, frame) => {
      if ((mem.flags[frame] & PG_UPTODATE) === 0) return;
      const want = new Uint8Array(PAGE_SIZE);
      want.set(bytes.subarray(index * PAGE_SIZE, (index + 1) * PAGE_SIZE));
      const start = pageAddress(frame as never);
      const length = index === Math.floor(torn / PAGE_SIZE) ? torn % PAGE_SIZE : PAGE_SIZE;
      if (Buffer.compare(mem.u8.subarray(start, start + length), want.subarray(0, length)) !== 0)
        this.problems.push(`page ${index} shows bytes that nobody wrote`);
    });
  }

  #faultInDone(): void {
    if (this.#before !== null) {
      // I5: what could be seen before is to be seen still.
      for (const [place, bytes] of this.#visible()) {
        const old = this.#before.get(place);
        if (old !== undefined && Buffer.compare(old, bytes) !== 0) this.problems.push(`faulting in changed ${place}`);
      }
      this.#before = null;
      this.#checkReferences();
    }
    const first = this.#evictions.shift() ?? 9;
    if (first === 9) return;
    const { machine, task } = this.#rig;
    for (const { mapping } of machine.nodes[0].sbd.inodes()) unmapMappingPages(task, mapping, first, 64, false);
  }

  /** I4: the page cache and page tables, and nobody else, have references to pages. */
  #checkReferences(): void {
    for (const { mapping, label } of this.#rig.machine.nodes[0].sbd.inodes()) {
      const { mem, pages } = mapping;
      pages.forEach(0, 64, (index, frame) => {
        const extra = mem.refcount[frame] - 1 - mem.mapcount[frame];
        if (extra !== 0 && (mem.flags[frame] & PG_UPTODATE) !== 0)
          this.problems.push(`page ${index} of ${label} has ${extra} more references`);
      });
    }
  }

  /** Every page that somebody can see: uptodate ones of files, and those in the task's page table. */
  #visible(): Map<string, Uint8Array> {
    const { mm } = this.#rig.task;
    const seen = new Map<string, Uint8Array>();
    const page = (frame: number): Uint8Array =>
      mm.mem.u8.slice(pageAddress(frame as never), pageAddress(frame as never) + PAGE_SIZE);
    for (const { mapping, label } of this.#rig.machine.nodes[0].sbd.inodes()) {
      mapping.pages.forEach(0, 64, (index, frame) => {
        if ((mm.mem.flags[frame] & PG_UPTODATE) !== 0) seen.set(`page ${index} of ${label}`, page(frame));
      });
    }
    mm.pgd.forEach(0, Number.POSITIVE_INFINITY, (vpn, entry) => {
      if (ptePresent(entry)) seen.set(`user page ${vpn}`, page(ptePfn(entry)));
    });
    return seen;
  }
}

const WATCHED: readonly TraceEventName[] = [
  "gfs2_promote",
  "gfs2_glock_queue",
  "iomap_file_buffered_write",
  "iomap_file_buffered_write_ret",
  "gfs2_fault",
  "gfs2_page_mkwrite",
  "fault_in_readable",
  "fault_in_readable_ret",
  "fault_in_safe_writeable",
  "fault_in_safe_writeable_ret",
];

/** Bytes behind the position of an iterator, whatever its count is limited to for the moment. */
function behind({ segments, segment, iovOffset }: IovIter): number {
  return segments.slice(0, segment).reduce((sum, { len }) => sum + len, iovOffset);
}

/** The bytes of a file as it is made. */
function original(layout: string): Uint8Array {
  const bytes = fileBytes(0, layout.length * PAGE_SIZE);
  for (const [page, letter] of [...layout].entries())
    if (letter === "h") bytes.fill(0, page * PAGE_SIZE, (page + 1) * PAGE_SIZE);
  return bytes;
}

const OTHER = "dddddddd";

/** What the buffer holds before the call, as far as it can be known without looking. */
function bufferBytes({ buffer, layout }: Call): Uint8Array {
  const bytes = new Uint8Array(16 * PAGE_SIZE);
  if (typeof buffer === "string") {
    for (const [page, letter] of [...buffer].entries()) {
      if (letter === "r") bytes.set(fileBytes(page * PAGE_SIZE, PAGE_SIZE, 2), page * PAGE_SIZE);
    }
  } else bytes.set(original(buffer.of === "self" ? layout : OTHER));
  return bytes;
}

/**
 * Calls that are known never to end: direct I/O between a file and a mapping of its own pages, which it writes back or
 * drops each time; and on 5.16 and 5.17 reads, where faulting in for writing claims a success that it did not have.
 */
function mayLivelock(revision: string, { buffer, write, direct }: Call): boolean {
  const own = typeof buffer !== "string" && buffer.of === "self";
  if (direct && own) return write ? revision === "5.16" || revision === "5.18" : buffer.shared;
  return revision === "5.16" && !write;
}

function play(revision: string, call: Call): void {
  const { direct, write, evictions, buffer } = call;
  const round = (value: number): number => (direct ? value - (value % SECTOR) : value);
  const [pos, offset] = [round(call.pos), round(call.offset)];
  const rig = new Rig(REVISIONS[revision] as Gfs2Revision);
  rig.make("f", { size: call.layout, cached: call.cached });
  rig.make("other", { size: OTHER });
  const fd = rig.open("f", O_RDWR | (direct ? O_DIRECT : 0));
  let base: number;
  if (typeof buffer === "string") base = rig.buffer(buffer);
  else base = rig.map(buffer.of === "self" ? fd : rig.open("other"), 16, buffer.shared ? MAP_SHARED : MAP_PRIVATE);
  const segments: Segment[] = [];
  let total = 0;
  for (const length of call.lengths.map(round)) {
    segments.push({ base: base + offset + total, len: length });
    total += length;
  }
  const before = original(call.layout);
  const iter = iovIterInit(write ? ITER_SOURCE : ITER_DEST, segments, total);
  const file = rig.task.files.get(fd) as File;
  const iocb = { file, pos, flags: direct ? 1 << 17 : 0 };
  const ownSource = typeof buffer !== "string" && buffer.of === "self";
  /** The file after `done` bytes. */
  const after = (done: number): Uint8Array => {
    const bytes = new Uint8Array(done > 0 ? Math.max(before.length, pos + done) : before.length);
    bytes.set(before);
    if (done > 0) bytes.set(bufferBytes(call).subarray(offset, offset + done), pos);
    return bytes;
  };
  const content = (): Content => {
    const end = pos + behind(iter);
    const old = call.layout[Math.floor(end / PAGE_SIZE)] === "d";
    return { bytes: after(behind(iter)), torn: old ? Number.POSITIVE_INFINITY : end };
  };
  const watch = new Watch(rig, revision, evictions, () => (write && !direct && !ownSource ? content() : null));
  const { ret } = rig.measure(
    write ? file.fOp.writeIter(rig.task, iocb, iter) : file.fOp.readIter(rig.task, iocb, iter),
  );
  watch.end();
  expect(watch.problems).toEqual([]);
  if (ret === "livelock" && mayLivelock(revision, call)) return;
  if (typeof ret === "string") {
    expect(["EFAULT", "EINVAL"]).toContain(ret);
    // I8.
    if (!direct) expect({ moved: iocb.pos - pos, left: iter.count }).toEqual({ moved: 0, left: total });
  } else {
    // I1. A read may end with the file; an old kernel's write may end where it lost its limit.
    expect(ret).toBeLessThanOrEqual(total);
    expect(iocb.pos).toBe(pos + ret);
    if (!direct) expect(iter.count).toBe(total - ret);
  }
  const done = typeof ret === "number" ? ret : 0;
  rig.check();
  if (write) {
    // I7, and I1 and I6: what was taken is there, and nothing else has changed, in the cache and on disk. Where the
    // file is its own source, the order of bytes decides, and the model does not know it.
    const want = after(done);
    expect(rig.inode("f").size).toBe(want.length);
    const got = rig.content("f");
    if (ownSource) {
      got.fill(0, pos, pos + done);
      want.fill(0, pos, pos + done);
    }
    // Direct I/O may have moved bytes before the error that hides them.
    if (typeof ret === "number" || !direct) expect(Buffer.compare(got, want)).toBe(0);
  } else {
    expect(done).toBeLessThanOrEqual(Math.max(0, before.length - pos));
    // A shared mapping of the file changes the file while it is read.
    if (typeof buffer === "string" || buffer.of !== "self" || !buffer.shared) {
      expect(Buffer.compare(rig.peek(base + offset, done), before.subarray(pos, pos + done))).toBe(0);
    }
  }
}

describe.each(["5.16", "5.18", "6.1", "6.12", "7.2"])("%s", (revision) => {
  test("I1 to I8 and I10 hold for random reads and writes", () => {
    fc.assert(
      fc.property(anyCall, (call) => play(revision, call)),
      { numRuns: 80, seed: 24 },
    );
  });
});
