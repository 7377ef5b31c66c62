// Physical memory: one buffer, cut into frames, and `struct page` as arrays indexed by frame number.
//
// Everything that a copy moves lives in this one buffer, so that a copy between frames is one copyWithin.
// 32 bytes of bookkeeping a frame. Frame 0 is never handed out: 0 means "no page".

import { bugOn, checkInteger, PAGE_SIZE, type Pfn, partOf, type World } from "@faultline/kernel";
import type { AddressSpace } from "./address-space.ts";
import { HostMemory } from "./host-memory.ts";
import type { LruList } from "./lru.ts";
import { PG_LOCKED, PG_LRU, PG_RESERVED, PG_UPTODATE, PG_WAITERS, PG_WRITEBACK } from "./page-flags.ts";
import type { PageBit } from "./page-lock.ts";
import { healPage } from "./poison.ts";

/** Frames the machine may have at most: page table entries keep 20 bits for the frame number. */
const MAX_FRAMES = 1 << 20;

/** With fewer free frames than this, allocations are told to whoever explores schedules. */
const CONTENDED_FRAMES = 64;

const NO_PAGE = 0 as Pfn;
const ZERO_PFN = 1 as Pfn;

export class PhysMem {
  readonly world: World;
  /** Number of frames, the reserved ones included. */
  readonly frames: number;
  readonly u8: Uint8Array;
  /** The zero page, mapped read-only wherever anonymous memory is read before it is written. */
  readonly zeroPfn: Pfn;
  /** References a frame: 1 for its owner, 1 for the page cache, 1 for each page table entry. 0 = free. */
  readonly refcount: Int32Array;
  /** Page table entries that map the frame. */
  readonly mapcount: Int32Array;
  readonly flags: Uint16Array;
  /** Page number within its mapping, up to 40 bits; for anonymous pages unused. */
  readonly index: Float64Array;
  /** Slot of its mapping in `mappings`; 0 = none. */
  readonly mappingSlot: Int32Array;
  /** Low 16 bits of the pid that locked the page (PG_LOCKED); 0 while it is locked for I/O. For reports. */
  readonly lockOwner: Uint16Array;
  /** LRU links; for free frames, lruNext links the free list. */
  readonly lruNext: Int32Array;
  readonly lruPrev: Int32Array;
  readonly active: LruList = { head: 0, length: 0 };
  readonly inactive: LruList = { head: 0, length: 0 };
  /** Mappings that own pages, by slot; slot 0 is unused. */
  readonly mappings: (AddressSpace | null)[] = [null];
  /** May pages be taken back between fault-in and use, as the choice "evict" of the environment? */
  readonly evicts: boolean;
  /** Granules that no access may touch, by frame; null when there are none. Kept by poison.ts. */
  poison: Map<number, Uint8Array> | null = null;
  /** How many of a page's references are pins (FOLL_PIN), by frame; kept by follow-page.ts. */
  readonly pins: Map<Pfn, number> = new Map();
  /** Who sleeps until a page is unlocked or written back; kept by page-lock.ts. */
  readonly pageWaiters: Map<number, PageBit> = new Map();

  /** Frames from here on have never been used: they are still zero. */
  #untouched: number;
  /** Frames that were used and are free again, in the order they came: neighbours stay neighbours. */
  #freeHead = 0;
  #freeTail = 0;
  #free: number;
  readonly #id: number;
  readonly #bytesId: number;
  /** By frame: which part of memory the access log calls it. Null where nobody explores schedules. */
  readonly #names: Float64Array | null;
  /** Pid -> frames that the task has allocated. */
  readonly #allocated: number[] = [];
  readonly #freeSlots: number[] = [];

  /**
   * `size`: bytes of memory, whole pages. Memory that is never used costs the host nothing.
   * `host`: memory of that size that others had before, whom nobody looks at any more.
   */
  constructor(world: World, size: number, host: HostMemory = new HostMemory(size)) {
    checkInteger(size, "memory size", 4 * PAGE_SIZE, MAX_FRAMES * PAGE_SIZE);
    if (host.size !== size) throw new RangeError(`host memory must have ${size} bytes, not ${host.size}`);
    host.handOver(this);
    this.world = world;
    this.evicts = world.mayChoose("evict");
    this.#id = world.newId("memory", describePart);
    this.#bytesId = world.newId("bytes of memory", (part) => `bytes of ${describePart(part)}`);
    this.frames = size / PAGE_SIZE;
    this.u8 = host.u8;
    this.refcount = host.refcount;
    this.mapcount = host.mapcount;
    this.flags = host.flags;
    this.index = host.index;
    this.mappingSlot = host.mappingSlot;
    this.lockOwner = host.lockOwner;
    this.lruNext = host.lruNext;
    this.lruPrev = host.lruPrev;
    this.#names = world.preemptible ? new Float64Array(this.frames) : null;
    this.zeroPfn = ZERO_PFN;
    for (const reserved of [0, 1]) {
      this.refcount[reserved] = 1;
      this.flags[reserved] = PG_RESERVED | PG_UPTODATE;
    }
    this.#untouched = 2;
    this.#free = this.frames - 2;
  }

  /** Frames that can still be allocated without reclaim. */
  get freePages(): number {
    return this.#free;
  }

