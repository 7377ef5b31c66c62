// Which errno for what, as Linux has them: descriptors, offsets, flags, lengths, addresses. One table a call.
import {
  EACCES,
  EBADF,
  EEXIST,
  EFAULT,
  EFBIG,
  EINVAL,
  ELOOP,
  EMFILE,
  ENAMETOOLONG,
  ENODEV,
  ENOENT,
  ENXIO,
  EOPNOTSUPP,
  ESPIPE,
  err,
} from "@faultline/kernel";
import { MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE } from "@faultline/mm";
import { Volume } from "memfs";
import { describe, expect, test } from "vitest";
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  Machine,
  O_APPEND,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  POSIX_FADV_NOREUSE,
  POSIX_FADV_RANDOM,
  POSIX_FADV_SEQUENTIAL,
  RWF_APPEND,
  RWF_NOAPPEND,
  SEEK_CUR,
  SEEK_DATA,
  SEEK_END,
  SEEK_HOLE,
  SEEK_SET,
  type Syscalls,
  type VolumeFs,
} from "../index.ts";

interface Stage {
  readonly machine: Machine;
  readonly sys: Syscalls;
  /** A file of two pages, open in three ways, a pipe, and a page of memory with a hole behind it. */
  readonly rw: number;
  readonly ro: number;
  readonly wo: number;
  readonly pipe: readonly [number, number];
  readonly memory: number;
}

function stage(): Stage {
  const machine = new Machine({ memory: 4 << 20 });
  machine.file("a", 8192);
  const sys = machine.syscalls(machine.task("caller"));
  const [rw, ro, wo] = [O_RDWR, O_RDONLY, O_WRONLY].map((flags) => sys.open("a", flags));
  const pipe = sys.pipe2(0) as [number, number];
  const flags = MAP_PRIVATE | MAP_ANONYMOUS;
  const memory = sys.mmap({ length: 8192, prot: PROT_READ | PROT_WRITE, flags });
  expect(sys.munmap(memory + 4096, 4096)).toBe(0);
  return { machine, sys, rw, ro, wo, pipe, memory };
}

const NO_FD = [-1, 99, 2 ** 31];
const KERNEL = 2 ** 47;

interface Case {
  readonly desc: string;
  readonly call: (on: Stage) => unknown;
  readonly want: unknown;
}

