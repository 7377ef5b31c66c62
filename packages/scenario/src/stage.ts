// What every run of a scenario needs, whoever conducts it: files to begin with, memory of the runner's own, and
// ways for its threads to wait for each other.

import * as fs from "@faultline/fs";
import { type FsTask, O_CREAT, O_RDWR, O_TRUNC } from "@faultline/fs";
import { Completion, type MayFault, PAGE_SIZE, WaitChannel, type World, wakeUpAll } from "@faultline/kernel";
import {
  MAP_ANONYMOUS,
  MAP_FIXED_NOREPLACE,
  MAP_POPULATE,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  pageAddress,
} from "@faultline/mm";
import type { Names } from "./maps.ts";
import type { ScenarioFile } from "./op.ts";
import { IOBUF_SIZE } from "./ops.ts";
import { fillPattern } from "./pattern.ts";

/** Where the runner's own buffer lies: below all maps. */
const IOBUF_ADDRESS = 0x10000000;

/** Map the runner's buffer, the first `resident` bytes of it with pages. Returns: its address. */
export function* mapIobuf(task: FsTask, resident: number): MayFault<number> {
  for (const [from, to, flags] of [
    [0, resident, MAP_POPULATE],
    [resident, IOBUF_SIZE, 0],
  ]) {
    if (from === to) continue;
    const address = yield* fs.sysMmap(task, {
      address: IOBUF_ADDRESS + from,
      length: to - from,
      prot: PROT_READ | PROT_WRITE,
      flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | flags,
    });
    if (address < 0) throw new Error("no memory for the runner's buffer");
  }
  return IOBUF_ADDRESS;
}

/**
 * Make one file: pattern, holes left out, on disk, and dropped from the cache unless it is to be cached.
 *
 * `resident`: bytes of the buffer that have pages.
 */
export function* makeFile(
  task: FsTask,
  file: ScenarioFile,
  iobuf: number,
  names: Names,
  resident: number = IOBUF_SIZE,
): MayFault<void> {
  const fd = yield* fs.sysOpen(task, file.name, O_RDWR | O_CREAT | O_TRUNC);
  const { mem, pgd } = task.mm;
  for (let at = 0; at < file.size; ) {
    let end = file.size;
    let skip = 0;
    for (const [start, length] of file.holes) {
      if (at >= start && at < start + length) skip = start + length;
      else if (start > at && start < end) end = start;
    }
    if (skip > 0) {
      at = skip;
      continue;
    }
    const size = Math.min(end - at, resident);
    for (let done = 0; done < size; done += PAGE_SIZE) {
      const address = pageAddress((pgd.get((iobuf + done) / PAGE_SIZE) >>> 12) as never);
      fillPattern(mem.u8.subarray(address, address + Math.min(PAGE_SIZE, size - done)), file.seed, at + done);
    }
    expectDone(yield* fs.sysPwrite64(task, fd, iobuf, size, at), size, file.name);
    at += size;
  }
  expectDone(yield* fs.sysFtruncate(task, fd, file.size), 0, file.name);
  expectDone(yield* fs.sysFsync(task, fd), 0, file.name);
  expectDone(yield* fs.sysFadvise(task, fd, 0, 0, fs.POSIX_FADV_DONTNEED), 0, file.name);
  if (file.cached) {
    for (let at = 0; at < file.size; at += IOBUF_SIZE) {
      const got = yield* fs.sysPread64(task, fd, iobuf, IOBUF_SIZE, at);
      if (got < 0) throw new Error(`cannot read ${file.name} while setting up`);
    }
  }
  const stat = yield* fs.sysFstat(task, fd);
  if (typeof stat !== "number") names.inodes.set(stat.ino, file.name);
  expectDone(yield* fs.sysClose(task, fd), 0, file.name);
}

export function expectDone(got: number, wanted: number, file: string): void {
  if (got !== wanted) throw new Error(`cannot make ${file}: ${got} instead of ${wanted}`);
}

export function* sleepFor(world: World, microseconds: number): MayFault<void> {
  const timer = new Completion("sleep");
  world.after(microseconds, () => timer.complete());
  while (!timer.isReady()) yield timer;
}

/** Ready when so many have counted it down. */
export class Countdown extends WaitChannel {
  readonly #world: World | null;
  readonly #id: number;
  #left: number;

  /** `world`: where to declare who waited for whom; without it schedules cannot be explored. */
  constructor(label: string, count: number, world: World | null = null) {
    super(label);
    this.#left = count;
    this.#world = world;
    this.#id = world?.newId(label) ?? 0;
  }

  override isReady(): boolean {
    return this.#left <= 0;
  }

  /** Threads wait for each other in futexes. */
  override get killable(): boolean {
    return true;
  }

  done(): void {
    this.#left--;
    this.#world?.accesses?.release(this.#id);
    if (this.isReady()) wakeUpAll(this);
  }

  /** Sleep until it is ready. */
  *wait(): MayFault<void> {
    while (!this.isReady()) yield this;
    this.#world?.accesses?.acquire(this.#id, false);
  }
}

/** All threads wait for each other, as often as they like. Linux: pthread_barrier_wait() */
export class Barrier {
  readonly #count: number;
  readonly #world: World | null;
  #round: Countdown;
  #arrived = 0;

  constructor(count: number, world: World | null = null) {
    this.#count = count;
    this.#world = world;
    this.#round = new Countdown("barrier", count, world);
  }

  *wait(): MayFault<void> {
    const round = this.#round;
    if (++this.#arrived === this.#count) {
      this.#arrived = 0;
      this.#round = new Countdown("barrier", this.#count, this.#world);
    }
    round.done();
    yield* round.wait();
  }
}
