// struct address_space: the pages that a file has in memory, and the areas that map it.
//
// mm knows pages, mappings and reverse mapping; what the pages mean, how they are read and written back,
// is told by whoever owns the mapping through AddressSpaceOperations.

import { bugOn, type MaySleep, type Pfn, partOf, RwSemaphore } from "@faultline/kernel";
import { PG_ANON } from "./page-flags.ts";
import { getPage, type PhysMem, putPage } from "./physmem.ts";
import { RadixTree } from "./radix-tree.ts";
import type { UserTask } from "./user-task.ts";
import type { Vma } from "./vma.ts";

export interface AddressSpaceOperations {
  /** A page became dirty through a mapping or a copy. Context: atomic. Linux: .dirty_folio */
  dirtyFolio(task: UserTask, mapping: AddressSpace, frame: Pfn): void;
  /** The task dirtied pages: make it wait if there are too many. Linux: balance_dirty_pages_ratelimited() */
  balanceDirty(task: UserTask, mapping: AddressSpace): MaySleep<void>;
  /**
   * Write one dirty, locked page back, for reclaim; unlocks it.
   *
   * Context: sleeps. Returns: true when the page is clean now.
   */
  writepage(task: UserTask, mapping: AddressSpace, frame: Pfn): MaySleep<boolean>;
}

export class AddressSpace {
  readonly mem: PhysMem;
  readonly ops: AddressSpaceOperations;
  /** What it belongs to; an inode, for fs. */
  readonly host: object;
  /** Number of that inode, for traces. */
  readonly ino: number;
  /** What reports call it. */
  readonly label: string;
  /** File page index -> frame number. */
  readonly pages: RadixTree = new RadixTree();
  nrpages = 0;
  /** Areas that map this file. Linux: i_mmap */
  readonly iMmap: Set<Vma> = new Set();
  /** Held for reading while pages are added, for writing while they are taken away for good. */
  readonly invalidateLock: RwSemaphore;
  #slot = 0;
  readonly #id: number;

  constructor(mem: PhysMem, ops: AddressSpaceOperations, host: object, ino: number, label: string) {
    this.mem = mem;
    this.ops = ops;
    this.host = host;
    this.ino = ino;
    this.label = label;
    this.#id = mem.world.newId(`pages of ${label}`);
    this.invalidateLock = new RwSemaphore(mem.world, "mapping.invalidate_lock", `invalidate_lock ${label}`);
  }

  /** What the access log calls the place of a page in the cache. */
  slotId(index: number): number {
    return partOf(this.#id, index);
  }

  /** The frame at a file page index; 0 when it is not cached. No reference is taken. */
  find(index: number): Pfn {
    return this.pages.get(index) as Pfn;
  }

  /** Put a page that nobody else knows into the cache; takes a reference. Linux: filemap_add_folio() */
  add(index: number, frame: Pfn): void {
    bugOn(this.pages.get(index) !== 0, "page cache slot is taken");
    bugOn(this.mem.mappingSlot[frame] !== 0, "page is in the page cache already");
    bugOn((this.mem.flags[frame] & PG_ANON) !== 0, "anonymous page in the page cache");
    if (this.#slot === 0) this.#slot = this.mem.addMapping(this);
    this.pages.set(index, frame);
    this.mem.mappingSlot[frame] = this.#slot;
    this.mem.index[frame] = index;
    getPage(this.mem, frame);
    this.nrpages++;
  }

  /** Take a page out of the cache and drop the cache's reference. Linux: filemap_remove_folio() */
  remove(frame: Pfn): void {
    const { mem } = this;
    bugOn(this.#slot === 0 || mem.mappingSlot[frame] !== this.#slot, "page belongs to another mapping");
    bugOn(mem.mapcount[frame] !== 0, "page leaves the cache while it is mapped");
    this.pages.set(mem.index[frame], 0);
    mem.mappingSlot[frame] = 0;
    if (--this.nrpages === 0) {
      mem.removeMapping(this.#slot);
      this.#slot = 0;
    }
    putPage(mem, frame);
  }
}