const TABLES: Readonly<Record<string, readonly Case[]>> = {
  open: [
    { desc: "no such file", call: ({ sys }) => sys.open("b", O_RDWR), want: err(ENOENT) },
    { desc: "no name", call: ({ sys }) => sys.open("", O_RDWR | O_CREAT), want: err(ENOENT) },
    { desc: "in no such directory", call: ({ sys }) => sys.open("x/y", O_RDWR | O_CREAT), want: err(ENOENT) },
    { desc: "there already", call: ({ sys }) => sys.open("a", O_RDWR | O_CREAT | O_EXCL), want: err(EEXIST) },
    { desc: "a long name", call: ({ sys }) => sys.open("n".repeat(256), O_RDWR), want: err(ENAMETOOLONG) },
    { desc: "the longest", call: ({ sys }) => sys.open("n".repeat(255), O_RDWR), want: err(ENOENT) },
    { desc: "a long path", call: ({ sys }) => sys.open("n/".repeat(2048), O_RDWR), want: err(ENAMETOOLONG) },
    { desc: "letters of three bytes", call: ({ sys }) => sys.open("€".repeat(86), O_RDWR), want: err(ENAMETOOLONG) },
  ],
  close: [
    ...NO_FD.map((fd) => ({ desc: `descriptor ${fd}`, call: ({ sys }: Stage) => sys.close(fd), want: err(EBADF) })),
    { desc: "twice", call: ({ sys, rw }) => [sys.close(rw), sys.close(rw)], want: [0, err(EBADF)] },
    { desc: "the lowest is free again", call: ({ sys, rw }) => sys.close(rw) || sys.open("a", 0), want: 0 },
  ],
  read: [
    ...NO_FD.map((fd) => ({
      desc: `descriptor ${fd}`,
      call: ({ sys, memory }: Stage) => [sys.read(fd, memory, 1), sys.pread(fd, memory, 1, 0)],
      want: [err(EBADF), err(EBADF)],
    })),
    { desc: "for writing only", call: ({ sys, wo, memory }) => sys.read(wo, memory, 1), want: err(EBADF) },
    { desc: "access mode 3", call: ({ sys, memory }) => sys.read(sys.open("a", 3), memory, 1), want: err(EBADF) },
    { desc: "a negative position", call: ({ sys, rw, memory }) => sys.pread(rw, memory, 1, -1), want: err(EINVAL) },
    { desc: "a pipe has none", call: ({ sys, pipe, memory }) => sys.pread(pipe[0], memory, 1, 0), want: err(ESPIPE) },
    { desc: "beyond the end", call: ({ sys, rw, memory }) => sys.pread(rw, memory, 1, 8192), want: 0 },
    { desc: "nothing, nowhere", call: ({ sys, rw }) => sys.pread(rw, 0, 0, 0), want: 0 },
    { desc: "into no memory", call: ({ sys, rw }) => sys.pread(rw, 4096, 1, 0), want: err(EFAULT) },
    { desc: "into the kernel", call: ({ sys, rw }) => sys.pread(rw, KERNEL, 1, 0), want: err(EFAULT) },
    { desc: "a negative length", call: ({ sys, rw, memory }) => sys.pread(rw, memory, -1, 0), want: err(EFAULT) },
    { desc: "as far as memory goes", call: ({ sys, rw, memory }) => sys.pread(rw, memory, 8192, 0), want: 4096 },
  ],
  write: [
    { desc: "for reading only", call: ({ sys, ro, memory }) => sys.write(ro, memory, 1), want: err(EBADF) },
    { desc: "from no memory", call: ({ sys, rw }) => sys.pwrite(rw, 4096, 1, 0), want: err(EFAULT) },
    { desc: "as far as memory goes", call: ({ sys, rw, memory }) => sys.pwrite(rw, memory, 8192, 0), want: 4096 },
    { desc: "beyond the largest", call: ({ sys, rw, memory }) => sys.pwrite(rw, memory, 1, 2 ** 44), want: err(EFBIG) },
    {
      desc: "beyond the limit of the task: a signal, too",
      call: ({ machine, memory }) => {
        const task = machine.task("limited");
        task.fileSizeLimit = 100;
        const sys = machine.syscalls(task);
        const own = sys.mmap({ length: 4096, prot: PROT_READ, flags: MAP_PRIVATE | MAP_ANONYMOUS });
        const fd = sys.open("a", O_RDWR);
        return [sys.pwrite(fd, own, 10, 95), sys.pwrite(fd, own, 1, 100), [...task.pendingSignals], memory > 0];
      },
      want: [5, err(EFBIG), [25], true],
    },
  ],
  "readv and writev": [
    {
      desc: "more than 1024 segments",
      call: ({ sys, rw, memory }) =>
        sys.writev(
          rw,
          Array.from({ length: 1025 }, () => ({ base: memory, len: 1 })),
        ),
      want: err(EINVAL),
    },
    {
      desc: "1024 segments",
      call: ({ sys, rw, memory }) =>
        sys.writev(
          rw,
          Array.from({ length: 1024 }, () => ({ base: memory, len: 1 })),
        ),
      want: 1024,
    },
    { desc: "none", call: ({ sys, rw }) => sys.readv(rw, []), want: 0 },
    { desc: "a negative length", call: ({ sys, rw }) => sys.readv(rw, [{ base: 0, len: -1 }]), want: err(EINVAL) },
    { desc: "the kernel's", call: ({ sys, rw }) => sys.readv(rw, [{ base: KERNEL, len: 1 }]), want: err(EFAULT) },
    { desc: "a negative position", call: ({ sys, rw }) => sys.preadv(rw, [], -1), want: err(EINVAL) },
    { desc: "position -1 is the file's", call: ({ sys, rw }) => sys.preadv2(rw, [], -1, 0), want: 0 },
    { desc: "position -2 is none", call: ({ sys, rw }) => sys.preadv2(rw, [], -2, 0), want: err(EINVAL) },
    {
      desc: "flags that nobody knows",
      call: ({ sys, rw, memory }) => sys.pwritev2(rw, [{ base: memory, len: 1 }], 0, 0x1000),
      want: err(EOPNOTSUPP),
    },
    {
      desc: "flags that exclude each other",
      call: ({ sys, rw, memory }) => sys.pwritev2(rw, [{ base: memory, len: 1 }], 0, RWF_APPEND | RWF_NOAPPEND),
      want: err(EINVAL),
    },
  ],
  lseek: [
    { desc: "before the beginning", call: ({ sys, rw }) => sys.lseek(rw, -1, SEEK_SET), want: err(EINVAL) },
    { desc: "beyond the largest file", call: ({ sys, rw }) => sys.lseek(rw, 2 ** 45, SEEK_SET), want: err(EINVAL) },
    { desc: "beyond the end", call: ({ sys, rw }) => sys.lseek(rw, 100, SEEK_END), want: 8292 },
    { desc: "to nowhere", call: ({ sys, rw }) => sys.lseek(rw, 0, 9), want: err(EINVAL) },
    { desc: "in a pipe", call: ({ sys, pipe }) => sys.lseek(pipe[0], 0, SEEK_CUR), want: err(ESPIPE) },
    { desc: "to data behind the end", call: ({ sys, rw }) => sys.lseek(rw, 8192, SEEK_DATA), want: err(ENXIO) },
    { desc: "to the hole at the end", call: ({ sys, rw }) => sys.lseek(rw, 0, SEEK_HOLE), want: 8192 },
  ],
  "ftruncate and fallocate": [
    { desc: "a negative length", call: ({ sys, rw }) => sys.ftruncate(rw, -1), want: err(EINVAL) },
    { desc: "before the descriptor is looked at", call: ({ sys }) => sys.ftruncate(99, -1), want: err(EINVAL) },
    { desc: "for reading only", call: ({ sys, ro }) => sys.ftruncate(ro, 0), want: err(EINVAL) },
    { desc: "a pipe", call: ({ sys, pipe }) => sys.ftruncate(pipe[1], 0), want: err(EINVAL) },
    { desc: "too long", call: ({ sys, rw }) => sys.ftruncate(rw, 2 ** 44 + 1), want: err(EFBIG) },
    { desc: "nothing", call: ({ sys, rw }) => sys.fallocate(rw, 0, 0, 0), want: err(EINVAL) },
    { desc: "an unknown mode", call: ({ sys, rw }) => sys.fallocate(rw, 0x100, 0, 1), want: err(EOPNOTSUPP) },
    {
      desc: "a hole that changes the size",
      call: ({ sys, rw }) => sys.fallocate(rw, FALLOC_FL_PUNCH_HOLE, 0, 1),
      want: err(EOPNOTSUPP),
    },
    { desc: "blocks for a reader", call: ({ sys, ro }) => sys.fallocate(ro, 0, 0, 1), want: err(EBADF) },
    { desc: "blocks for a pipe", call: ({ sys, pipe }) => sys.fallocate(pipe[1], 0, 0, 1), want: err(ESPIPE) },
    {
      desc: "blocks beyond the largest file",
      call: ({ sys, rw }) => sys.fallocate(rw, FALLOC_FL_KEEP_SIZE, 2 ** 44, 1),
      want: err(EFBIG),
    },
  ],
  fadvise: [
    { desc: "a pipe", call: ({ sys, pipe }) => sys.fadvise(pipe[0], 0, 0, 0), want: err(ESPIPE) },
    { desc: "a negative length", call: ({ sys, rw }) => sys.fadvise(rw, 0, -1, 0), want: err(EINVAL) },
    { desc: "no such advice", call: ({ sys, rw }) => sys.fadvise(rw, 0, 0, 6), want: err(EINVAL) },
    { desc: "not to be used again", call: ({ sys, rw }) => sys.fadvise(rw, 0, 0, POSIX_FADV_NOREUSE), want: 0 },
  ],
  "other calls": [
    { desc: "a pipe is synced", call: ({ sys, pipe }) => sys.fsync(pipe[0]), want: err(EINVAL) },
    {
      desc: "a pipe is looked at",
      call: ({ sys, pipe }) => sys.fstat(pipe[0]),
      want: { ino: 0, size: 0, blocks: 0, nlink: 1 },
    },
    {
      desc: "a file's bytes to come",
      call: ({ sys, rw }) => sys.lseek(rw, 100, SEEK_SET) && sys.fionread(rw),
      want: 8092,
    },
    { desc: "a file's pipe size", call: ({ sys, rw }) => sys.setPipeSize(rw, 4096), want: err(EBADF) },
    { desc: "packets", call: ({ sys }) => sys.pipe2(0o40000), want: err(EINVAL) },
    { desc: "what is not there is unlinked", call: ({ sys }) => sys.unlink("b"), want: err(ENOENT) },
    { desc: "a copy onto itself", call: ({ sys, rw }) => sys.copyFileRange(rw, 0, rw, 10, 100), want: err(EINVAL) },
    {
      desc: "a copy to the end of whatever is there",
      call: ({ sys, rw }) => sys.copyFileRange(rw, 0, sys.open("b", O_RDWR | O_CREAT | O_APPEND), 0, 1),
      want: err(EBADF),
    },
  ],
  mmap: [
    {
      desc: "no descriptor",
      call: ({ sys }) => sys.mmap({ length: 4096, prot: 0, flags: MAP_SHARED, fd: 99 }),
      want: err(EBADF),
    },
    {
      desc: "half a page into the file",
      call: ({ sys, rw }) => sys.mmap({ length: 4096, prot: 0, flags: MAP_SHARED, fd: rw, offset: 2048 }),
      want: err(EINVAL),
    },
    {
      desc: "nothing",
      call: ({ sys, rw }) => sys.mmap({ length: 0, prot: 0, flags: MAP_SHARED, fd: rw }),
      want: err(EINVAL),
    },
    {
      desc: "a pipe",
      call: ({ sys, pipe }) => sys.mmap({ length: 4096, prot: 0, flags: MAP_PRIVATE, fd: pipe[0] }),
      want: err(ENODEV),
    },
    {
      desc: "a file that cannot be read",
      call: ({ sys, wo }) => sys.mmap({ length: 4096, prot: PROT_WRITE, flags: MAP_PRIVATE, fd: wo }),
      want: err(EACCES),
    },
    {
      desc: "stores to a file that cannot be written",
      call: ({ sys, ro }) => sys.mmap({ length: 4096, prot: PROT_WRITE, flags: MAP_SHARED, fd: ro }),
      want: err(EACCES),
    },
  ],
};

