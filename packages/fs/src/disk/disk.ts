// The shared disk: a volume's files with what gfs2 keeps about each, a pool of blocks, and a queue of
// requests that finish one after the other in simulated time.
//
// A file's bytes lie in the volume at their own positions; block numbers only say which blocks exist and
// which are neighbours. The nodes of a cluster share one Disk.
//
// What the environment may choose, each within its budget (WorldOptions.environment):
//   disk-error       a request fails with -EIO
//   short-transfer   a call of the volume moves half of what it could; the rest follows
//   disk-latency     a request takes 10, 20 or 30 ms more

import {
  type AccessLog,
  EIO,
  ENOSPC,
  type Errno,
  err,
  ignoreResult,
  PAGE_SIZE,
  pagesFor,
  type Status,
  type World,
} from "@faultline/kernel";
import { type PhysMem, pageAddress, pageOf } from "@faultline/mm";
import { diskLog } from "../log.ts";
import type { Bio } from "./bio.ts";
import { type BlockMap, STUFFED_MAX } from "./block-map.ts";
import { DiskInode } from "./disk-inode.ts";
import { RequestQueue } from "./request-queue.ts";
import { Transfer } from "./transfer.ts";
import { openInside, resolveInside, type VolumeFs, volumeErrno } from "./volume.ts";

export interface DiskOptions {
  /** The directory of the volume that the file system lives in. */
  readonly root?: string;
  /** Blocks of 4096 bytes that the disk has; unlimited by default. */
  readonly capacityBlocks?: number;
  /** Simulated microseconds that a request takes. */
  readonly latency?: number;
}

const ZEROS = new Uint8Array(PAGE_SIZE);

export class Disk {
  readonly world: World;
  readonly fs: VolumeFs;
  readonly root: string;
  readonly capacityBlocks: number;
  readonly latency: number;
  readonly #transfer: Transfer;
  /** Memory of nodes that may not write any more. */
  readonly #fenced = new Set<PhysMem>();
  readonly #byPath = new Map<string, DiskInode>();
  #lastIno = 0;
  #usedBlocks = 0;
  #nextBlock = 1;
  #busyUntil = 0;

  constructor(world: World, fs: VolumeFs, options: DiskOptions = {}) {
    this.world = world;
    this.fs = fs;
    this.root = options.root ?? "/";
    this.capacityBlocks = options.capacityBlocks ?? Number.POSITIVE_INFINITY;
    this.latency = options.latency ?? 100;
    this.#transfer = new Transfer(world, fs);
  }

  get freeBlocks(): number {
    return this.capacityBlocks - this.#usedBlocks;
  }

  /** The inode of a name; with `create`, a new empty file if there is none. Returns: the inode or an errno. */
  lookup(name: string, create: boolean): DiskInode | Errno {
    const path = resolveInside(this.fs, this.root, name);
    if (typeof path !== "string") return path;
    const known = this.#byPath.get(path);
    if (known !== undefined) return known;
    const fd = openInside(this.fs, path, create);
    if (fd < 0) return fd as Errno;
    const inode = new DiskInode(++this.#lastIno, path, fd, Number(this.fs.fstatSync(fd).size));
    if (!this.#adopt(inode)) {
      this.fs.closeSync(fd);
      return err(ENOSPC);
    }
    if (this.world.preemptible) inode.queue = new RequestQueue(this, path);
    this.#byPath.set(path, inode);
    return inode;
  }

  /** A file that the volume brings along has all its blocks: holes are not known to a volume. */
  #adopt(inode: DiskInode): boolean {
    this.#usedBlocks++;
    const fits = inode.size <= STUFFED_MAX || this.allocate(inode, 0, pagesFor(inode.size)) === 0;
    inode.map.commit();
    if (fits && this.freeBlocks >= 0) return true;
    this.#usedBlocks--;
    return false;
  }

