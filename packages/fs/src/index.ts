/**
 * The gfs2-like read and write path at every revision: page cache, iomap, glocks, pipes, system calls, with a
 * memfs volume as the disk.
 *
 * Lock order:
 *   i_rwsem
 *     inode glock
 *       page lock
 *   mmap_lock
 *     inode glock
 *
 * Before the fix user memory was touched under the glock, which adds glock -> mmap_lock and closes the ring.
 */
export { isDroppable } from "./cache/page-cache.ts";
export { PROCESSOR_FULL } from "./cache/page-writeback.ts";
export { checkMachine } from "./check-machine.ts";
export { Disk, type DiskOptions } from "./disk/disk.ts";
export { DiskInode } from "./disk/disk-inode.ts";
export { resolveInside, type VolumeFs, type VolumeStats } from "./disk/volume.ts";
export { dumpGlock } from "./gfs2/glock-dump.ts";
export { Gfs2Inode } from "./gfs2/inode.ts";
export { LM_ST_DEFERRED, LM_ST_EXCLUSIVE, LM_ST_SHARED, LM_ST_UNLOCKED } from "./gfs2/lm.ts";
export type { Gfs2Io, Gfs2Revision } from "./gfs2/revision.ts";
export { REVISIONS } from "./gfs2/revisions/catalogue.ts";
export { CURES } from "./gfs2/revisions/cures/catalogue.ts";
export type { Cure } from "./gfs2/revisions/cures/cure.ts";
export { GFS2_5_10, GFS2_6_1, GFS2_6_12, GFS2_7_2 } from "./gfs2/revisions/kernels.ts";
export { mutantsOf } from "./gfs2/revisions/mutants.ts";
export { GFS2_5_16, GFS2_5_18, GFS2_V4 } from "./gfs2/revisions/unrecorded.ts";
export { Gfs2Sbd } from "./gfs2/sbd.ts";
export { SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET } from "./gfs2/seek.ts";
export { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from "./gfs2/truncate.ts";
export { FIEMAP_EXTENT_SIZE, FIEMAP_FLAG_SYNC, FIEMAP_SIZE } from "./iomap/fiemap.ts";
export { Machine, type MachineOptions, type Node } from "./machine.ts";
export * from "./sys/calls.ts";
export { sysCopyFileRange } from "./sys/copy-file-range.ts";
export { doExit } from "./sys/exit.ts";
export { sysFiemap } from "./sys/fiemap.ts";
export { FilesStruct, FsTask } from "./sys/fs-task.ts";
export * from "./sys/read-write.ts";
export type { Syscalls } from "./sys/syscalls.ts";
export {
  File,
  O_APPEND,
  O_CREAT,
  O_DIRECT,
  O_DSYNC,
  O_EXCL,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_SYNC,
  O_TRUNC,
  O_WRONLY,
} from "./vfs/file.ts";
export { PIPE_BUF, SIGPIPE } from "./vfs/pipe.ts";