describe.each(Object.entries(TABLES))("%s", (_, cases) => {
  test.each(cases)("$desc", ({ call, want }) => {
    const on = stage();
    expect(call(on)).toEqual(want);
    // Whatever it was: the next call is as good as ever.
    expect(on.sys.fstat(on.sys.open("a", O_RDONLY))).toMatchObject({ nlink: 1 });
  });
});

test("two descriptors of one open file share its position, two open files do not", () => {
  const { sys, rw, ro, memory } = stage();
  const copy = sys.dup(rw);
  expect(sys.write(rw, memory, 100)).toBe(100);
  expect([rw, copy, ro].map((fd) => sys.lseek(fd, 0, SEEK_CUR))).toEqual([100, 100, 0]);
  expect(sys.close(rw)).toBe(0);
  expect(sys.lseek(copy, 0, SEEK_CUR)).toBe(100);
});

test("as many descriptors as the limit says, and the lowest first", () => {
  const { machine } = stage();
  const task = machine.task("greedy");
  task.files.limit = 3;
  const sys = machine.syscalls(task);
  expect([0, 1, 2, 3].map(() => sys.open("a", O_RDONLY))).toEqual([0, 1, 2, err(EMFILE)]);
  expect([sys.dup(0), sys.pipe2(0)]).toEqual([err(EMFILE), err(EMFILE)]);
  expect([sys.close(1), sys.pipe2(0), sys.dup(0)]).toEqual([0, err(EMFILE), 1]);
});

