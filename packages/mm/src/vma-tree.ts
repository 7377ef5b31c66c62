// The areas of an address space, ordered by start. They never overlap, so the last one that starts at or
// below an address is the only one that can contain it. The one found last is kept at hand.
//
// A tree of two levels: a list of blocks, each with room for BLOCK areas, both searched by halves. All starts lie in
// one array, apart from the areas, so that a search touches few cache lines and no area but the one that it finds.
// Blocks that have lost most of their areas are not joined; none is empty.

import { bugOn } from "@faultline/kernel";
import type { Vma } from "./vma.ts";

const BLOCK = 64;

export class VmaTree {
  #size = 0;
  #last: Vma | null = null;

  /** By slot, BLOCK of them for each block: the areas and where they start. A block fills its slots from the first on. */
  readonly #vmas: (Vma | null)[] = [];
  #starts: Float64Array = new Float64Array(0);
  /** By block: how many areas it holds. */
  #used: Uint8Array = new Uint8Array(0);
  readonly #freeBlocks: number[] = [];

  /** By rank, which is by rising address: the blocks that are not empty, and where the first area of each starts. */
  #order: Int32Array = new Int32Array(0);
  #firsts: Float64Array = new Float64Array(0);
  #blocks = 0;

  /** Where the last search ended: the rank of a block, and a place in it; -1 = before all areas. */
  #rank = 0;
  #place = -1;

  get size(): number {
    return this.#size;
  }

  /** The area that contains the address, or null. Linux: vma_lookup() */
  lookup(address: number): Vma | null {
    const last = this.#last;
    if (last !== null && last.start <= address && address < last.end) return last;
    const found = this.#seek(address);
    if (found === null || address >= found.end) return null;
    this.#last = found;
    return found;
  }

  /** The first area that ends above the address: it contains it or follows it. Linux: find_vma() */
  find(address: number): Vma | null {
    const found = this.#seek(address);
    return found !== null && address < found.end ? found : this.#step(1);
  }

