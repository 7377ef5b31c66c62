// The shared disk: a volume's files with what gfs2 keeps about each, a pool of blocks, and a queue of
// requests that finish one after the other in simulated time.
//
// A file's bytes lie in the volume at their own positions; block numbers only say which blocks exist and
// which are neighbours. The nodes of a cluster share one Disk.

import {
  EIO,
  ENOSPC,
  type Errno,
  err,
  ignoreResult,
  PAGE_SIZE,
  type Pfn,
  pagesFor,
  type Status,
  type World,
} from "@faultline/kernel";
import { type PhysMem, pageAddress } from "@faultline/mm";
import { BlockMap, STUFFED_MAX } from "./block-map.ts";
import { RequestQueue } from "./request-queue.ts";
import { resolveInside, type VolumeFs, volumeErrno } from "./volume.ts";

/** A file as it is on disk: what all nodes agree on while they hold its glock. */
export class DiskInode {
  readonly ino: number;
  /** Where the volume has it; reports use it as the file's name. */
  readonly path: string;
  /** The volume's file descriptor, open as long as anybody knows the inode. */
  readonly fd: number;
  /** Size as last written to disk. */
  size: number;
  readonly map: BlockMap = new BlockMap();
  /** Names in directories; 0 once unlinked. */
  links = 1;
  /** Its requests, where the disk is a task of its own; made for the first one. */
  queue: RequestQueue | null = null;

  constructor(ino: number, path: string, fd: number, size: number) {
    this.ino = ino;
    this.path = path;
    this.fd = fd;
    this.size = size;
  }
}

export interface DiskOptions {
  /** The directory of the volume that the file system lives in. */
  readonly root?: string;
  /** Blocks of 4096 bytes that the disk has; unlimited by default. */
  readonly capacityBlocks?: number;
  /** Simulated microseconds that a request takes. */
  readonly latency?: number;
}

/** A stretch of physical memory. */
export interface DiskSegment {
  readonly address: number;
  readonly length: number;
}

/** One request: memory to or from consecutive bytes of a file. Linux: struct bio */
export interface Bio {
  readonly inode: DiskInode;
  readonly mem: PhysMem;
  /** Position in the file of the first byte. */
  readonly position: number;
  readonly segments: readonly DiskSegment[];
  readonly write: boolean;
  /** Called when the request is over, with 0 or an error. */
  readonly endIo: (status: Status) => void;
}

/** The memory of these pages, neighbours joined; `length` bytes of it. */
export function segmentsOf(frames: readonly Pfn[], length: number): DiskSegment[] {
  const segments: DiskSegment[] = [];
  for (let i = 0; i < frames.length; ) {
    let run = 1;
    while (i + run < frames.length && frames[i + run] === frames[i] + run) run++;
    segments.push({ address: pageAddress(frames[i]), length: Math.min(run * PAGE_SIZE, length - i * PAGE_SIZE) });
    i += run;
  }
  return segments;
}

const ZEROS = new Uint8Array(PAGE_SIZE);

export class Disk {
  readonly world: World;
  readonly fs: VolumeFs;
  readonly root: string;
  readonly capacityBlocks: number;
  readonly latency: number;
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
    try {
      const fd = this.fs.openSync(path, create && !this.#exists(path) ? "wx+" : "r+");
      const size = Number(this.fs.fstatSync(fd).size);
      const inode = new DiskInode(++this.#lastIno, path, fd, size);
      if (!this.#adopt(inode)) {
        this.fs.closeSync(fd);
        return err(ENOSPC);
      }
      this.#byPath.set(path, inode);
      return inode;
    } catch (error) {
      return volumeErrno(error);
    }
  }

  #exists(path: string): boolean {
    try {
      this.fs.lstatSync(path);
      return true;
    } catch {
      return false;
    }
  }

  /** A file that the volume brings along has all its blocks: holes are not known to a volume. */
  #adopt(inode: DiskInode): boolean {
    this.#usedBlocks++;
    if (inode.size <= STUFFED_MAX) return this.freeBlocks >= 0;
    return this.allocate(inode, 0, pagesFor(inode.size)) === 0;
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

  /** Nobody has the unlinked inode open any more: its blocks are free again. */
  evict(inode: DiskInode): void {
    ignoreResult(this.free(inode, 0, Number.POSITIVE_INFINITY), "the file itself goes");
    this.#usedBlocks -= inode.map.blocks;
    this.fs.closeSync(inode.fd);
  }

