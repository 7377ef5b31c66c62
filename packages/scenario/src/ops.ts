// The operations of a scenario, made as system calls and memory accesses of the task that runs them.

import type { FsTask } from "@faultline/fs";
import * as fs from "@faultline/fs";
import { errnoName, type MayFault, PAGE_SIZE, pagesFor } from "@faultline/kernel";
import * as mm from "@faultline/mm";
import { pageAddress, pagemapEntry, userLoad, userStore } from "@faultline/mm";
import type { Segment } from "@faultline/uio";
import type { Names } from "./maps.ts";
import type { Op, OpName } from "./op.ts";
import { Fnv1a, fillPattern, runLengths } from "./pattern.ts";
import type { OpResult } from "./result.ts";

/** Bytes of the runner's own buffer, which `sum` reads files into. */
export const IOBUF_SIZE: number = 1024 * 1024;

/** What an operation works with. */
export interface OpContext {
  readonly task: FsTask;
  readonly names: Names;
  /** User address of the runner's buffer: resident, and no map of the scenario. */
  readonly iobuf: number;
  /** Physical page through which bytes go to and from user memory. */
  readonly scratch: number;
  barrier(): MayFault<void>;
  sleep(milliseconds: number): MayFault<void>;
  /** This call comes next: others may go on before it. */
  goesOn(call: Call): MayFault<void>;
}

/** The calls that operations are made of, as far as it matters when they come. */
export type Call = "madvise" | "open" | "fsync" | "fadvise" | "mincore";

type OpOf<Name extends OpName> = Extract<Op, { op: Name }>;
type Implementation<Name extends OpName> = (context: OpContext, op: OpOf<Name>) => MayFault<OpResult>;

/** Make one operation. Context: may fault. Returns: what the recorder would have written, fault counts aside. */
export function runOp(context: OpContext, op: Op): MayFault<OpResult> {
  return (OPS[op.op] as Implementation<OpName>)(context, op as never);
}

/** -1 with the error's name, as system calls return through libc. */
function result(ret: number, more: Partial<OpResult> = {}): OpResult {
  return ret < 0 ? { ret: -1, errno: errnoName(ret) } : { ret, ...more };
}

/** A call that returns what the operation returns. */
const call = <Name extends OpName>(
  make: (context: OpContext, op: OpOf<Name>) => MayFault<number>,
): Implementation<Name> =>
  function* (context, op) {
    return result(yield* make(context, op));
  };

const bits = (words: readonly string[] | undefined, values: Readonly<Record<string, number>>): number =>
  (words ?? []).reduce((sum, word) => sum | values[word], 0);

const OPEN_FLAGS = {
  O_RDONLY: fs.O_RDONLY,
  O_WRONLY: fs.O_WRONLY,
  O_RDWR: fs.O_RDWR,
  O_DIRECT: fs.O_DIRECT,
  O_APPEND: fs.O_APPEND,
  O_NONBLOCK: fs.O_NONBLOCK,
  O_DSYNC: fs.O_DSYNC,
  O_SYNC: fs.O_SYNC,
  O_CREAT: fs.O_CREAT,
  O_TRUNC: fs.O_TRUNC,
};
const RWF_FLAGS = {
  RWF_HIPRI: fs.RWF_HIPRI,
  RWF_DSYNC: fs.RWF_DSYNC,
  RWF_SYNC: fs.RWF_SYNC,
  RWF_NOWAIT: fs.RWF_NOWAIT,
  RWF_APPEND: fs.RWF_APPEND,
  RWF_NOAPPEND: fs.RWF_NOAPPEND,
  RWF_ATOMIC: fs.RWF_ATOMIC,
  RWF_DONTCACHE: fs.RWF_DONTCACHE,
};
const MAP_FLAGS = {
  private: mm.MAP_PRIVATE,
  shared: mm.MAP_SHARED,
  anon: mm.MAP_ANONYMOUS,
  growsdown: mm.MAP_GROWSDOWN,
  populate: mm.MAP_POPULATE,
  noreserve: mm.MAP_NORESERVE,
};
const ADVICE = {
  NORMAL: mm.MADV_NORMAL,
  RANDOM: mm.MADV_RANDOM,
  SEQUENTIAL: mm.MADV_SEQUENTIAL,
  WILLNEED: mm.MADV_WILLNEED,
  DONTNEED: mm.MADV_DONTNEED,
  POPULATE_READ: mm.MADV_POPULATE_READ,
  POPULATE_WRITE: mm.MADV_POPULATE_WRITE,
};
const WHENCE = {
  SET: fs.SEEK_SET,
  CUR: fs.SEEK_CUR,
  END: fs.SEEK_END,
  DATA: fs.SEEK_DATA,
  HOLE: fs.SEEK_HOLE,
};
/** The recorder's words for fallocate modes; punching keeps the size there. */
const FALLOC_MODES = {
  KEEP_SIZE: fs.FALLOC_FL_KEEP_SIZE,
  PUNCH_HOLE: fs.FALLOC_FL_PUNCH_HOLE | fs.FALLOC_FL_KEEP_SIZE,
  COLLAPSE_RANGE: 8,
  ZERO_RANGE: 16,
};

