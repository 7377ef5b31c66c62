// The areas of an address space, ordered by start. They never overlap, so the last one that starts at or
// below an address is the only one that can contain it. The one found last is kept at hand.

import sortedBtree from "sorted-btree";
import type { Vma } from "./vma.ts";

// sorted-btree is CommonJS: Node hands out its exports object, a bundler unwraps the class.
const BTree = sortedBtree.default ?? (sortedBtree as unknown as typeof sortedBtree.default);

export class VmaTree {
  readonly #tree = new BTree<number, Vma>(undefined, (a, b) => a - b);
  #last: Vma | null = null;
  /** Look-ups return their pair here instead of in a new array. */
  readonly #pair = [0, null] as unknown as [number, Vma];

  get size(): number {
    return this.#tree.size;
  }

  /** The area that contains the address, or null. Linux: vma_lookup() */
  lookup(address: number): Vma | null {
    const last = this.#last;
    if (last !== null && last.start <= address && address < last.end) return last;
    const found = this.#tree.getPairOrNextLower(address, this.#pair)?.[1];
    if (found === undefined || address >= found.end) return null;
    this.#last = found;
    return found;
  }

  /** The first area that ends above the address: it contains it or follows it. Linux: find_vma() */
  find(address: number): Vma | null {
    return this.lookup(address) ?? this.#tree.getPairOrNextHigher(address, this.#pair)?.[1] ?? null;
  }

  next(vma: Vma): Vma | null {
    return this.#tree.nextHigherPair(vma.start, this.#pair)?.[1] ?? null;
  }

  prev(vma: Vma): Vma | null {
    return this.#tree.nextLowerPair(vma.start, this.#pair)?.[1] ?? null;
  }

  /** The highest area that starts below the address. */
  below(address: number): Vma | null {
    return this.#tree.nextLowerPair(address, this.#pair)?.[1] ?? null;
  }

  insert(vma: Vma): void {
    this.#tree.set(vma.start, vma);
  }

  remove(vma: Vma): void {
    this.#tree.delete(vma.start);
    if (this.#last === vma) this.#last = null;
  }

  /** Change where an area begins. */
  moveStart(vma: Vma, start: number): void {
    this.remove(vma);
    vma.start = start;
    this.insert(vma);
  }

  /** By rising address. */
  values(): IterableIterator<Vma> {
    return this.#tree.values();
  }
}