  /**
   * Take a frame, zeroed or with whatever it held before, with one reference.
   *
   * Context: atomic. Does not reclaim: see vmscan.ts.
   * Returns: 0 when memory is exhausted, or when the environment lets this allocation fail.
   * Linux: alloc_page()
   */
  tryAllocPage(zero: boolean): Pfn {
    const log = this.world.accesses;
    // Who gets which frame does not matter, but who gets the last one does.
    if (log !== null && this.#free < CONTENDED_FRAMES) log.write(this.pageId(NO_PAGE));
    if (this.#free === 0 || this.world.choose("alloc-fail", 2) === 1) return NO_PAGE;
    this.#free--;
    let frame = this.#freeHead;
    if (frame !== 0) {
      this.#freeHead = this.lruNext[frame];
      this.lruNext[frame] = 0;
      if (zero) this.u8.fill(0, frame * PAGE_SIZE, (frame + 1) * PAGE_SIZE);
    } else {
      frame = this.#untouched++;
    }
    this.refcount[frame] = 1;
    if (this.#names !== null) this.#name(frame);
    return frame as Pfn;
  }

  /** What the access log calls a page: its lock and flags, and who refers to it. */
  pageId(frame: Pfn): number {
    return partOf(this.#id, this.#partOf(frame));
  }

  /** What the access log calls the bytes of a page, which mappings reach without its lock. */
  bytesId(frame: Pfn): number {
    return partOf(this.#bytesId, this.#partOf(frame));
  }

  #partOf(frame: Pfn): number {
    return this.#names?.[frame] || frame;
  }

  /** A frame is called by who took it and when: its number depends on what others took before, which is no race. */
  #name(frame: number): void {
    const pid = this.world.current?.pid ?? 0;
    const nth = this.#allocated[pid] ?? 0;
    this.#allocated[pid] = nth + 1;
    (this.#names as Float64Array)[frame] = (pid + 1) * MAX_FRAMES + nth;
  }

  /** What the access log calls the reclaim lists: pages come and go as readers, reclaim looks as a writer. */
  get lruId(): number {
    return this.pageId(this.zeroPfn);
  }

  /** Give a slot to a mapping that begins to own pages. */
  addMapping(mapping: AddressSpace): number {
    const slot = this.#freeSlots.pop() ?? this.mappings.length;
    this.mappings[slot] = mapping;
    return slot;
  }

  removeMapping(slot: number): void {
    this.mappings[slot] = null;
    this.#freeSlots.push(slot);
  }

  /** The last reference is gone. Called by putPage. */
  freePage(frame: Pfn): void {
    bugOn((this.flags[frame] & (PG_LOCKED | PG_WRITEBACK | PG_LRU | PG_RESERVED)) !== 0, "freed page is in use");
    bugOn(this.mapcount[frame] !== 0, "freed page is mapped");
    bugOn(this.mappingSlot[frame] !== 0, "freed page is in the page cache");
    if ((this.flags[frame] & PG_WAITERS) !== 0) {
      for (let wait = 0; wait < WAITS; wait++) this.pageWaiters.delete(waitKey(frame, wait));
    }
    if (this.pins.size > 0) this.pins.delete(frame);
    if (this.poison !== null) healPage(this, frame);
    this.flags[frame] = 0;
    this.lruNext[frame] = 0;
    if (this.#freeHead === 0) this.#freeHead = frame;
    else this.lruNext[this.#freeTail] = frame;
    this.#freeTail = frame;
    this.#free++;
  }

  /** Frames that were used and are free again, in the order they came; those never used are not among them. */
  *freeList(): Generator<Pfn, void, void> {
    for (let frame = this.#freeHead; frame !== 0; frame = this.lruNext[frame]) yield frame as Pfn;
  }

  /** Frames from this one on have never been used. */
  get untouched(): number {
    return this.#untouched;
  }
}

/** Ways to wait for a page: the values of PageWait. */
const WAITS = 3;

/** Where `pageWaiters` keeps those who wait for a page in one of these ways. */
export function waitKey(frame: Pfn, wait: number): number {
  return frame * WAITS + wait;
}

/** First byte of a frame in PhysMem.u8. Frames times page size stay below 2^32. */
export function pageAddress(frame: Pfn): number {
  return frame * PAGE_SIZE;
}

/** The frame that holds a physical address. */
export function pageOf(physical: number): Pfn {
  return Math.floor(physical / PAGE_SIZE) as Pfn;
}

/** Take one more reference. Context: atomic. Linux: get_page() */
export function getPage(mem: PhysMem, frame: Pfn): void {
  bugOn(mem.refcount[frame] <= 0, "get_page of a free page");
  mem.refcount[frame]++;
}

/** Drop a reference; the last one frees the frame. Context: atomic. Linux: put_page() */
export function putPage(mem: PhysMem, frame: Pfn): void {
  bugOn(mem.refcount[frame] <= 0, "put_page of a free page");
  if (--mem.refcount[frame] === 0) mem.freePage(frame);
}

/** Does somebody hold the page to read or write its bytes behind the page tables' back? Linux: folio_maybe_dma_pinned() */
export function pageMaybeDmaPinned(mem: PhysMem, frame: Pfn): boolean {
  return mem.pins.size > 0 && mem.pins.has(frame);
}

export function pageMapping(mem: PhysMem, frame: Pfn): AddressSpace | null {
  return mem.mappings[mem.mappingSlot[frame]];
}

/** A page as the access log calls it. */
function describePart(part: number): string {
  if (part === NO_PAGE) return "free pages";
  if (part === ZERO_PFN) return "the reclaim lists";
  if (part < MAX_FRAMES) return `frame ${part}`;
  return `page ${part % MAX_FRAMES} taken by task ${Math.floor(part / MAX_FRAMES) - 1}`;
}