function protOf(word: string): number {
  return bits(word === "none" ? [] : [...word], { r: mm.PROT_READ, w: mm.PROT_WRITE, x: mm.PROT_EXEC });
}

function segments(names: Names, iov: OpOf<"readv">["iov"]): Segment[] {
  return iov.map(([map, off, len]) => ({ base: names.address(map, off), len }));
}

const OPS: { readonly [Name in OpName]: Implementation<Name> } = {
  *open({ task, names }, { fd, file, flags }) {
    const number = yield* fs.sysOpen(task, file, bits(flags, OPEN_FLAGS));
    if (number >= 0) names.fds.set(fd, { fd: number, file });
    return result(Math.min(number, 0));
  },

  close: call(function* ({ task, names }, { fd }) {
    return yield* fs.sysClose(task, names.fd(fd));
  }),

  *mmap({ task, names }, { map: name, len, prot, flags, fd, off = 0 }) {
    const map = names.declareMap(name);
    map.length = len;
    map.file = (fd === undefined ? undefined : names.fds.get(fd)?.file) ?? "";
    map.fileOffset = off;
    const address = yield* fs.sysMmap(task, {
      address: map.base,
      length: len,
      prot: protOf(prot),
      flags: bits(flags, MAP_FLAGS) | (flags.includes("shared") ? 0 : mm.MAP_PRIVATE) | mm.MAP_FIXED_NOREPLACE,
      fd: names.fd(fd),
      offset: off,
    });
    return result(Math.min(address, 0));
  },

  munmap: call(({ task, names }, { map, off, len }) => mm.doMunmap(task, names.address(map, off), len)),
  mprotect: call(({ task, names }, { map, off, len, prot }) =>
    mm.doMprotect(task, names.address(map, off), len, protOf(prot)),
  ),
  madvise: call(function* ({ task, names, goesOn }, { map, off, len, advice }) {
    if (advice === "DONTNEED") yield* goesOn("madvise");
    return yield* mm.doMadvise(task, names.address(map, off), len, ADVICE[advice]);
  }),

  *touch({ task, names, scratch }, { map, off, len, how }) {
    const start = names.address(map, off);
    let signal = 0;
    let worked = 0;
    let pages = "";
    // The first byte, then the first byte of every later page.
    for (let at = start; at < start + len; at = at - (at % PAGE_SIZE) + PAGE_SIZE) {
      let access = yield* userLoad(task, scratch, at, 1);
      if (access.signal === 0 && how === "write") {
        const byte = task.mm.mem.u8[scratch] + 1;
        access = yield* userStoreByte(task, scratch, at, byte);
      }
      if (access.signal === 0) worked++;
      else signal ||= access.signal;
      pages += access.signal === 0 ? "." : access.signal === mm.SIGBUS ? "B" : "S";
    }
    return signal === 0 ? { ret: worked } : { ret: worked, sig: signalName(signal), pages: runLengths(pages) };
  },

  *fill({ task, names, scratch }, { map, off, len, seed }) {
    const start = names.address(map, off);
    const { u8 } = task.mm.mem;
    let done = 0;
    while (done < len) {
      const size = Math.min(len - done, PAGE_SIZE - ((start + done) % PAGE_SIZE));
      const page = u8.subarray(scratch, scratch + size);
      fillPattern(page, seed, off + done);
      const { left, signal } = yield* userStore(task, start + done, scratch, size);
      done += size - left;
      if (signal !== 0) return { ret: done, sig: signalName(signal) };
    }
    return { ret: done };
  },

  pread: call(({ task, names }, { fd, pos, iov: [[map, off, len]] }) =>
    fs.sysPread64(task, names.fd(fd), names.address(map, off), len, pos),
  ),
  pwrite: call(({ task, names }, { fd, pos, iov: [[map, off, len]] }) =>
    fs.sysPwrite64(task, names.fd(fd), names.address(map, off), len, pos),
  ),
  read: call(({ task, names }, { fd, iov: [[map, off, len]] }) =>
    fs.sysRead(task, names.fd(fd), names.address(map, off), len),
  ),
  write: call(({ task, names }, { fd, iov: [[map, off, len]] }) =>
    fs.sysWrite(task, names.fd(fd), names.address(map, off), len),
  ),
  readv: call(({ task, names }, { fd, iov }) => fs.sysReadv(task, names.fd(fd), segments(names, iov))),
  writev: call(({ task, names }, { fd, iov }) => fs.sysWritev(task, names.fd(fd), segments(names, iov))),
  preadv: call(({ task, names }, { fd, iov, pos }) => fs.sysPreadv(task, names.fd(fd), segments(names, iov), pos)),
  pwritev: call(({ task, names }, { fd, iov, pos }) => fs.sysPwritev(task, names.fd(fd), segments(names, iov), pos)),
  preadv2: call(({ task, names }, { fd, iov, pos, flags }) =>
    fs.sysPreadv2(task, names.fd(fd), segments(names, iov), pos, bits(flags, RWF_FLAGS)),
  ),
  pwritev2: call(({ task, names }, { fd, iov, pos, flags }) =>
    fs.sysPwritev2(task, names.fd(fd), segments(names, iov), pos, bits(flags, RWF_FLAGS)),
  ),

  ftruncate: call(({ task, names }, { fd, len }) => fs.sysFtruncate(task, names.fd(fd), len)),
  fallocate: call(({ task, names }, { fd, mode, off, len }) =>
    fs.sysFallocate(task, names.fd(fd), bits(mode, FALLOC_MODES), off, len),
  ),
  fsync: call(({ task, names }, { fd }) => fs.sysFsync(task, names.fd(fd))),
  lseek: call(({ task, names }, { fd, off, whence }) => fs.sysLseek(task, names.fd(fd), off, WHENCE[whence])),

  dropcache: call(function* ({ task, names, goesOn }, { fd }) {
    const status = yield* fs.sysFsync(task, names.fd(fd));
    if (status === 0) yield* goesOn("fadvise");
    return status !== 0 ? status : yield* fs.sysFadvise(task, names.fd(fd), 0, 0, fs.POSIX_FADV_DONTNEED);
  }),

  *evict({ task, names, goesOn }, { map: name, off, len }) {
    const address = names.address(name, off);
    yield* goesOn("madvise");
    const status = yield* mm.doMadvise(task, address, len, mm.MADV_DONTNEED);
    const map = names.map(name);
    if (status !== 0 || map === undefined || map.file === "") return result(status);
    yield* goesOn("open");
    const fd = yield* fs.sysOpen(task, map.file, fs.O_RDONLY);
    yield* goesOn("fsync");
    const synced = yield* fs.sysFsync(task, fd);
    yield* goesOn("fadvise");
    if (synced === 0) yield* fadviseDontneed(task, fd, map.fileOffset + off, len);
    yield* closeQuietly(task, fd);
    const resident: number[] = [];
    yield* goesOn("mincore");
    const seen = yield* mm.doMincore(task, address, pagesFor(len) * PAGE_SIZE, resident);
    return result(0, { resident: seen < 0 ? seen : resident.filter(Boolean).length });
  },

  *mincore({ task, names }, { map, off, len }) {
    const resident: number[] = [];
    const status = yield* mm.doMincore(task, names.address(map, off), pagesFor(len) * PAGE_SIZE, resident);
    return result(status, { count: resident.filter(Boolean).length, pages: runLengths(resident.join("")) });
  },

  *pagemap({ task, names }, { map, off, len }) {
    const address = names.address(map, off);
    let count = 0;
    let pages = "";
    for (let i = 0; i < pagesFor(len); i++) {
      const entry = pagemapEntry(task, address + i * PAGE_SIZE);
      const letter = entry.file ? "f" : "a";
      pages += entry.present ? (entry.exclusive ? letter.toUpperCase() : letter) : ".";
      if (entry.present) count++;
    }
    return { ret: 0, count, pages: runLengths(pages) };
  },

  *sum(context, op) {
    return op.map !== undefined ? yield* sumMap(context, op.map, op.off, op.len) : yield* sumFile(context, op);
  },

  *stat({ task, names }, { fd }) {
    const stat = yield* fs.sysFstat(task, names.fd(fd));
    return typeof stat === "number" ? result(stat) : { ret: 0, size: stat.size, blocks: stat.blocks };
  },

  *pipe({ task, names }, { r, w, size, flags }) {
    const ends = yield* fs.sysPipe2(task, bits(flags, OPEN_FLAGS));
    if (typeof ends === "number") return result(ends);
    names.fds.set(r, { fd: ends[0], file: "" });
    names.fds.set(w, { fd: ends[1], file: "" });
    return result(size === undefined ? 0 : yield* fs.sysSetPipeSize(task, ends[1], size));
  },

  fionread: call(({ task, names }, { fd }) => fs.sysFionread(task, names.fd(fd))),
  *fiemap({ task, names, scratch }, { fd, off, len, iov: [[map, at, room]] }) {
    const address = names.address(map, at);
    const { u8 } = task.mm.mem;
    const header = new DataView(u8.buffer, u8.byteOffset + scratch, fs.FIEMAP_SIZE);
    header.setBigUint64(0, BigInt(off), true);
    header.setBigUint64(8, len === 0 ? 2n ** 64n - 1n : BigInt(len), true);
    header.setBigUint64(16, 0n, true);
    header.setUint32(24, Math.floor((room - fs.FIEMAP_SIZE) / fs.FIEMAP_EXTENT_SIZE), true);
    header.setUint32(28, 0, true);
    const { signal } = yield* userStore(task, address, scratch, fs.FIEMAP_SIZE);
    if (signal !== 0) return { ret: 0, sig: signalName(signal) };
    const status = yield* fs.sysFiemap(task, names.fd(fd), address);
    if (status !== 0) return result(status);
    const loaded = yield* userLoad(task, scratch, address + 20, 4);
    return loaded.signal === 0
      ? { ret: 0, count: header.getUint32(0, true) }
      : { ret: 0, sig: signalName(loaded.signal) };
  },

  copyrange: call(({ task, names }, { fd, pos, to, topos, len }) =>
    fs.sysCopyFileRange(task, names.fd(fd), pos, names.fd(to), topos, len),
  ),

  *sleep({ sleep }, { ms }) {
    yield* sleep(ms);
    return { ret: 0 };
  },

  *barrier({ barrier }) {
    yield* barrier();
    return { ret: 0 };
  },
};