test("O_TRUNC empties the file, also for readers", () => {
  const { sys, rw } = stage();
  expect(sys.fstat(sys.open("a", O_RDONLY | O_TRUNC))).toMatchObject({ size: 0 });
  expect(sys.fstat(rw)).toMatchObject({ size: 0 });
});

test("every write with O_APPEND goes to the end, wherever the position is", () => {
  const { sys, memory } = stage();
  const fd = sys.open("a", O_RDWR | O_APPEND);
  expect([sys.lseek(fd, 10, SEEK_SET), sys.write(fd, memory, 5), sys.pwrite(fd, memory, 5, 0)]).toEqual([10, 5, 5]);
  expect([sys.lseek(fd, 0, SEEK_CUR), sys.lseek(fd, 0, SEEK_END)]).toEqual([8197, 8202]);
});

test("an unlinked file lives as long as it is open", () => {
  const { sys, rw, ro, wo, memory } = stage();
  expect(sys.unlink("a")).toBe(0);
  expect(sys.open("a", O_RDWR)).toBe(err(ENOENT));
  expect(sys.pwrite(rw, memory, 10, 0)).toBe(10);
  expect([rw, ro, wo].map((fd) => sys.close(fd))).toEqual([0, 0, 0]);
});

test("the advice of a reader decides what is read ahead", () => {
  const resident = (advice: number): number => {
    const machine = new Machine({ memory: 4 << 20 });
    machine.file("a", 256 * 4096);
    const sys = machine.syscalls(machine.task("reader"));
    const fd = sys.open("a", O_RDONLY);
    const memory = sys.mmap({ length: 4096, prot: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS });
    expect(sys.fadvise(fd, 0, 0, advice)).toBe(0);
    for (const page of [0, 1, 2, 3, 4]) expect(sys.pread(fd, memory, 4096, page * 4096)).toBe(4096);
    const map = sys.mmap({ length: 256 * 4096, prot: PROT_READ, flags: MAP_SHARED, fd });
    const pages: number[] = [];
    expect(sys.mincore(map, 256 * 4096, pages)).toBe(0);
    return pages.filter(Boolean).length;
  };
  const [normal, sequential] = [0, POSIX_FADV_SEQUENTIAL].map(resident);
  expect(resident(POSIX_FADV_RANDOM)).toBe(5);
  expect(normal).toBeGreaterThan(5);
  expect(sequential).toBeGreaterThanOrEqual(normal);
});

test("a volume's links lead nowhere", () => {
  const volume = Volume.fromJSON({ "/disk/a": "text", "/secret": "text" });
  volume.symlinkSync("/secret", "/disk/link");
  const machine = new Machine({ volume: volume as unknown as VolumeFs, disk: { root: "/disk" }, memory: 1 << 20 });
  const sys = machine.syscalls(machine.task("caller"));
  const opened = ["a", "link", "../secret", "/a"].map((path) => sys.open(path, O_RDONLY));
  expect(opened).toEqual([0, err(ELOOP), err(EINVAL), 1]);
});

test("loads and stores of the task go as far as its memory does", () => {
  const { sys, memory } = stage();
  const bytes = Uint8Array.from({ length: 100 }, (_, i) => i);
  expect(sys.store(memory + 4000, bytes)).toBe(96);
  expect([...sys.load(memory + 4000, 200)]).toEqual([...bytes.subarray(0, 96)]);
  expect([sys.store(4096, bytes), sys.load(4096, 10).length]).toEqual([0, 0]);
});
