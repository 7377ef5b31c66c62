// The disk of a run that is repeated thousands of times: files in one directory, in memory, begun as copies of
// what others prepared once. Holds what a volume must and nothing that costs time.

import type { VolumeFs, VolumeStats } from "@faultline/fs";

interface FlatFile {
  readonly ino: number;
  bytes: Uint8Array;
  size: number;
}

const DIRECTORY: VolumeStats = {
  ino: 1,
  size: 0,
  isFile: () => false,
  isDirectory: () => true,
  isSymbolicLink: () => false,
};

/** An error as node:fs throws it, without the cost of a stack. */
const failure = (code: string): { readonly code: string } => ({ code });

export class FlatVolume implements VolumeFs {
  readonly #files = new Map<string, FlatFile>();
  readonly #open: (FlatFile | undefined)[] = [];
  #lastIno = 1;

  /** Put a file on the volume. `bytes` is copied. */
  put(name: string, bytes: Uint8Array): void {
    this.#files.set(`/${name}`, { ino: ++this.#lastIno, bytes: bytes.slice(), size: bytes.length });
  }

  /** What a file holds, or null. */
  bytesOf(name: string): Uint8Array | null {
    const file = this.#files.get(`/${name}`);
    return file === undefined ? null : file.bytes.subarray(0, file.size);
  }

  openSync(path: string, flags: string): number {
    if (flags.startsWith("wx")) {
      if (this.#files.has(path)) throw failure("EEXIST");
      this.put(path.slice(1), new Uint8Array(0));
    }
    const file = this.#files.get(path);
    if (file === undefined) throw failure("ENOENT");
    this.#open.push(file);
    return this.#open.length - 1;
  }

  closeSync(fd: number): void {
    this.#file(fd);
    this.#open[fd] = undefined;
  }

  readSync(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number {
    const { bytes, size } = this.#file(fd);
    const count = Math.max(0, Math.min(length, size - position));
    if (count > 0) buffer.set(bytes.subarray(position, position + count), offset);
    return count;
  }

  writeSync(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number {
    const file = this.#file(fd);
    if (position + length > file.size) this.ftruncateSync(fd, position + length);
    file.bytes.set(buffer.subarray(offset, offset + length), position);
    return length;
  }

  ftruncateSync(fd: number, length: number): void {
    const file = this.#file(fd);
    if (length > file.bytes.length) {
      const longer = new Uint8Array(Math.max(length, file.bytes.length * 2));
      longer.set(file.bytes.subarray(0, file.size));
      file.bytes = longer;
    }
    if (length < file.size) file.bytes.fill(0, length, file.size);
    file.size = length;
  }

  fsyncSync(fd: number): void {
    this.#file(fd);
  }

  fstatSync(fd: number): VolumeStats {
    return statsOf(this.#file(fd));
  }

  lstatSync(path: string): VolumeStats {
    const file = this.#files.get(path);
    if (file !== undefined) return statsOf(file);
    if (path === "/") return DIRECTORY;
    throw failure("ENOENT");
  }

  unlinkSync(path: string): void {
    if (!this.#files.delete(path)) throw failure("ENOENT");
  }

  /** There is the one directory and no other. */
  mkdirSync(): never {
    throw failure("EACCES");
  }

  rmdirSync(): never {
    throw failure("EACCES");
  }

  readdirSync(path: string): string[] {
    if (path !== "/") throw failure("ENOENT");
    return [...this.#files.keys()].map((each) => each.slice(1));
  }

  #file(fd: number): FlatFile {
    const file = this.#open[fd];
    if (file === undefined) throw failure("EBADF");
    return file;
  }
}

function statsOf({ ino, size }: FlatFile): VolumeStats {
  return { ino, size, isFile: () => true, isDirectory: () => false, isSymbolicLink: () => false };
}