  /** Take the name away; the inode lives on while somebody has it open. Returns: 0 or an error. */
  unlink(name: string): Status {
    const path = resolveInside(this.fs, this.root, name);
    if (typeof path !== "string") return path;
    try {
      this.fs.unlinkSync(path);
    } catch (error) {
      return volumeErrno(error);
    }
    const inode = this.#byPath.get(path);
    this.#byPath.delete(path);
    if (inode !== undefined) inode.links--;
    return 0;
  }

  /** Nobody has the unlinked inode open any more, on no node: its blocks are free again. */
  evict(inode: DiskInode): void {
    this.free(inode, 0, Number.POSITIVE_INFINITY);
    this.#usedBlocks -= inode.map.blocks;
    inode.evicted = true;
    this.fs.closeSync(inode.fd);
  }

  /**
   * Allocate the missing blocks of [block, block + count), next to each other where possible.
   *
   * Context: atomic; none of them was given back since the last commit.
   * Returns: 0, or -ENOSPC and nothing is allocated.
   */
  allocate(inode: DiskInode, block: number, count: number): Status {
    const { map } = inode;
    const before = map.blocks;
    const missing = countMissing(map, block, count);
    // Indirect blocks come on top; a few more than needed may be asked for, as gfs2's reservation does.
    if (missing > 0 && this.freeBlocks < missing + 1) return err(ENOSPC);
    // The indirect blocks that lead to the new blocks come first: the data behind them are no neighbours of older ones.
    this.#nextBlock += map.growTo(block + count - 1) + map.reach(block, count);
    for (let b = block; b < block + count; b++) if (map.addressOf(b) === 0) map.allocate(b, this.#nextBlock++);
    this.#usedBlocks += map.blocks - before;
    return 0;
  }

  /** The next block that is free belongs to somebody else. Context: atomic. */
  endExtent(): void {
    this.#nextBlock++;
  }

  /**
   * Give back the blocks of [from, to); they read as a hole. Their bytes stay until the commit.
   *
   * Context: atomic.
   */
  free(inode: DiskInode, from: number, to: number): void {
    const before = inode.map.blocks;
    inode.map.punch(from, to, (block) => inode.freed.add(block));
    this.#usedBlocks -= before - inode.map.blocks;
  }

  /** Would allocating the range use blocks again that are free only since the last commit? Context: atomic. */
  reuses(inode: DiskInode, block: number, count: number): boolean {
    if (inode.freed.size === 0) return false;
    for (let b = block; b < block + count; b++) if (inode.freed.has(b)) return true;
    return false;
  }

  /** Read the first bytes of a file, as a dinode is read; what lies behind its end is zero. Context: atomic. */
  readDinode(inode: DiskInode, buffer: Uint8Array): Status {
    try {
      buffer.fill(0);
      this.#transfer.readAll(inode, buffer, 0, Math.min(inode.size, buffer.length), 0);
      return 0;
    } catch (error) {
      return failed(inode, "reading the dinode", error);
    }
  }

  /**
   * The dinode reaches the disk, and with it all changes since the last time: a crash does not take them back.
   * The volume's file gets exactly this length, and zeros where blocks were given back, so that blocks that are
   * allocated again hold nothing old. `stuffed`: the data, if they lie in the dinode.
   *
   * Context: atomic. Returns: 0 or an error. Linux: gfs2_log_flush()
   */
  commit(inode: DiskInode, size: number, mtime: number, stuffed: Uint8Array | null): Status {
    if (inode.evicted) return 0;
    try {
      if (stuffed !== null) this.#transfer.writeAll(inode, stuffed, 0, size, 0);
      this.#setLength(inode, size);
      for (const block of stuffed === null ? inode.freed : []) {
        const start = block * PAGE_SIZE;
        if (start < size) this.#transfer.writeAll(inode, ZEROS, 0, Math.min(PAGE_SIZE, size - start), start);
      }
    } catch (error) {
      return failed(inode, "writing the dinode", error);
    }
    inode.freed.clear();
    inode.map.commit();
    inode.size = size;
    inode.mtime = mtime;
    return 0;
  }

  /** The node that changed the file since the last commit is gone: so are the changes. Linux: gfs2_recover_func() */
  rollback(inode: DiskInode): void {
    if (inode.evicted) return;
    const before = inode.map.blocks;
    inode.map.rollback();
    inode.freed.clear();
    this.#usedBlocks += inode.map.blocks - before;
    try {
      this.#setLength(inode, inode.size);
    } catch (error) {
      ignoreResult(failed(inode, "recovery", error), "what lies behind the end of the file is not read");
    }
  }

  #setLength(inode: DiskInode, size: number): void {
    if (Number(this.fs.fstatSync(inode.fd).size) !== size) this.fs.ftruncateSync(inode.fd, size);
  }

