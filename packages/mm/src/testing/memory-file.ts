// A file that lives in an array: the smallest backing that does what filesystems do for mm. Reads and
// write-backs take simulated time; errors and answers of ->page_mkwrite can be ordered.

import {
  bugOn,
  Completion,
  type MaySleep,
  PAGE_SIZE,
  type Pfn,
  type Status,
  upRead,
  type World,
} from "@faultline/kernel";
import {
  AddressSpace,
  type AddressSpaceOperations,
  allocPage,
  endPageWriteback,
  FAULT_FLAG_RETRY_NOWAIT,
  faultFlagAllowRetryFirst,
  getPage,
  lockPage,
  lruCacheAdd,
  lruCacheDel,
  mapCachedPages,
  markPageAccessed,
  PG_DIRTY,
  PG_ERROR,
  PG_UPTODATE,
  PG_WRITEBACK,
  type PhysMem,
  pageAddress,
  pageMapping,
  pageMkclean,
  putPage,
  trylockPage,
  type UserTask,
  unlockPage,
  unmapMappingPages,
  VM_FAULT_LOCKED,
  VM_FAULT_MAJOR,
  VM_FAULT_NOPAGE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  type VmaBacking,
  type VmFault,
  type VmOperations,
  waitOnPageWriteback,
} from "../index.ts";

export interface MemoryFileOptions {
  /** Microseconds that a read or a write-back takes; 0 = at once. */
  readonly latency?: number;
  /** Bytes that the file may grow to. */
  readonly room?: number;
  /** false: nobody is asked before a page becomes writable. */
  readonly mkwrite?: boolean;
  /** false: no fault-around. */
  readonly around?: boolean;
}

export class MemoryFile {
  readonly world: World;
  readonly mem: PhysMem;
  readonly mapping: AddressSpace;
  /** What is on disk. */
  readonly disk: Uint8Array;
  size: number;
  latency: number;
  /** Pages whose read fails. */
  readonly badPages: Set<number> = new Set();
  /** Answers that ->page_mkwrite gives before its usual one, first ones first. */
  readonly mkwriteAnswers: number[] = [];
  /** What was asked of the file, in order: "fault 3", "mkwrite 3", "map 0-15", "read 3", "write 3", "balance". */
  readonly calls: string[] = [];

