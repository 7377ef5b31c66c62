// The disk under the file system: what a volume may be, what becomes of its errors, and what it may never be made
// to do. Each volume here is one that misbehaves in one way.

import * as nodeFs from "node:fs";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  EACCES,
  EINVAL,
  EIO,
  EISDIR,
  ELOOP,
  ENOENT,
  ENOSPC,
  err,
  FifoChooser,
  PAGE_SIZE,
  RandomChooser,
} from "@faultline/kernel";
import { Volume } from "memfs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  O_CREAT,
  O_DSYNC,
  O_RDWR,
  sysFallocate,
  sysFstat,
  sysFtruncate,
  sysOpen,
  sysUnlink,
  type VolumeFs,
} from "../index.ts";
import { Rig } from "../testing/cluster-rig.ts";

const memfs = (files: Record<string, string> = {}): VolumeFs => Volume.fromJSON(files, "/") as unknown as VolumeFs;

/** A volume whose calls may be replaced, one by one. */
function wrapped(calls: Partial<VolumeFs>, base: VolumeFs = memfs()): VolumeFs {
  return new Proxy(base, {
    get: (target, name) => {
      const call =
        (calls as Record<PropertyKey, unknown>)[name] ?? (target as unknown as Record<PropertyKey, unknown>)[name];
      return typeof call === "function" ? call.bind(target) : call;
    },
  });
}

describe("a real directory", () => {
  let outside = "";
  let root = "";
  beforeEach(() => {
    outside = mkdtempSync(join(tmpdir(), "faultline-"));
    root = join(outside, "disk");
    mkdirSync(join(root, "inner"), { recursive: true });
    writeFileSync(join(outside, "secret"), "secret");
    writeFileSync(join(root, "plain"), "on disk");
  });
  afterEach(() => rmSync(outside, { recursive: true }));

  const onDirectory = (): Rig => new Rig({ volume: nodeFs as unknown as VolumeFs, disk: { root } });

  test("is read and written as files", () => {
    const rig = onDirectory();
    const p = rig.process("p");
    expect(p.does(p.read(p.does(p.open("plain")), 100, 0))).toBe("on disk");
    const fd = p.does(p.open("inner/new"));
    p.does(p.write(fd, "x".repeat(10_000), 0));
    expect(p.does(p.fsync(fd))).toBe(0);
    expect(readFileSync(join(root, "inner/new"), "latin1")).toBe("x".repeat(10_000));
    expect(p.does(sysUnlink(p.task, "inner/new"))).toBe(0);
    expect(existsSync(join(root, "inner/new"))).toBe(false);
  });

  test.each([
    { desc: "..", name: "../secret", want: -EINVAL },
    { desc: ".. in the middle", name: "inner/../../secret", want: -EINVAL },
    { desc: ".. that would stay inside", name: "inner/../plain", want: -EINVAL },
    { desc: "an absolute name is one within", name: "/plain", want: 0 },
    { desc: "a NUL", name: "plain\0/../../secret", want: -EINVAL },
    { desc: "a link to a file outside", name: "file-link", want: -ELOOP },
    { desc: "a link to a directory outside", name: "dir-link/secret", want: -ELOOP },
    { desc: "a link to a directory inside", name: "inner-link/x", want: -ELOOP },
    { desc: "a dangling link, which creating would follow", name: "dangling", want: -ELOOP },
    { desc: "a link to itself", name: "loop", want: -ELOOP },
    { desc: "a directory", name: "inner", want: -EISDIR },
    { desc: "the directory itself", name: "/", want: -EISDIR },
    { desc: "a file as a directory", name: "plain/x", want: -20 },
    { desc: "a directory that is not there", name: "nowhere/x", want: -ENOENT },
  ])("cannot be left: $desc", ({ name, want }) => {
    symlinkSync(join(outside, "secret"), join(root, "file-link"));
    symlinkSync(outside, join(root, "dir-link"));
    symlinkSync(join(root, "inner"), join(root, "inner-link"));
    symlinkSync(join(outside, "made"), join(root, "dangling"));
    symlinkSync(join(root, "loop"), join(root, "loop"));
    const rig = onDirectory();
    const p = rig.process("p");
    const fd = p.does(sysOpen(p.task, name, O_RDWR | O_CREAT));
    expect(Math.min(fd, 0)).toBe(want);
    expect(p.does(sysUnlink(p.task, name)) < 0, "nor can anything outside be removed").toBe(want !== 0);
    expect(readFileSync(join(outside, "secret"), "latin1")).toBe("secret");
    expect(existsSync(join(outside, "made"))).toBe(false);
  });

  test("a link that takes a file's place while it is opened is not followed", () => {
    const swap = wrapped(
      {
        openSync(path, flags) {
          rmSync(path);
          symlinkSync(join(outside, "secret"), path);
          return nodeFs.openSync(path, flags);
        },
      },
      nodeFs as unknown as VolumeFs,
    );
    const rig = new Rig({ volume: swap, disk: { root } });
    const p = rig.process("p");
    expect(p.does(sysOpen(p.task, "plain", O_RDWR))).toBe(err(ELOOP));
  });

  test("a volume that one machine wrote is mounted by another", () => {
    const first = onDirectory();
    const p = first.process("p");
    const fd = p.does(p.open("a"));
    const text = "0123456789".repeat(2000);
    p.does(p.write(fd, text, 0));
    p.does(p.fsync(fd));
    const second = new Rig({ volume: nodeFs as unknown as VolumeFs, disk: { root }, nodes: 2 });
    const q = second.process("q", 2);
    const again = q.does(q.open("a"));
    expect(q.does(q.read(again, 30_000, 0))).toBe(text);
    expect(q.does(sysFstat(q.task, again))).toMatchObject({ size: 20_000, blocks: 6 * 8 });
  });
});

