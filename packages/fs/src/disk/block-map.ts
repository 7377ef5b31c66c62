// Which blocks of a file exist, and where on disk they are (fs/gfs2/bmap.c). Block size is the page size.
//
// gfs2 keeps up to 3864 bytes in the dinode itself ("stuffed"). Beyond that the dinode holds 483 pointers,
// to data blocks while the tree is one level high, later to indirect blocks of 509 pointers each. An extent
// never crosses an indirect block: that is why mappings end at multiples of 509 blocks.

import { RadixTree } from "@faultline/mm";

/** Data that fits into the dinode. */
export const STUFFED_MAX = 3864;
/** Pointers in the dinode, and in an indirect block. */
const DINODE_POINTERS = 483;
const INDIRECT_POINTERS = 509;
/** Blocks that a tree of each height reaches. */
const HEIGHT_BLOCKS: readonly number[] = [
  0,
  DINODE_POINTERS,
  DINODE_POINTERS * INDIRECT_POINTERS,
  DINODE_POINTERS * INDIRECT_POINTERS ** 2,
];

/** A run of blocks that are all there, at consecutive places on disk, or all missing. */
export interface Extent {
  /** First block of the run within the file. */
  readonly block: number;
  readonly count: number;
  /** Disk block of the first; 0 for a hole. */
  readonly address: number;
}

/** How the map was at the last commit: what a journal that is replayed without the changes since then leads to. */
interface Committed {
  readonly height: number;
  readonly indirect: ReadonlySet<number>;
  /** Block and its address then, for each change since, in turn. */
  readonly changes: number[];
}

export class BlockMap {
  /** File block -> disk block; 0 = hole. */
  readonly #pointers: RadixTree = new RadixTree();
  #height = 0;
  #dataBlocks = 0;
  /** Indirect blocks that exist, by level above the data and position within the level. */
  #indirect = new Set<number>();
  /** Null while nothing has changed. */
  #committed: Committed | null = null;

  /** Data blocks that exist. */
  get dataBlocks(): number {
    return this.#dataBlocks;
  }

  /** Levels of pointers; 0 = stuffed. */
  get height(): number {
    return this.#height;
  }

  set height(height: number) {
    this.#change();
    this.#height = height;
  }

  get stuffed(): boolean {
    return this.#height === 0;
  }

  /** Blocks that the file uses on disk: the dinode, indirect blocks and data. */
  get blocks(): number {
    return 1 + this.#indirect.size + this.#dataBlocks;
  }

  /**
   * Grow the tree until it could point to `block`: what the dinode pointed to moves into an indirect block.
   * Returns: blocks added.
   */
  growTo(block: number): number {
    if (this.reaches(block)) return 0;
    const before = this.#indirect.size;
    for (; !this.reaches(block); this.height++) if (this.height > 0) this.#indirect.add(key(this.height, 0));
    return this.#indirect.size - before;
  }

  /** Could the tree as it is point to this block? */
  reaches(block: number): boolean {
    return block < HEIGHT_BLOCKS[this.height];
  }

  addressOf(block: number): number {
    return this.#pointers.get(block);
  }

  /** Do all blocks of [from, to) exist? */
  isWhole(from: number, to: number): boolean {
    return this.#pointers.isFull(from, to);
  }

  /** The run of at most `count` blocks that begins at `block`, within one indirect block. */
  extent(block: number, count: number): Extent {
    const address = this.#pointers.get(block);
    const end = address === 0 ? block + count : Math.min(block + count, this.#tableEnd(block));
    if (address === 0) return { block, count: this.#pointers.next(block, end) - block, address };
    return { block, count: this.#pointers.run(block, end - block), address };
  }

  /** Missing blocks from `block` on that one allocation can fill: within one indirect block. */
  allocatable(block: number, count: number): number {
    const height = this.reaches(block) ? this.height : heightFor(block);
    const pointers = height > 1 ? INDIRECT_POINTERS : DINODE_POINTERS;
    const end = Math.min(block + count, block - (block % pointers) + pointers);
    return this.#pointers.next(block, end) - block;
  }

  /** Add the indirect blocks that lead to [block, block + count). Grow the tree first. Returns: blocks added. */
  reach(block: number, count: number): number {
    if (this.#height > 1) this.#change();
    const before = this.#indirect.size;
    for (let level = 1; level < this.height; level++) {
      const span = INDIRECT_POINTERS ** level;
      const last = Math.floor((block + count - 1) / span);
      for (let position = Math.floor(block / span); position <= last; position++) {
        this.#indirect.add(key(level, position));
      }
    }
    return this.#indirect.size - before;
  }

  /** Enter a new block. Reach it first. */
  allocate(block: number, address: number): void {
    const before = this.#pointers.get(block);
    if (before === 0) this.#dataBlocks++;
    this.#change().push(block, before);
    this.#pointers.set(block, address);
  }

  /**
   * Forget the blocks of [from, to), and the indirect blocks that point to nothing else by their place.
   *
   * `freed` is called with each block of the file that was there. Linux: punch_hole()
   */
  punch(from: number, to: number, freed: (block: number) => void): void {
    const end = Math.min(to, HEIGHT_BLOCKS[HEIGHT_BLOCKS.length - 1]);
    const changes = this.#change();
    this.#pointers.forEach(from, end, (block, address) => {
      changes.push(block, address);
      this.#pointers.set(block, 0);
      this.#dataBlocks--;
      freed(block);
    });
    for (const each of this.#indirect) {
      const span = INDIRECT_POINTERS ** Math.floor(each / LEVEL);
      const start = (each % LEVEL) * span;
      if (start >= from && start + span <= to) this.#indirect.delete(each);
    }
  }

  /** What was changed is in the journal: there is no way back. */
  commit(): void {
    this.#committed = null;
  }

  /** The node that made the changes since the last commit is gone: they never happened. */
  rollback(): void {
    if (this.#committed === null) return;
    const { height, indirect, changes } = this.#committed;
    for (let i = changes.length - 2; i >= 0; i -= 2) {
      const [block, address] = [changes[i], changes[i + 1]];
      if (this.#pointers.get(block) !== 0) this.#dataBlocks--;
      if (address !== 0) this.#dataBlocks++;
      this.#pointers.set(block, address);
    }
    this.#height = height;
    this.#indirect = new Set(indirect);
    this.#committed = null;
  }

  /** Something is about to change. Returns: where to note pointers. */
  #change(): number[] {
    this.#committed ??= { height: this.#height, indirect: new Set(this.#indirect), changes: [] };
    return this.#committed.changes;
  }

  /** Call `visit` for every block of [from, to) that exists. */
  forEach(from: number, to: number, visit: (block: number, address: number) => void): void {
    this.#pointers.forEach(from, to, visit);
  }

  /** The first block from `from` on that exists; `to` when there is none below it. */
  nextData(from: number, to: number): number {
    return this.#pointers.next(from, to);
  }

  /** One past the last block that the indirect block (or the dinode) of `block` points to. */
  #tableEnd(block: number): number {
    return this.height < 2 ? DINODE_POINTERS : block - (block % INDIRECT_POINTERS) + INDIRECT_POINTERS;
  }
}

/** Positions within a level stay below this. */
const LEVEL = 2 ** 40;

function key(level: number, position: number): number {
  return level * LEVEL + position;
}

function heightFor(block: number): number {
  return HEIGHT_BLOCKS.findIndex((reach) => block < reach);
}
