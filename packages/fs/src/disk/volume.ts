// The storage under everything: any object with node:fs's synchronous calls. A memfs volume by default; a
// real directory works too. What is on it is what is on disk: a test can look at it after fsync.

import {
  EACCES,
  EEXIST,
  EINVAL,
  EIO,
  EISDIR,
  ELOOP,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  ENOTEMPTY,
  ERRNO,
  type Errno,
  err,
} from "@faultline/kernel";

/** The part of a file's status that the model uses. */
export interface VolumeStats {
  readonly ino: number | bigint;
  readonly size: number | bigint;
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
}

/** The calls of node:fs that a volume must have; memfs and node:fs both do. */
export interface VolumeFs {
  openSync(path: string, flags: string): number;
  closeSync(fd: number): void;
  readSync(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number;
  writeSync(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number;
  ftruncateSync(fd: number, length: number): void;
  fsyncSync(fd: number): void;
  fstatSync(fd: number): VolumeStats;
  lstatSync(path: string): VolumeStats;
  unlinkSync(path: string): void;
  mkdirSync(path: string): unknown;
  rmdirSync(path: string): void;
  readdirSync(path: string): unknown[];
}

/** What a failed call of the volume means to us: its own errno where it is one of these, else EIO. */
const KNOWN = new Set([EACCES, EEXIST, EINVAL, EISDIR, ELOOP, ENOENT, ENOSPC, ENOTDIR, ENOTEMPTY]);

/** The kernel's errno for an error that a volume threw. */
export function volumeErrno(error: unknown): Errno {
  const code = (error as { code?: unknown } | null)?.code;
  const number = typeof code === "string" ? ERRNO[code] : undefined;
  return err(number !== undefined && KNOWN.has(number) ? number : EIO);
}

/**
 * The path of `name` on a volume rooted at `root`: `..` and symbolic links cannot lead out of it.
 *
 * Returns: the path, or -EINVAL, -ENOENT, -ELOOP, -ENOTDIR.
 */
export function resolveInside(fs: VolumeFs, root: string, name: string): string | Errno {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (name.includes("\0") || parts.includes("..")) return err(EINVAL);
  let path = root.replace(/\/+$/, "");
  for (const [i, part] of parts.entries()) {
    path += `/${part}`;
    let stats: VolumeStats;
    try {
      stats = fs.lstatSync(path);
    } catch (error) {
      // The last part may be a file that is about to be created.
      if (i === parts.length - 1 && volumeErrno(error) === err(ENOENT)) return path;
      return volumeErrno(error);
    }
    if (stats.isSymbolicLink()) return err(ELOOP);
    if (i < parts.length - 1 && !stats.isDirectory()) return err(ENOTDIR);
  }
  return path === "" ? "/" : path;
}

/**
 * Open a file of the volume by a path that resolveInside gave; with `create`, a new one if there is none.
 *
 * A symbolic link that takes the file's place in between is not followed; nor are pipes and devices opened.
 *
 * Returns: a file descriptor of the volume, or -ELOOP, -EISDIR, -EACCES, -ENOENT, ...
 */
export function openInside(fs: VolumeFs, path: string, create: boolean): number {
  try {
    const found = lookAt(fs, path);
    if (found === null) return create ? fs.openSync(path, "wx+") : err(ENOENT);
    if (found.isSymbolicLink()) return err(ELOOP);
    if (!found.isFile()) return err(found.isDirectory() ? EISDIR : EACCES);
    const fd = fs.openSync(path, "r+");
    if (fs.fstatSync(fd).ino === found.ino) return fd;
    fs.closeSync(fd);
    return err(ELOOP);
  } catch (error) {
    return volumeErrno(error);
  }
}

function lookAt(fs: VolumeFs, path: string): VolumeStats | null {
  try {
    return fs.lstatSync(path);
  } catch (error) {
    if (volumeErrno(error) === err(ENOENT)) return null;
    throw error;
  }
}