describe("room", () => {
  const CAPACITY = { capacityBlocks: 8 };

  test("a write gets what fits, then -ENOSPC; what is freed can be used again", () => {
    const rig = new Rig({ disk: CAPACITY });
    const p = rig.process("p");
    const fd = p.does(p.open("a"));
    const wrote = p.does(p.write(fd, "x".repeat(10 * PAGE_SIZE), 0));
    expect(wrote === err(ENOSPC) || (wrote > 0 && wrote < 10 * PAGE_SIZE)).toBe(true);
    for (let i = 0; i < 20; i++) p.does(p.write(fd, "y", i * PAGE_SIZE));
    expect(p.does(p.write(fd, "y", 100 * PAGE_SIZE))).toBe(err(ENOSPC));
    expect(p.does(p.fsync(fd))).toBe(0);
    expect(rig.machine.disk.freeBlocks).toBeLessThan(2);
    expect(p.does(sysFtruncate(p.task, fd, 0))).toBe(0);
    expect(rig.machine.disk.freeBlocks).toBe(7);
    expect(p.does(p.write(fd, "z".repeat(2 * PAGE_SIZE), 0))).toBe(2 * PAGE_SIZE);
  });

  test("a store into a hole that finds no block is SIGBUS", () => {
    const rig = new Rig({ disk: { capacityBlocks: 4 } });
    const p = rig.process("p");
    const fd = p.does(p.open("a"));
    expect(p.does(sysFtruncate(p.task, fd, 10 * PAGE_SIZE))).toBe(0);
    const map = p.does(p.mmap(fd, 10 * PAGE_SIZE));
    const signals = Array.from({ length: 10 }, (_, page) => p.does(p.store(map + page * PAGE_SIZE, "x")));
    expect(signals.filter((signal) => signal === 7).length).toBeGreaterThan(5);
    expect(signals[0]).toBe(0);
  });

  test("an allocation takes all it asks for or nothing", () => {
    const rig = new Rig({ disk: CAPACITY });
    const p = rig.process("p");
    const fd = p.does(p.open("a"));
    expect(p.does(sysFallocate(p.task, fd, 0, 0, 20 * PAGE_SIZE))).toBe(err(ENOSPC));
    const free = rig.machine.disk.freeBlocks;
    expect(p.does(sysFallocate(p.task, fd, 0, 0, 5 * PAGE_SIZE))).toBe(0);
    expect(rig.machine.disk.freeBlocks).toBe(free - 5);
  });

  test("a file that does not fit is not adopted, and costs nothing", () => {
    const rig = new Rig({ disk: CAPACITY, volume: memfs({ "/big": "x".repeat(20 * PAGE_SIZE) }) });
    const p = rig.process("p");
    for (let i = 0; i < 3; i++) expect(p.does(sysOpen(p.task, "big", O_RDWR))).toBe(err(ENOSPC));
    expect(rig.machine.disk.freeBlocks).toBe(8);
  });
});

