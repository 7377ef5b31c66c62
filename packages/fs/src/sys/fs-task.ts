// A task that makes system calls: a UserTask with open files and a file system to open them in.

import { EBADF, EMFILE, type Errno, err, isErr, type World } from "@faultline/kernel";
import { type MmStruct, UserTask } from "@faultline/mm";
import type { Gfs2Sbd } from "../gfs2/sbd.ts";
import type { File } from "../vfs/file.ts";

/** Open files by descriptor; threads share one. Linux: struct files_struct */
export class FilesStruct {
  readonly #files: (File | null)[] = [];
  /** Most descriptors (RLIMIT_NOFILE). */
  limit = 1024;

  /** Give a file the lowest free descriptor. Returns: it, or -EMFILE. Linux: get_unused_fd_flags(), fd_install() */
  install(file: File): number {
    let fd = this.#files.indexOf(null);
    if (fd < 0) fd = this.#files.length;
    if (fd >= this.limit) return err(EMFILE);
    this.#files[fd] = file;
    return fd;
  }

  /** The file of a descriptor; null if there is none, whatever `fd` is. Linux: fdget() */
  get(fd: number): File | null {
    return this.#files[fd] ?? null;
  }

  /** All that are open, once for each descriptor. */
  *open(): Iterable<File> {
    for (const file of this.#files) if (file !== null) yield file;
  }

  /** Take a descriptor away. Returns: its file, or -EBADF. */
  remove(fd: number): File | Errno {
    const file = this.get(fd);
    if (file === null) return err(EBADF);
    this.#files[fd] = null;
    return file;
  }
}

export class FsTask extends UserTask {
  readonly files: FilesStruct;
  /** Where paths begin. */
  readonly root: Gfs2Sbd;

  constructor(world: World, comm: string, mm: MmStruct, files: FilesStruct, root: Gfs2Sbd) {
    super(world, comm, mm);
    this.files = files;
    this.root = root;
  }
}

/** Is this what a look-up returns when it fails? */
export function isErrno<T extends object>(result: T | number): result is Errno {
  return typeof result === "number" && isErr(result);
}
