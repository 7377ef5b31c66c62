// A sparse array of 32-bit entries: page tables and the page cache are both of this shape.
//
// Four levels of 512, as x86-64 page tables have; the top one grows, so that a key may be any number below
// 2^40: a user page number, or the index of a page within a file. Entry 0 means "nothing here". The leaf used
// last is kept at hand: neighbours cost one comparison and one load.

const LEAF_BITS = 9;
const LEAF_ENTRIES: number = 1 << LEAF_BITS;
const SLOT_MASK = LEAF_ENTRIES - 1;

/** Keys are below this. */
export const MAX_KEY: number = 2 ** 40;

/** What a missing table reads as. Never written. */
const NO_LEAF: Int32Array = new Int32Array(LEAF_ENTRIES);

/** A table of tables, and how many it holds. */
class Directory<T> {
  readonly slots: (T | undefined)[] = [];
  used = 0;
}

export class RadixTree {
  /** Leaf of `#cachedKey`; every entry of an empty tree reads as 0 from NO_LEAF. */
  #cachedLeaf: Int32Array = NO_LEAF;
  #cachedKey = -1;
  readonly #root = new Directory<Directory<Directory<Int32Array>>>();
  /** Leaves and inner tables allocated: what the tree costs. */
  tables = 0;

  get(key: number): number {
    // Keys have up to 40 bits: divide for the leaf, and the low 32 bits are right for the slot.
    return this.leafOf(Math.floor(key / LEAF_ENTRIES))[key & SLOT_MASK];
  }

  /** Is there a table that holds this key's entry? */
  hasTable(key: number): boolean {
    return this.leafOf(Math.floor(key / LEAF_ENTRIES)) !== NO_LEAF;
  }

  set(key: number, entry: number): void {
    this.leafForWriting(Math.floor(key / LEAF_ENTRIES))[key & SLOT_MASK] = entry;
  }

  /** The 512 entries from `leafKey * 512`, for reading: all 0 when there is no such table. */
  leafOf(leafKey: number): Int32Array {
    return leafKey === this.#cachedKey ? this.#cachedLeaf : this.#walk(leafKey);
  }

  #walk(leafKey: number): Int32Array {
    const leaf = this.#root.slots[leafKey >> 18]?.slots[(leafKey >> 9) & SLOT_MASK]?.slots[leafKey & SLOT_MASK];
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
    const inner = this.#child(middle, (leafKey >> 9) & SLOT_MASK);
    const leaf = new Int32Array(LEAF_ENTRIES);
    inner.slots[leafKey & SLOT_MASK] = leaf;
    inner.used++;
    this.tables++;
    return leaf;
  }

  /**
   * Call `visit` for each entry that is not 0 with from <= key < to, by rising key. It may change that entry
   * in `leaf`, at `slot`; other entries of the range it must leave alone.
   */
  forEach(from: number, to: number, visit: (key: number, entry: number, leaf: Int32Array, slot: number) => void): void {
    for (let leafKey = this.#nextLeaf(Math.floor(from / LEAF_ENTRIES)); ; leafKey = this.#nextLeaf(leafKey + 1)) {
      const first = leafKey * LEAF_ENTRIES;
      if (first >= to) return;
      const leaf = this.leafOf(leafKey);
      const end = Math.min(to - first, LEAF_ENTRIES);
      for (let slot = Math.max(from - first, 0); slot < end; slot++) {
        const entry = leaf[slot];
        if (entry !== 0) visit(first + slot, entry, leaf, slot);
      }
    }
  }

  /** How many entries from `key` on, at most `count`, are each one more than the one before. */
  run(key: number, count: number): number {
    let leafKey = Math.floor(key / LEAF_ENTRIES);
    let leaf = this.leafOf(leafKey);
    let slot = key & SLOT_MASK;
    const first = leaf[slot];
    let length = 1;
    for (; length < count; length++) {
      if (++slot === LEAF_ENTRIES) {
        leaf = this.leafOf(++leafKey);
        slot = 0;
      }
      if (leaf[slot] !== first + length) break;
    }
    return length;
  }

  /** Is no entry of [from, to) 0? */
  isFull(from: number, to: number): boolean {
    let leafKey = Math.floor(from / LEAF_ENTRIES);
    let leaf = this.leafOf(leafKey);
    let slot = from & SLOT_MASK;
    for (let left = to - from; left > 0; left--, slot++) {
      if (slot === LEAF_ENTRIES) {
        leaf = this.leafOf(++leafKey);
        slot = 0;
      }
      if (leaf[slot] === 0) return false;
    }
    return true;
  }

  /** The first key from `from` on whose entry is not 0; `to` when there is none below it. */
  next(from: number, to: number): number {
    let leafKey = this.#nextLeaf(Math.floor(from / LEAF_ENTRIES));
    for (; leafKey * LEAF_ENTRIES < to; leafKey = this.#nextLeaf(leafKey + 1)) {
      const first = leafKey * LEAF_ENTRIES;
      const leaf = this.leafOf(leafKey);
      const end = Math.min(to - first, LEAF_ENTRIES);
      for (let slot = Math.max(from - first, 0); slot < end; slot++) if (leaf[slot] !== 0) return first + slot;
    }
    return to;
  }

  /** Forget leaves that lie wholly within [from, to), whose entries must be 0. Linux: free_pgtables() */
  freeLeaves(from: number, to: number): void {
    const first = Math.ceil(from / LEAF_ENTRIES);
    const end = Math.floor(to / LEAF_ENTRIES);
    if (first >= end) return;
    for (let leafKey = this.#nextLeaf(first); leafKey < end; leafKey = this.#nextLeaf(leafKey + 1))
      this.#freeLeaf(leafKey);
  }

  #freeLeaf(leafKey: number): void {
    const top = leafKey >> 18;
    const mid = (leafKey >> 9) & SLOT_MASK;
    const middle = this.#root.slots[top] as Directory<Directory<Int32Array>>;
    const inner = middle.slots[mid] as Directory<Int32Array>;
    inner.slots[leafKey & SLOT_MASK] = undefined;
    this.tables--;
    if (--inner.used === 0) {
      middle.slots[mid] = undefined;
      this.tables--;
      if (--middle.used === 0) {
        this.#root.slots[top] = undefined;
        this.#root.used--;
        this.tables--;
      }
    }
    if (this.#cachedKey === leafKey) {
      this.#cachedKey = -1;
      this.#cachedLeaf = NO_LEAF;
    }
  }

  /** The key of the first leaf that exists from `leafKey` on; Infinity when there is none. */
  #nextLeaf(leafKey: number): number {
    if (leafKey === this.#cachedKey) return leafKey;
    if (leafKey >= MAX_KEY / LEAF_ENTRIES) return Number.POSITIVE_INFINITY;
    const tops = this.#root.slots;
    for (let top = leafKey >> 18, key = leafKey; top < tops.length; top++, key = top << 18) {
      const mids = tops[top]?.slots ?? [];
      for (let mid = (key >> 9) & SLOT_MASK; mid < mids.length; mid++, key = (top << 18) | (mid << 9)) {
        const lows = mids[mid]?.slots ?? [];
        for (let low = key & SLOT_MASK; low < lows.length; low++) {
          if (lows[low] !== undefined) return (top << 18) | (mid << 9) | low;
        }
      }
    }
    return Number.POSITIVE_INFINITY;
  }

  #child<T>(directory: Directory<Directory<T>>, slot: number): Directory<T> {
    const found = directory.slots[slot];
    if (found !== undefined) return found;
    const made = new Directory<T>();
    directory.slots[slot] = made;
    directory.used++;
    this.tables++;
    return made;
  }
}