describe("errors", () => {
  test("a volume that is full tells so when the bytes get there: fsync says -ENOSPC, once for each open file", () => {
    let full = false;
    const base = memfs();
    const volume = wrapped(
      {
        writeSync(fd, buffer, offset, length, position) {
          if (full) throw Object.assign(new Error("full"), { code: "ENOSPC" });
          return base.writeSync(fd, buffer, offset, length, position);
        },
      },
      base,
    );
    const rig = new Rig({ volume });
    const p = rig.process("p");
    const [first, second] = [p.does(p.open("a")), p.does(p.open("a"))];
    p.does(p.write(first, "x".repeat(2 * PAGE_SIZE), 0));
    full = true;
    expect(p.does(p.fsync(first))).toBe(err(ENOSPC));
    full = false;
    expect(p.does(p.fsync(first)), "told once").toBe(0);
    expect(p.does(p.fsync(second)), "and to the other once").toBe(err(ENOSPC));
    expect(p.does(p.fsync(second))).toBe(0);
    const late = p.does(p.open("a"));
    expect(p.does(p.fsync(late)), "it was no open file then").toBe(0);
  });

  test("an error that nobody has been told of is told to who opens the file next", () => {
    const rig = new Rig({ chooser: new Injecting("disk-error", 1), environment: { "disk-error": 1 } });
    const p = rig.process("p");
    const fd = p.does(p.open("a", O_RDWR | O_CREAT | O_DSYNC));
    const other = p.does(p.open("a"));
    p.does(p.write(other, "x".repeat(PAGE_SIZE), 0));
    const status = p.does(p.fsync(other));
    expect(status).toBe(err(EIO));
    expect(p.does(p.fsync(fd))).toBe(err(EIO));
    expect(p.does(p.fsync(fd))).toBe(0);
  });

  test("what was synced before an error is still there after it", () => {
    for (let nth = 1; nth < 6; nth++) {
      const rig = new Rig({ chooser: new Injecting("disk-error", nth), environment: { "disk-error": 1 } });
      const p = rig.process("p");
      const fd = p.does(p.open("a"));
      let synced = "";
      for (let round = 0; round < 5; round++) {
        const text = String(round).repeat(3 * PAGE_SIZE);
        const wrote = p.does(p.write(fd, text, round * text.length));
        if (wrote === text.length && p.does(p.fsync(fd)) === 0)
          synced = rig.onDisk("a").slice(0, (round + 1) * text.length);
        expect(rig.onDisk("a").startsWith(synced)).toBe(true);
      }
    }
  });

  test.each([
    { desc: "an Error without a code", thrown: new Error("what") },
    { desc: "a string", thrown: "what" },
    { desc: "null", thrown: null },
  ])("a volume that throws $desc: -EIO, and the machine goes on", ({ thrown }) => {
    let broken = false;
    const base = memfs({ "/a": "x".repeat(PAGE_SIZE * 2) });
    const volume = wrapped(
      {
        readSync(fd, buffer, offset, length, position) {
          if (broken) throw thrown;
          return base.readSync(fd, buffer, offset, length, position);
        },
      },
      base,
    );
    const rig = new Rig({ volume });
    const p = rig.process("p");
    const fd = p.does(p.open("a"));
    broken = true;
    expect(p.does(p.read(fd, 10, 0))).toBe(`error ${err(EIO)}`);
    broken = false;
    expect(p.does(p.read(fd, 10, 0))).toBe("x".repeat(10));
  });

  test("a volume that writes nothing and says so does not hang the machine", () => {
    let stuck = false;
    const base = memfs();
    const volume = wrapped(
      {
        writeSync: (fd, buffer, offset, length, position) =>
          stuck ? 0 : base.writeSync(fd, buffer, offset, length, position),
      },
      base,
    );
    const rig = new Rig({ volume });
    const p = rig.process("p");
    const fd = p.does(p.open("a"));
    p.does(p.write(fd, "x".repeat(2 * PAGE_SIZE), 0));
    stuck = true;
    expect(p.does(p.fsync(fd))).toBe(err(EIO));
  });

  test("a file that may not be opened", () => {
    const volume = wrapped({
      openSync: () => {
        throw Object.assign(new Error("no"), { code: "EACCES" });
      },
    });
    const rig = new Rig({ volume });
    const p = rig.process("p");
    expect(p.does(sysOpen(p.task, "a", O_RDWR | O_CREAT))).toBe(err(EACCES));
  });
});

