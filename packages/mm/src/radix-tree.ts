// A sparse array of 32-bit entries: page tables and the page cache are both of this shape.
//
// Four levels of 512, as x86-64 page tables have, so a key is a number below 2^36: a user page number, or
// the index of a page within a file. Entry 0 means "nothing here". The leaf used last is kept at hand:
// neighbours cost one comparison and one load.

const LEAF_BITS = 9;
export const LEAF_ENTRIES: number = 1 << LEAF_BITS;
const LEAF_MASK = LEAF_ENTRIES - 1;

/** What a missing table reads as. Never written. */
const NO_LEAF: Int32Array = new Int32Array(LEAF_ENTRIES);

type Level<T> = (T | undefined)[];

export class RadixTree {
  /** Leaf of `#cachedKey`; every entry of an empty tree reads as 0 from NO_LEAF. */
  #cachedLeaf: Int32Array = NO_LEAF;
  #cachedKey = -1;
  readonly #root: Level<Level<Level<Int32Array>>> = [];
  /** Leaves and inner tables allocated: what the tree costs. */
  tables = 0;

  get(key: number): number {
    // Keys have up to 36 bits: divide for the leaf, and the low 32 bits are right for the slot.
    return this.leafOf(Math.floor(key / LEAF_ENTRIES))[key & LEAF_MASK];
  }

  set(key: number, entry: number): void {
    this.leafForWriting(Math.floor(key / LEAF_ENTRIES))[key & LEAF_MASK] = entry;
  }

  /** The 512 entries from `leafKey * 512`, for reading: all 0 when there is no such table. */
  leafOf(leafKey: number): Int32Array {
    return leafKey === this.#cachedKey ? this.#cachedLeaf : this.#walk(leafKey);
  }

  #walk(leafKey: number): Int32Array {
    const leaf = this.#root[leafKey >> 18]?.[(leafKey >> 9) & LEAF_MASK]?.[leafKey & LEAF_MASK];
    if (leaf === undefined) return NO_LEAF;
    this.#cachedKey = leafKey;
    this.#cachedLeaf = leaf;
    return leaf;
  }

  /** The same for writing: tables that are missing are made. */
  leafForWriting(leafKey: number): Int32Array {
    const found = this.leafOf(leafKey);
    if (found !== NO_LEAF) return found;
    const middle = this.#child(this.#root, leafKey >> 18);
    const inner = this.#child(middle, (leafKey >> 9) & LEAF_MASK);
    const leaf = new Int32Array(LEAF_ENTRIES);
    inner[leafKey & LEAF_MASK] = leaf;
    this.tables++;
    return leaf;
  }

  /** Call `visit` for each entry that is not 0 with from <= key < to, by rising key. It may change that entry. */
  forEach(from: number, to: number, visit: (key: number, entry: number) => void): void {
    for (let key = this.next(from, to); key < to; key = this.next(key + 1, to)) visit(key, this.get(key));
  }

  /** The first key from `from` on whose entry is not 0; `to` when there is none below it. */
  next(from: number, to: number): number {
    let key = from;
    while (key < to) {
      const leafKey = Math.floor(key / LEAF_ENTRIES);
      const first = this.#nextLeaf(leafKey);
      if (first !== leafKey) {
        if (first * LEAF_ENTRIES >= to) return to;
        key = first * LEAF_ENTRIES;
      }
      const leaf = this.leafOf(first);
      const end = Math.min(to - first * LEAF_ENTRIES, LEAF_ENTRIES);
      for (let slot = key & LEAF_MASK; slot < end; slot++) if (leaf[slot] !== 0) return first * LEAF_ENTRIES + slot;
      key = (first + 1) * LEAF_ENTRIES;
    }
    return to;
  }

  /** Forget leaves that lie wholly within [from, to); their entries must be 0. Linux: free_pgtables() */
  freeLeaves(from: number, to: number): void {
    const end = Math.floor(to / LEAF_ENTRIES);
    for (
      let leafKey = this.#nextLeaf(Math.ceil(from / LEAF_ENTRIES));
      leafKey < end;
      leafKey = this.#nextLeaf(leafKey + 1)
    ) {
      const inner = this.#root[leafKey >> 18]?.[(leafKey >> 9) & LEAF_MASK] as Level<Int32Array>;
      inner[leafKey & LEAF_MASK] = undefined;
      this.tables--;
      if (this.#cachedKey === leafKey) {
        this.#cachedKey = -1;
        this.#cachedLeaf = NO_LEAF;
      }
    }
  }

  /** The key of the first leaf that exists from `leafKey` on; Infinity when there is none. */
  #nextLeaf(leafKey: number): number {
    if (leafKey === this.#cachedKey) return leafKey;
    for (let top = leafKey >> 18, key = leafKey; top < this.#root.length; top++, key = top << 18) {
      const middle = this.#root[top];
      if (middle === undefined) continue;
      for (let mid = (key >> 9) & LEAF_MASK; mid < middle.length; mid++, key = (top << 18) | (mid << 9)) {
        const inner = middle[mid];
        if (inner === undefined) continue;
        for (let low = key & LEAF_MASK; low < inner.length; low++) {
          if (inner[low] !== undefined) return (top << 18) | (mid << 9) | low;
        }
      }
    }
    return Number.POSITIVE_INFINITY;
  }

  #child<T>(level: Level<Level<T>>, slot: number): Level<T> {
    const found = level[slot];
    if (found !== undefined) return found;
    const made: Level<T> = [];
    level[slot] = made;
    this.tables++;
    return made;
  }
}
