// Moving bytes between memory and a volume, whatever the volume's calls transfer at a time.

import type { World } from "@faultline/kernel";
import type { Bio } from "./bio.ts";
import type { DiskInode } from "./disk-inode.ts";
import type { VolumeFs } from "./volume.ts";

const NOTHING = new Uint8Array(0);

export class Transfer {
  readonly #world: World;
  readonly #fs: VolumeFs;
  /** Pages that lie apart in memory go to the volume in one call. */
  #gathered: Uint8Array = NOTHING;

  constructor(world: World, fs: VolumeFs) {
    this.#world = world;
    this.#fs = fs;
  }

  /** Throws what the volume throws. */
  write({ inode, mem, position, segments }: Bio): void {
    if (segments.length === 1) {
      this.writeAll(inode, mem.u8, segments[0].address, segments[0].length, position);
      return;
    }
    const buffer = this.#room(segments.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const { address, length } of segments) {
      buffer.set(mem.u8.subarray(address, address + length), at);
      at += length;
    }
    this.writeAll(inode, buffer, 0, at, position);
  }

  /** Behind the end of the volume's file blocks may exist that were never written: they are zero. Throws as write. */
  read({ inode, mem, position, segments }: Bio): void {
    let at = position;
    for (const { address, length } of segments) {
      const done = this.readAll(inode, mem.u8, address, length, at);
      mem.u8.fill(0, address + done, address + length);
      at += length;
    }
  }

  writeAll(inode: DiskInode, buffer: Uint8Array, offset: number, length: number, position: number): void {
    for (let done = 0; done < length; ) {
      const wrote = this.#fs.writeSync(inode.fd, buffer, offset + done, this.#part(length - done), position + done);
      if (!(wrote > 0)) throw new Error(`the volume wrote ${wrote} bytes`);
      done += wrote;
    }
  }

  /** Returns: bytes read; fewer at the end of the volume's file. */
  readAll(inode: DiskInode, buffer: Uint8Array, offset: number, length: number, position: number): number {
    let done = 0;
    while (done < length) {
      const got = this.#fs.readSync(inode.fd, buffer, offset + done, this.#part(length - done), position + done);
      if (!(got > 0)) break;
      done += got;
    }
    return done;
  }

  /** How much of a transfer one call does. */
  #part(length: number): number {
    return this.#world.choose("short-transfer", 2) === 1 ? Math.ceil(length / 2) : length;
  }

  #room(length: number): Uint8Array {
    if (this.#gathered.length < length) this.#gathered = new Uint8Array(length);
    return this.#gathered;
  }
}