/** The `nth` choice of a name turns out badly. */
class Injecting extends FifoChooser {
  readonly #choice: string;
  #left: number;

  constructor(choice: string, nth: number) {
    super();
    this.#choice = choice;
    this.#left = nth;
  }

  override choose(choice = ""): number {
    return choice === this.#choice && --this.#left === 0 ? 1 : 0;
  }
}

describe("requests", () => {
  test("write-back goes in runs of 64 KiB and more, wherever the pages lie in memory", () => {
    const lengths: number[] = [];
    const base = memfs();
    const volume = wrapped(
      {
        writeSync(fd, buffer, offset, length, position) {
          lengths.push(length);
          return base.writeSync(fd, buffer, offset, length, position);
        },
      },
      base,
    );
    const rig = new Rig({ volume });
    const p = rig.process("p");
    const fd = p.does(p.open("a"));
    // Every other page first: neighbours in the file are none in memory.
    for (const odd of [0, 1])
      for (let i = odd; i < 64; i += 2) p.does(p.write(fd, `${i % 10}`.repeat(PAGE_SIZE), i * PAGE_SIZE));
    p.does(p.fsync(fd));
    expect(lengths).toEqual([64 * PAGE_SIZE]);
    expect(rig.onDisk("a")).toBe(Array.from({ length: 64 }, (_, i) => `${i % 10}`.repeat(PAGE_SIZE)).join(""));
  });

  test("short transfers and slow requests change nothing but the time", () => {
    const text = Array.from({ length: 40_000 }, (_, i) => String.fromCharCode(97 + ((i * i) % 26))).join("");
    const times = [0, 1, 2, 3, 4].map((seed) => {
      const rig = new Rig({
        chooser: new RandomChooser(seed),
        environment: seed === 0 ? {} : { "short-transfer": 50, "disk-latency": 20 },
      });
      const p = rig.process("p");
      const fd = p.does(p.open("a"));
      p.does(p.write(fd, text, 0));
      p.does(p.fsync(fd));
      expect(rig.onDisk("a")).toBe(text);
      const cold = new Rig({
        volume: rig.machine.volume,
        chooser: new RandomChooser(seed),
        environment: { "short-transfer": 50 },
      });
      const q = cold.process("q");
      expect(q.does(q.read(q.does(q.open("a")), text.length, 0))).toBe(text);
      return rig.machine.world.now;
    });
    expect(times.length).toBe(5);
  });

  test("a request takes its latency, and up to 30 ms more where the environment wants it", () => {
    const time = (chooser: FifoChooser, environment: Record<string, number>): number => {
      const rig = new Rig({ chooser, environment, disk: { latency: 70 } });
      const p = rig.process("p");
      const fd = p.does(p.open("a"));
      p.does(p.write(fd, "x".repeat(2 * PAGE_SIZE), 0));
      p.does(p.fsync(fd));
      return rig.machine.world.now;
    };
    expect(time(new FifoChooser(), {})).toBe(70);
    expect(time(new Injecting("disk-latency", 1), { "disk-latency": 1 })).toBe(70 + 10_000);
  });
});

test("an unlinked file that another node has open lives on; its blocks are free when the last one closes it", () => {
  const rig = new Rig({ nodes: 2, disk: { capacityBlocks: 50 } });
  const [a, b] = [rig.process("a", 1), rig.process("b", 2)];
  const [fa, fb] = [a.does(a.open("f")), b.does(b.open("f"))];
  a.does(a.write(fa, "x".repeat(4 * PAGE_SIZE), 0));
  expect(a.does(sysUnlink(a.task, "f"))).toBe(0);
  a.does(a.close(fa));
  expect(b.does(b.read(fb, 3, PAGE_SIZE))).toBe("xxx");
  expect(rig.machine.disk.freeBlocks).toBeLessThan(48);
  b.does(b.close(fb));
  expect(rig.machine.disk.freeBlocks).toBe(50);
});