/** Store one byte; it goes through the scratch page again each time the task was away. */
function* userStoreByte(task: FsTask, scratch: number, address: number, byte: number): MayFault<mm.UserAccessResult> {
  task.mm.mem.u8[scratch] = byte;
  return yield* userStore(task, address, scratch, 1);
}

function* fadviseDontneed(task: FsTask, fd: number, offset: number, length: number): MayFault<void> {
  const status = yield* fs.sysFadvise(task, fd, offset, length, fs.POSIX_FADV_DONTNEED);
  if (status !== 0) throw new Error(`fadvise: ${errnoName(status)}`);
}

function* closeQuietly(task: FsTask, fd: number): MayFault<void> {
  const status = yield* fs.sysClose(task, fd);
  if (status !== 0) throw new Error(`close: ${errnoName(status)}`);
}

function* sumMap({ task, names, scratch }: OpContext, map: string, off: number, len: number): MayFault<OpResult> {
  const start = names.address(map, off);
  const sum = new Fnv1a();
  let done = 0;
  while (done < len) {
    const size = Math.min(len - done, PAGE_SIZE - ((start + done) % PAGE_SIZE));
    const { left, signal } = yield* userLoad(task, scratch, start + done, size);
    sum.add(task.mm.mem.u8.subarray(scratch, scratch + size - left));
    done += size - left;
    if (signal !== 0) return { ret: done, sig: signalName(signal), sum: sum.hex };
  }
  return { ret: done, sum: sum.hex };
}

