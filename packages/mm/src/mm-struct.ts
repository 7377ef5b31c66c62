// struct mm_struct: one address space. Threads share one; each UserTask points to its own.

import { checkInstance, PAGE_SIZE, partOf, RwSemaphore, type World } from "@faultline/kernel";
import { PhysMem } from "./physmem.ts";
import { RadixTree } from "./radix-tree.ts";
import type { MmRevision } from "./revision.ts";
import { VmaTree } from "./vma-tree.ts";

/** User addresses end here: 47 bits, less the page that x86-64 keeps free (TASK_SIZE_MAX). */
export const TASK_SIZE: number = 0x7ffffffff000;
/** Where top-down placement begins: below the stack and its gap. */
export const MMAP_BASE: number = 0x7ffff7fff000;
/** Unmapped pages that a growing stack keeps below it. */
export const STACK_GUARD_GAP: number = 256 * 4096;

export interface MmLimits {
  /** Most areas one address space may have (vm.max_map_count). */
  readonly maxMapCount: number;
  /** Most bytes of address space (RLIMIT_AS). */
  readonly addressSpace: number;
  /** Most bytes of private writable memory (RLIMIT_DATA). */
  readonly data: number;
  /** Most bytes of memory that is locked (RLIMIT_MEMLOCK). */
  readonly memlock: number;
  /** Most bytes a stack may grow to (RLIMIT_STACK). */
  readonly stack: number;
  /** Lowest address that may be mapped (vm.mmap_min_addr). */
  readonly mmapMinAddr: number;
}

export const DEFAULT_LIMITS: MmLimits = {
  maxMapCount: 65530,
  addressSpace: Number.POSITIVE_INFINITY,
  data: Number.POSITIVE_INFINITY,
  memlock: 8 * 1024 * 1024,
  stack: 8 * 1024 * 1024,
  mmapMinAddr: 65536,
};

/** Every gap between `from` and MMAP_BASE is at most `largest` bytes. */
export interface GapHint {
  from: number;
  largest: number;
}

export class MmStruct {
  readonly world: World;
  readonly mem: PhysMem;
  readonly revision: MmRevision;
  readonly limits: MmLimits;
  /** User page number -> page table entry. */
  readonly pgd: RadixTree = new RadixTree();
  readonly vmas: VmaTree = new VmaTree();
  /** Protects the areas; held for reading while a fault is handled. Linux: mmap_lock */
  readonly mmapLock: RwSemaphore;
  /** Bytes mapped by all areas, by private writable ones, and by locked ones. */
  totalVm = 0;
  dataVm = 0;
  lockedVm = 0;
  /** Tasks that share this address space. Linux: mm_users */
  users = 0;
  /** Where the search for free space begins; kept by unmapped-area.ts. */
  readonly gapHint: GapHint = { from: MMAP_BASE, largest: 0 };
  /** The last number given to an area with anonymous pages. */
  lastAnonVma = 0;
  readonly #id: number;

  constructor(mem: PhysMem, revision: MmRevision, limits: Partial<MmLimits> = {}) {
    checkInstance(mem, PhysMem, "mem");
    for (const [name, limit] of Object.entries(limits)) checkLimit(name, limit);
    this.world = mem.world;
    this.mem = mem;
    this.revision = revision;
    this.limits = { ...DEFAULT_LIMITS, ...limits };
    this.mmapLock = new RwSemaphore(mem.world, "mmap_lock");
    this.#id = mem.world.newId("page table", (vpn) => `page table entry 0x${(vpn * PAGE_SIZE).toString(16)}`);
  }

  /** What the access log calls the page table entry of a user page. */
  entryId(vpn: number): number {
    return partOf(this.#id, vpn);
  }
}

function checkLimit(name: string, limit: number): void {
  if (typeof limit !== "number") throw new TypeError(`limit ${name} must be a number, not ${typeof limit}`);
  if (!(limit >= 0)) throw new RangeError(`limit ${name} must not be negative, not ${limit}`);
}
