// ioctl(FS_IOC_FIEMAP): a struct fiemap in user memory says what is asked and how much room there is, and the extents
// are put behind it (fs/ioctl.c).

import { EBADF, EFAULT, EINVAL, ENOMEM, ENOTTY, err, type MayFault, type Pfn, type Status } from "@faultline/kernel";
import { allocPage, copyFromUser, copyToUser, pageAddress, putPage } from "@faultline/mm";
import type { Gfs2Inode } from "../gfs2/inode.ts";
import { FIEMAP_EXTENT_SIZE, FIEMAP_SIZE, type FiemapExtentInfo } from "../iomap/fiemap.ts";
import { checkTask, checkWhole } from "./arguments.ts";
import type { FsTask } from "./fs-task.ts";

/** More extents than these have no room in 32 bits. Linux: FIEMAP_MAX_EXTENTS */
const MAX_EXTENTS = Math.floor((2 ** 32 - 1 - FIEMAP_SIZE) / FIEMAP_EXTENT_SIZE);

/**
 * Tell the extents of a file. The struct at `address`: fm_start, fm_length (8 bytes each), fm_flags, fm_mapped_extents,
 * fm_extent_count, fm_reserved (4 each), then an array of extents.
 *
 * Context: may fault. Returns: 0, -EFAULT, -EINVAL, -EBADR (unknown flags), -EBADF, -ENOTTY (a pipe), -ENOMEM.
 * Linux:   ioctl(FS_IOC_FIEMAP), ioctl_fiemap()
 * Differs: addresses on disk are those of the model's blocks.
 */
export function* sysFiemap(task: FsTask, fd: number, address: number): MayFault<Status> {
  checkTask(task);
  checkWhole(fd, "fd");
  checkWhole(address, "address");
  const file = task.files.get(fd);
  if (file === null) return err(EBADF);
  if (!file.seekable) return err(ENOTTY);
  const { mem } = task.mm;
  const scratch = yield* allocPage(task, mem, false);
  if (scratch === 0) return err(ENOMEM);
  const status = yield* ioctlFiemap(task, file.inode as Gfs2Inode, address, scratch);
  putPage(mem, scratch);
  return status;
}

function* ioctlFiemap(task: FsTask, inode: Gfs2Inode, address: number, scratch: Pfn): MayFault<Status> {
  const { u8 } = task.mm.mem;
  const header = pageAddress(scratch);
  if ((yield* copyFromUser(task, header, address, FIEMAP_SIZE)) > 0) return err(EFAULT);
  const fields = new DataView(u8.buffer, u8.byteOffset + header, FIEMAP_SIZE);
  const asked = u8.slice(header, header + FIEMAP_SIZE);
  const start = Number(fields.getBigUint64(0, true));
  const length = Number(fields.getBigUint64(8, true));
  const max = fields.getUint32(24, true);
  if (max > MAX_EXTENTS) return err(EINVAL);
  const info: FiemapExtentInfo = {
    flags: fields.getUint32(16, true),
    mapped: 0,
    max,
    start: address + FIEMAP_SIZE,
    scratch,
  };
  const status = yield* task.root.revision.fiemap(task, inode, info, start, length);
  u8.set(asked, header);
  fields.setUint32(16, info.flags, true);
  fields.setUint32(20, info.mapped, true);
  return (yield* copyToUser(task, address, header, FIEMAP_SIZE)) > 0 ? err(EFAULT) : status;
}