  constructor(mem: PhysMem, size: number, options: MemoryFileOptions = {}) {
    this.world = mem.world;
    this.mem = mem;
    this.size = size;
    this.latency = options.latency ?? 0;
    this.disk = new Uint8Array(Math.max(size, options.room ?? 0) + PAGE_SIZE);
    for (let at = 0; at < size; at += PATTERN.length) this.disk.set(PATTERN.subarray(0, size - at), at);
    this.mapping = new AddressSpace(mem, this.#aops(), this, 7, "file");
    this.backing = { mapping: this.mapping, ops: this.#vmOps(options), file: this };
  }

  readonly backing: VmaBacking;

  /** The byte that a reader would see: cached or on disk. */
  byteAt(position: number): number {
    const frame = this.mapping.find(Math.floor(position / PAGE_SIZE));
    if (frame === 0) return this.disk[position];
    return this.mem.u8[pageAddress(frame) + (position % PAGE_SIZE)];
  }

  #vmOps(options: MemoryFileOptions): VmOperations {
    const file = this;
    const ops: VmOperations = {
      *fault(task: UserTask, vmf: VmFault): MaySleep<number> {
        file.calls.push(`fault ${vmf.pgoff}`);
        return yield* file.#fault(task, vmf);
      },
      *willneed(task, _vma, index, count): MaySleep<void> {
        for (let at = index; at < Math.min(index + count, file.pages); at++) {
          const page = yield* file.#readPage(task, at);
          if (page !== 0) putPage(file.mem, page);
        }
      },
    };
    if (options.around !== false) {
      ops.mapPages = (task, vmf, start, end) => {
        file.calls.push(`map ${start}-${end}`);
        mapCachedPages(task, vmf, start, end, file.pages - 1);
      };
    }
    if (options.mkwrite !== false) {
      ops.pageMkwrite = function* (task, vmf) {
        file.calls.push(`mkwrite ${vmf.pgoff}`);
        return file.mkwriteAnswers.shift() ?? (yield* file.#mkwrite(task, vmf));
      };
    }
    return ops;
  }

  #aops(): AddressSpaceOperations {
    const file = this;
    return {
      dirtyFolio: (_task, mapping, frame) => {
        mapping.mem.flags[frame] |= PG_DIRTY;
      },
      *balanceDirty(): MaySleep<void> {
        file.calls.push("balance");
        yield* file.#wait();
      },
      writepage: (task, _mapping, frame) => file.#writepage(task, frame),
    };
  }

  get pages(): number {
    return Math.ceil(this.size / PAGE_SIZE);
  }

  *#fault(task: UserTask, vmf: VmFault): MaySleep<number> {
    const { mem, mapping } = this;
    if (vmf.pgoff >= this.pages) return VM_FAULT_SIGBUS;
    let major = 0;
    for (;;) {
      task.world.accesses?.read(mapping.slotId(vmf.pgoff));
      let frame = mapping.find(vmf.pgoff);
      if (frame === 0 || (mem.flags[frame] & (PG_UPTODATE | PG_ERROR)) === 0) {
        major = VM_FAULT_MAJOR;
        if (this.latency > 0 && (vmf.flags & FAULT_FLAG_RETRY_NOWAIT) !== 0) {
          return this.#startRead(task, vmf.pgoff) ? major | VM_FAULT_RETRY : VM_FAULT_OOM;
        }
        const drops = this.latency > 0 && faultFlagAllowRetryFirst(vmf.flags);
        if (drops) upRead(task, vmf.vma.mm.mmapLock);
        const page = yield* this.#readPage(task, vmf.pgoff);
        if (page !== 0) putPage(mem, page);
        if (drops) return major | VM_FAULT_RETRY;
        if (page === 0) return VM_FAULT_OOM;
        frame = mapping.find(vmf.pgoff);
        if (frame === 0) continue;
      }
      if ((mem.flags[frame] & PG_ERROR) !== 0) {
        mem.flags[frame] &= ~PG_ERROR;
        return VM_FAULT_SIGBUS;
      }
      getPage(mem, frame);
      yield* lockPage(task, mem, frame);
      if (pageMapping(mem, frame) !== mapping || (mem.flags[frame] & PG_UPTODATE) === 0) {
        unlockPage(mem, frame);
        putPage(mem, frame);
        continue;
      }
      if (vmf.pgoff >= this.pages) {
        unlockPage(mem, frame);
        putPage(mem, frame);
        return VM_FAULT_SIGBUS;
      }
      markPageAccessed(mem, frame);
      vmf.page = frame;
      return major | VM_FAULT_LOCKED;
    }
  }

