// struct vm_area_struct: one mapped range of an address space, and the operations of whoever backs it.

import { type MaySleep, PAGE_SIZE, type Pfn, type Status } from "@faultline/kernel";
import type { AddressSpace } from "./address-space.ts";
import type { MmStruct } from "./mm-struct.ts";
import type { UserTask } from "./user-task.ts";

// include/linux/mm.h
export const VM_READ: number = 0x1;
export const VM_WRITE: number = 0x2;
export const VM_EXEC: number = 0x4;
export const VM_SHARED: number = 0x8;
export const VM_MAYREAD: number = 0x10;
export const VM_MAYWRITE: number = 0x20;
export const VM_MAYEXEC: number = 0x40;
export const VM_MAYSHARE: number = 0x80;
export const VM_GROWSDOWN: number = 0x100;
export const VM_PFNMAP: number = 0x400;
export const VM_LOCKED: number = 0x2000;
export const VM_IO: number = 0x4000;
export const VM_SEQ_READ: number = 0x8000;
export const VM_RAND_READ: number = 0x10000;
/** fork() leaves the area out. */
export const VM_DONTCOPY: number = 0x20000;
/** mremap() may not make the area larger. */
export const VM_DONTEXPAND: number = 0x40000;
/** Its pages are charged to the address space, since it was writable once; it does not become one with areas that were not. */
export const VM_ACCOUNT: number = 0x100000;
export const VM_NORESERVE: number = 0x200000;
/** fork() leaves the area's pages out: the child reads zeroes. */
export const VM_WIPEONFORK: number = 0x2000000;
export const VM_DONTDUMP: number = 0x4000000;

/** One page fault in progress. Linux: struct vm_fault */
export interface VmFault {
  readonly vma: Vma;
  /** Exact user address that was accessed. */
  readonly address: number;
  /** Page number within the backing object. */
  readonly pgoff: number;
  /** FAULT_FLAG_*. */
  flags: number;
  /** Out: the page that `fault` found, with a reference, locked if VM_FAULT_LOCKED; 0 = none. */
  page: Pfn;
}

/** What the backing object does when the area is touched. Linux: struct vm_operations_struct */
export interface VmOperations {
  /**
   * Find the page at vmf.pgoff. Called with mmap_lock held for reading.
   *
   * Context: sleeps; may drop mmap_lock if the flags allow a retry, and then returns VM_FAULT_RETRY.
   * Returns: VM_FAULT_* bits; vmf.page is set unless they say otherwise.
   */
  fault?(task: UserTask, vmf: VmFault): MaySleep<number>;
  /**
   * Map pages around the fault that need no waiting, from file page `start` to `end` inclusive.
   *
   * Context: atomic.
   */
  mapPages?(task: UserTask, vmf: VmFault, start: number, end: number): void;
  /**
   * A page of a shared mapping is about to become writable; vmf.page is set.
   *
   * Context: sleeps. Returns: VM_FAULT_LOCKED with the page locked, VM_FAULT_NOPAGE to retry, or an error.
   */
  pageMkwrite?(task: UserTask, vmf: VmFault): MaySleep<number>;
  /** Start reading `count` pages from file page `index`. Context: sleeps. Linux: vfs_fadvise(POSIX_FADV_WILLNEED) */
  willneed?(task: UserTask, vma: Vma, index: number, count: number): MaySleep<void>;
  /** Punch a hole into the backing object. Context: sleeps; mmap_lock not held. Linux: vfs_fallocate(), for MADV_REMOVE */
  remove?(task: UserTask, vma: Vma, index: number, count: number): MaySleep<Status>;
  /** The area is gone; it is out of mapping.iMmap already. Context: atomic. Linux: .close */
  close?(vma: Vma): void;
}

export class Vma {
  readonly mm: MmStruct;
  /** First byte, page aligned. Kept by mmap_lock, held for writing. */
  start: number;
  /** One past the last byte. */
  end: number;
  flags: number;
  /** File page that `start` maps; for anonymous areas, start / PAGE_SIZE as mapped first. */
  pgoff: number;
  /** The file's pages; null for anonymous memory. */
  readonly mapping: AddressSpace | null;
  readonly ops: VmOperations | null;
  /** What fs needs to know of the mapping: its open file. */
  readonly file: object | null;
  /**
   * Which areas may share anonymous pages: areas of one number merge, areas of two never do; 0 until the area
   * gets its first anonymous page. Stands for Linux's anon_vma.
   */
  anonVma = 0;

  constructor(mm: MmStruct, start: number, end: number, flags: number, pgoff: number, backing: VmaBacking = ANONYMOUS) {
    this.mm = mm;
    this.start = start;
    this.end = end;
    this.flags = flags;
    this.pgoff = pgoff;
    this.mapping = backing.mapping;
    this.ops = backing.ops;
    this.file = backing.file;
  }
}

/** What an area shows: a file's pages, or anonymous memory. */
export interface VmaBacking {
  readonly mapping: AddressSpace | null;
  readonly ops: VmOperations | null;
  readonly file: object | null;
}

export const ANONYMOUS: VmaBacking = { mapping: null, ops: null, file: null };

/** Anonymous memory has no operations. Linux: vma_is_anonymous() */
export function vmaIsAnonymous(vma: Vma): boolean {
  return vma.ops === null;
}

/** The same backing, for one more area of it. */
export function backingOf(vma: Vma): VmaBacking {
  return { mapping: vma.mapping, ops: vma.ops, file: vma.file };
}

/** A private mapping that may be written: stores go to a copy. Linux: is_cow_mapping() */
export function isCowMapping(flags: number): boolean {
  return (flags & (VM_SHARED | VM_MAYWRITE)) === VM_MAYWRITE;
}

/** File page that an address of the area maps. Linux: linear_page_index() */
export function linearPageIndex(vma: Vma, address: number): number {
  return vma.pgoff + Math.floor((address - vma.start) / PAGE_SIZE);
}

/**
 * Must the first store to a page of this shared area fault, so that the file hears of it?
 *
 * Linux: vma_wants_writenotify()
 */
export function vmaWantsWritenotify(vma: Vma): boolean {
  return vma.ops?.pageMkwrite !== undefined;
}