  /** Ask the volume to make the file durable. Returns: 0 or an error. */
  flush(inode: DiskInode): Status {
    try {
      this.fs.fsyncSync(inode.fd);
      return 0;
    } catch (error) {
      return failed(inode, "fsync", error);
    }
  }

  /**
   * Queue a request; its endIo is called when simulated time has come to it. Requests finish in order.
   *
   * In a preemptible world it may finish at any point from then on, whatever the latency: each file's requests are
   * a task's to finish.
   *
   * Context: atomic. Linux: submit_bio()
   */
  submit(bio: Bio): void {
    if (this.world.preemptible) {
      (bio.inode.queue as RequestQueue).add(bio);
      return;
    }
    const start = Math.max(this.world.now, this.#busyUntil);
    this.#busyUntil = start + this.latency + this.world.choose("disk-latency", 4) * SLOW;
    this.world.after(this.#busyUntil - this.world.now, () => this.finish(bio));
  }

  /** The time of a request has come. */
  finish(bio: Bio): void {
    if (this.#fenced.has(bio.mem)) bio.endIo(err(EIO));
    else bio.endIo(bio.inode.evicted ? 0 : this.transfer(bio));
  }

  /** Requests from this memory fail from now on: nobody knows what the node still thinks it may do. */
  fence(mem: PhysMem): void {
    this.#fenced.add(mem);
  }

  /** Move the bytes of a request now. Returns: 0, or -EIO where the environment wants it, or the volume's error. */
  transfer(bio: Bio): Status {
    const { inode, write } = bio;
    if (this.world.choose("disk-error", 2) === 1) return failed(inode, write ? "write" : "read", INJECTED);
    if (this.world.accesses !== null) logTransfer(this.world.accesses, bio);
    try {
      if (write) this.#transfer.write(bio);
      else this.#transfer.read(bio);
      return 0;
    } catch (error) {
      return failed(inode, write ? "write" : "read", error);
    }
  }
}

/** Tell whoever explores schedules which bytes a request moves: mappings reach them meanwhile. */
function logTransfer(log: AccessLog, { mem, segments, write }: Bio): void {
  for (const { address, length } of segments) {
    for (let page = pageOf(address); pageAddress(page) < address + length; page++) {
      if (write) log.read(mem.bytesId(page));
      else log.write(mem.bytesId(page));
    }
  }
}

/** Microseconds that one step of `disk-latency` adds. */
const SLOW = 10_000;
const INJECTED = { code: "EIO", message: "as the environment wants it" };

/** Tell people of an error of the volume. Returns: its errno. */
function failed(inode: DiskInode, what: string, error: unknown): Errno {
  const status = volumeErrno(error);
  if (diskLog.enabled) diskLog("%s of %s: %s (%d)", what, inode.path, (error as Error).message, status);
  return status;
}

function countMissing(map: BlockMap, block: number, count: number): number {
  let missing = 0;
  for (let b = block; b < block + count; b++) if (map.addressOf(b) === 0) missing++;
  return missing;
}
