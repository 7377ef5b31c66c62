// Memory of the host: what PhysMem lays its frames and their bookkeeping into.
//
// Whoever runs many machines one after the other hands the same one to all of them: allocating tens of megabytes
// and collecting them again costs more than many a run.

import { checkInteger, PAGE_SIZE } from "@faultline/kernel";

/** What a machine that had the memory says about it: frames from here on have never been used. */
interface User {
  readonly untouched: number;
}

export class HostMemory {
  /** Bytes of memory, whole pages. */
  readonly size: number;
  readonly u8: Uint8Array;
  readonly refcount: Int32Array;
  readonly mapcount: Int32Array;
  readonly flags: Uint16Array;
  readonly index: Float64Array;
  readonly mappingSlot: Int32Array;
  readonly lockOwner: Uint16Array;
  readonly lruNext: Int32Array;
  readonly lruPrev: Int32Array;
  #user: User | null = null;

  /** Memory that is never used costs the host nothing. */
  constructor(size: number) {
    checkInteger(size, "memory size", 4 * PAGE_SIZE);
    if (size % PAGE_SIZE !== 0) throw new RangeError(`memory size must be a multiple of ${PAGE_SIZE}, not ${size}`);
    const frames = size / PAGE_SIZE;
    this.size = size;
    this.u8 = new Uint8Array(size);
    this.refcount = new Int32Array(frames);
    this.mapcount = new Int32Array(frames);
    this.flags = new Uint16Array(frames);
    this.index = new Float64Array(frames);
    this.mappingSlot = new Int32Array(frames);
    this.lockOwner = new Uint16Array(frames);
    this.lruNext = new Int32Array(frames);
    this.lruPrev = new Int32Array(frames);
  }

  /** From now on `user` has the memory, all zero, and nobody looks at what was there before. */
  handOver(user: User): void {
    const { u8, refcount, mapcount, flags, index, mappingSlot, lockOwner, lruNext, lruPrev } = this;
    const used = this.#user?.untouched ?? 0;
    this.#user = user;
    u8.fill(0, 0, used * PAGE_SIZE);
    for (const array of [refcount, mapcount, flags, index, mappingSlot, lockOwner, lruNext, lruPrev]) {
      array.fill(0, 0, used);
    }
  }
}