function* sumFile(context: OpContext, op: OpOf<"sum">): MayFault<OpResult> {
  const fd = context.names.fd(op.fd);
  const sum = new Fnv1a();
  let done = 0;
  while (done < op.len) {
    const size = Math.min(op.len - done, IOBUF_SIZE);
    const got = yield* readIntoIobuf(context, fd, op.off + done, size, sum);
    if (got < 0) return result(got);
    if (got === 0) break;
    done += got;
  }
  return { ret: done, sum: sum.hex };
}

/** pread into the runner's buffer, and add what came to the sum. Returns: bytes or an error. */
export function* readIntoIobuf(
  { task, iobuf }: Pick<OpContext, "task" | "iobuf">,
  fd: number,
  pos: number,
  size: number,
  sum: Fnv1a,
): MayFault<number> {
  const got = yield* fs.sysPread64(task, fd, iobuf, size, pos);
  const { pgd, mem } = task.mm;
  for (let done = 0; done < got; done += PAGE_SIZE) {
    const frame = mm.ptePfn(pgd.get((iobuf + done) / PAGE_SIZE));
    sum.add(mem.u8.subarray(pageAddress(frame), pageAddress(frame) + Math.min(PAGE_SIZE, got - done)));
  }
  // Adding up takes time, in which the disk goes on.
  task.world.elapse(1);
  return got;
}

function signalName(signal: number): string {
  return signal === mm.SIGBUS ? "SIGBUS" : signal === mm.SIGSEGV ? "SIGSEGV" : "SIGKILL";
}