  /** The page, read and with a reference; 0 when there is no memory. */
  *#readPage(task: UserTask, index: number): MaySleep<Pfn> {
    const { mem, mapping } = this;
    let frame = mapping.find(index);
    if (frame === 0) {
      const fresh = yield* allocPage(task, mem, true);
      if (fresh === 0) return fresh;
      frame = mapping.find(index);
      if (frame === 0) {
        task.world.accesses?.write(mapping.slotId(index));
        mapping.add(index, fresh);
        lruCacheAdd(mem, fresh);
        frame = fresh;
      } else {
        putPage(mem, fresh);
        getPage(mem, frame);
      }
    } else {
      getPage(mem, frame);
    }
    yield* lockPage(task, mem, frame);
    if (pageMapping(mem, frame) === mapping && (mem.flags[frame] & PG_UPTODATE) === 0) {
      this.calls.push(`read ${index}`);
      yield* this.#wait();
      this.#fill(frame, index);
    }
    unlockPage(mem, frame);
    return frame;
  }

  /** Start reading a page that is not cached, and wait for nothing. Returns: false when there is no memory. */
  #startRead(task: UserTask, index: number): boolean {
    const { mem, mapping } = this;
    if (mapping.find(index) !== 0) return true;
    const frame = mem.tryAllocPage(true);
    if (frame === 0) return false;
    mapping.add(index, frame);
    lruCacheAdd(mem, frame);
    this.calls.push(`read ${index}`);
    bugOn(!trylockPage(task, mem, frame), "a new page is locked");
    this.world.after(this.latency, () => {
      this.#fill(frame, index);
      unlockPage(mem, frame);
      putPage(mem, frame);
    });
    return true;
  }

  /** What a read brings into the page. */
  #fill(frame: Pfn, index: number): void {
    const { mem } = this;
    if (this.badPages.has(index)) {
      mem.flags[frame] |= PG_ERROR;
      return;
    }
    const from = index * PAGE_SIZE;
    mem.u8.set(this.disk.subarray(from, from + PAGE_SIZE), pageAddress(frame));
    if (this.size < from + PAGE_SIZE) {
      mem.u8.fill(0, pageAddress(frame) + Math.max(0, this.size - from), pageAddress(frame) + PAGE_SIZE);
    }
    mem.flags[frame] |= PG_UPTODATE;
  }

  *#mkwrite(task: UserTask, vmf: VmFault): MaySleep<number> {
    const { mem } = this;
    yield* lockPage(task, mem, vmf.page);
    if (pageMapping(mem, vmf.page) !== this.mapping || vmf.pgoff >= this.pages) {
      unlockPage(mem, vmf.page);
      return VM_FAULT_NOPAGE;
    }
    mem.flags[vmf.page] |= PG_DIRTY;
    yield* waitOnPageWriteback(mem, vmf.page);
    return VM_FAULT_LOCKED;
  }

  *#writepage(task: UserTask, frame: Pfn): MaySleep<boolean> {
    const { mem } = this;
    const index = mem.index[frame];
    this.calls.push(`write ${index}`);
    pageMkclean(task, frame);
    mem.flags[frame] = (mem.flags[frame] & ~PG_DIRTY) | PG_WRITEBACK;
    const from = pageAddress(frame);
    this.disk.set(mem.u8.subarray(from, from + PAGE_SIZE), index * PAGE_SIZE);
    unlockPage(mem, frame);
    yield* this.#wait();
    endPageWriteback(mem, frame);
    return (mem.flags[frame] & PG_DIRTY) === 0;
  }

  *#wait(): MaySleep<void> {
    if (this.latency === 0) return;
    const done = new Completion("disk");
    this.world.after(this.latency, () => done.complete());
    while (!done.isReady()) yield done;
  }

  /** Make the file shorter or longer, as truncate does: out of page tables first, then out of the cache. */
  *truncate(task: UserTask, size: number): MaySleep<Status> {
    const { mem, mapping } = this;
    const kept = Math.min(size, this.size);
    this.size = size;
    const first = this.pages;
    // Whatever stores have left behind the end must not show when the file is longer again.
    if (kept % PAGE_SIZE !== 0) {
      const last = mapping.find(Math.floor(kept / PAGE_SIZE));
      if (last !== 0) mem.u8.fill(0, pageAddress(last) + (kept % PAGE_SIZE), pageAddress(last) + PAGE_SIZE);
    }
    this.disk.fill(0, kept);
    for (let at = mapping.pages.next(first, 1 << 30); at < 1 << 30; at = mapping.pages.next(at + 1, 1 << 30)) {
      const frame = mapping.find(at);
      getPage(mem, frame);
      yield* lockPage(task, mem, frame);
      yield* waitOnPageWriteback(mem, frame);
      if (pageMapping(mem, frame) === mapping) {
        unmapMappingPages(task, mapping, at, 1, true);
        mem.flags[frame] &= ~PG_DIRTY;
        lruCacheDel(mem, frame);
        task.world.accesses?.write(mapping.slotId(at));
        mapping.remove(frame);
      }
      unlockPage(mem, frame);
      putPage(mem, frame);
    }
    // Private copies have no page in the cache.
    unmapMappingPages(task, mapping, first, 1 << 30, true);
    return 0;
  }
}

/** What the file holds before anybody writes to it. Repeats after 256 pages. */
export function patternAt(position: number): number {
  return (position * 7 + Math.floor(position / PAGE_SIZE) * 29 + 1) & 0xff;
}

const PATTERN = Uint8Array.from({ length: 256 * PAGE_SIZE }, (_, position) => patternAt(position));