  next(vma: Vma): Vma | null {
    if (this.#here() !== vma) this.#seek(vma.start);
    return this.#step(1);
  }

  prev(vma: Vma): Vma | null {
    return this.#here() === vma ? this.#step(-1) : this.below(vma.start);
  }

  /** The highest area that starts below the address. */
  below(address: number): Vma | null {
    return this.#seek(address - 1);
  }

  insert(vma: Vma): void {
    const { start } = vma;
    const before = this.#seek(start);
    bugOn(before !== null && before.start === start, "two areas start at one address");
    if (this.#blocks === 0) this.#addBlock(0);
    else if (this.#used[this.#order[this.#rank]] === BLOCK) this.#splitBlock();
    const place = ++this.#place;
    const block = this.#order[this.#rank];
    const slot = block * BLOCK + place;
    for (let at = block * BLOCK + this.#used[block]++; at > slot; at--) this.#move(at - 1, at);
    this.#vmas[slot] = vma;
    this.#starts[slot] = start;
    if (place === 0) this.#firsts[this.#rank] = start;
    this.#size++;
  }

  remove(vma: Vma): void {
    if (this.#last === vma) this.#last = null;
    const slot = this.#slotOf(vma);
    const block = this.#order[this.#rank];
    const end = block * BLOCK + --this.#used[block];
    for (let at = slot; at < end; at++) this.#move(at + 1, at);
    this.#vmas[end] = null;
    if (this.#used[block] === 0) this.#removeBlock();
    else if (this.#place === 0) this.#firsts[this.#rank] = this.#starts[slot];
    this.#size--;
  }

  /** Change where an area begins, within the room that its neighbours leave. */
  moveStart(vma: Vma, start: number): void {
    this.#starts[this.#slotOf(vma)] = start;
    if (this.#place === 0) this.#firsts[this.#rank] = start;
    vma.start = start;
  }

  /** By rising address. */
  *values(): Generator<Vma, void, void> {
    for (let rank = 0; rank < this.#blocks; rank++) {
      const block = this.#order[rank];
      for (let place = 0; place < this.#used[block]; place++) yield this.#vmas[block * BLOCK + place] as Vma;
    }
  }

  /** Search for the last area that starts at or below the address. */
  #seek(address: number): Vma | null {
    this.#rank = firstAbove(this.#firsts, 0, this.#blocks, address) - 1;
    if (this.#rank < 0) {
      this.#rank = 0;
      this.#place = -1;
      return null;
    }
    const block = this.#order[this.#rank];
    const slot = firstAbove(this.#starts, block * BLOCK, block * BLOCK + this.#used[block], address) - 1;
    this.#place = slot - block * BLOCK;
    return this.#vmas[slot];
  }

  /** The area where the last search ended; null also when that is gone. */
  #here(): Vma | null {
    return this.#place < 0 ? null : this.#vmas[this.#order[this.#rank] * BLOCK + this.#place];
  }

  /** Go on to the next area, or back to the one before. Returns: it, or null: there is none. */
  #step(by: 1 | -1): Vma | null {
    let rank = this.#rank;
    let place = this.#place + by;
    if (rank < this.#blocks && place === this.#used[this.#order[rank]]) {
      rank++;
      place = 0;
    } else if (place < 0 && rank > 0) {
      rank--;
      place = this.#used[this.#order[rank]] - 1;
    }
    if (place < 0 || rank >= this.#blocks) return null;
    this.#rank = rank;
    this.#place = place;
    return this.#vmas[this.#order[rank] * BLOCK + place];
  }

  /** Search for an area that must be there. */
  #slotOf(vma: Vma): number {
    if (this.#here() !== vma) bugOn(this.#seek(vma.start) !== vma, "an area is not where it starts");
    return this.#order[this.#rank] * BLOCK + this.#place;
  }

  #move(from: number, to: number): void {
    this.#vmas[to] = this.#vmas[from];
    this.#starts[to] = this.#starts[from];
  }

  /** Make room behind the last search, in a block that is full. */
  #splitBlock(): void {
    const from = this.#order[this.#rank] * BLOCK;
    // What is entered by rising address fills its blocks.
    const keep = this.#place === BLOCK - 1 ? BLOCK : BLOCK / 2;
    const to = this.#addBlock(this.#rank + 1) * BLOCK;
    for (let place = keep; place < BLOCK; place++) {
      this.#move(from + place, to + place - keep);
      this.#vmas[from + place] = null;
    }
    this.#used[from / BLOCK] = keep;
    this.#used[to / BLOCK] = BLOCK - keep;
    this.#firsts[this.#rank + 1] = this.#starts[to];
    if (this.#place < keep && keep < BLOCK) return;
    this.#rank++;
    this.#place -= keep;
  }

  /** An empty block at this rank; those from there on move up. Returns: the block. */
  #addBlock(rank: number): number {
    const block = this.#freeBlocks.pop() ?? this.#newBlock();
    this.#order.copyWithin(rank + 1, rank, this.#blocks);
    this.#firsts.copyWithin(rank + 1, rank, this.#blocks);
    this.#order[rank] = block;
    this.#blocks++;
    return block;
  }

  /** Room for one block more in all arrays. */
  #newBlock(): number {
    const block = this.#vmas.length / BLOCK;
    for (let place = 0; place < BLOCK; place++) this.#vmas.push(null);
    if (block < this.#used.length) return block;
    const blocks = Math.max(1, block * 2);
    this.#starts = grown(this.#starts, new Float64Array(blocks * BLOCK));
    this.#used = grown(this.#used, new Uint8Array(blocks));
    this.#order = grown(this.#order, new Int32Array(blocks));
    this.#firsts = grown(this.#firsts, new Float64Array(blocks));
    return block;
  }

  /** The block where the last search ended is empty: those behind it move down. */
  #removeBlock(): void {
    this.#freeBlocks.push(this.#order[this.#rank]);
    this.#order.copyWithin(this.#rank, this.#rank + 1, this.#blocks);
    this.#firsts.copyWithin(this.#rank, this.#rank + 1, this.#blocks);
    this.#blocks--;
  }
}

/** The first index of [from, to) whose number is above `limit`; `to` when there is none. */
function firstAbove(sorted: Float64Array, from: number, to: number, limit: number): number {
  let low = from;
  let high = to;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle] <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

function grown<T extends Float64Array | Uint8Array | Int32Array>(old: T, larger: T): T {
  larger.set(old);
  return larger;
}