  /**
   * Allocate the missing blocks of [block, block + count), next to each other where possible.
   *
   * Context: atomic. Returns: 0, or -ENOSPC and nothing is allocated.
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

  /**
   * Give back the blocks of [from, to); they read as a hole. The volume's file gets zeros there, so that
   * blocks that are allocated again hold nothing old.
   *
   * Context: atomic. Returns: 0 or an error.
   */
  free(inode: DiskInode, from: number, to: number): Status {
    const before = inode.map.blocks;
    const freed: number[] = [];
    inode.map.punch(from, to, (block) => freed.push(block));
    this.#usedBlocks -= before - inode.map.blocks;
    try {
      const end = Number(this.fs.fstatSync(inode.fd).size);
      for (const block of freed) {
        const start = block * PAGE_SIZE;
        const length = Math.min(PAGE_SIZE, end - start);
        for (let done = 0; done < length; ) {
          done += this.fs.writeSync(inode.fd, ZEROS, 0, length - done, start + done);
        }
      }
      return 0;
    } catch (error) {
      return volumeErrno(error);
    }
  }

  /** Read the first bytes of a file at once, as a dinode is read. What cannot be read is zero. */
  readNow(inode: DiskInode, buffer: Uint8Array, length: number): void {
    let done = 0;
    while (done < length) {
      const got = this.fs.readSync(inode.fd, buffer, done, length - done, done);
      if (got === 0) return;
      done += got;
    }
  }

  /** Write the first bytes of a file at once, as a dinode is written. Returns: 0 or an error. */
  writeNow(inode: DiskInode, buffer: Uint8Array, length: number): Status {
    try {
      for (let done = 0; done < length; ) done += this.fs.writeSync(inode.fd, buffer, done, length - done, done);
      return 0;
    } catch (error) {
      return volumeErrno(error);
    }
  }

  /** Write the file's size to disk: the volume's file gets exactly this length. Returns: 0 or an error. */
  setSize(inode: DiskInode, size: number): Status {
    try {
      if (Number(this.fs.fstatSync(inode.fd).size) !== size) this.fs.ftruncateSync(inode.fd, size);
      inode.size = size;
      return 0;
    } catch (error) {
      return volumeErrno(error);
    }
  }

  /** Ask the volume to make the file durable. Returns: 0 or an error. */
  flush(inode: DiskInode): Status {
    try {
      this.fs.fsyncSync(inode.fd);
      return 0;
    } catch (error) {
      return volumeErrno(error);
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
      bio.inode.queue ??= new RequestQueue(this, bio.inode.path);
      bio.inode.queue.add(bio);
      return;
    }
    const start = Math.max(this.world.now, this.#busyUntil);
    this.#busyUntil = start + this.latency;
    this.world.after(this.#busyUntil - this.world.now, () => bio.endIo(this.transfer(bio)));
  }

  /** Move the bytes of a request now. Returns: 0, or -EIO where the environment wants it, or the volume's error. */
  transfer(bio: Bio): Status {
    if (this.world.choose("disk-error", 2) === 1) return err(EIO);
    let { position } = bio;
    try {
      for (const { address, length } of bio.segments) {
        if (bio.write) this.#write(bio, address, length, position);
        else this.#read(bio, address, length, position);
        position += length;
      }
      return 0;
    } catch (error) {
      return volumeErrno(error);
    }
  }

  #read(bio: Bio, address: number, length: number, position: number): void {
    const { u8 } = bio.mem;
    let done = 0;
    while (done < length) {
      const got = this.fs.readSync(bio.inode.fd, u8, address + done, length - done, position + done);
      // Blocks behind the end of the volume's file exist but were never written: they are zero.
      if (got === 0) break;
      done += got;
    }
    u8.fill(0, address + done, address + length);
  }

  #write(bio: Bio, address: number, length: number, position: number): void {
    let done = 0;
    while (done < length) {
      const half = this.world.choose("disk-short", 2) === 1 ? Math.ceil((length - done) / 2) : length - done;
      done += this.fs.writeSync(bio.inode.fd, bio.mem.u8, address + done, half, position + done);
    }
  }
}

function countMissing(map: BlockMap, block: number, count: number): number {
  let missing = 0;
  for (let b = block; b < block + count; b++) if (map.addressOf(b) === 0) missing++;
  return missing;
}
