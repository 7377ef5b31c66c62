// Zeroing bytes of a file (fs/iomap/buffered-io.c: iomap_zero_range): holes are zero already, the rest is
// written like any other bytes.

import { isErr, type MaySleep, offsetInPage, PAGE_SIZE, type Pfn, type Status } from "@faultline/kernel";
import { pageAddress, putPage, type UserTask, unlockPage } from "@faultline/mm";
import type { FileMapping, Inode } from "../vfs/inode.ts";
import { iomapWriteBegin, iomapWriteEnd } from "./buffered-write.ts";
import { IOMAP_F_SIZE_CHANGED, IOMAP_HOLE, IOMAP_ZERO, IomapIter, type IomapOps, iomapIter } from "./iomap.ts";

/**
 * Zero [pos, pos + length).
 *
 * Context: sleeps; no page lock held. Returns: 0 or an error.
 * Linux: iomap_zero_range()
 */
export function* iomapZeroRange(
  task: UserTask,
  inode: Inode,
  pos: number,
  length: number,
  ops: IomapOps,
): MaySleep<Status> {
  const iter = new IomapIter(inode, pos, length, IOMAP_ZERO);
  let status: number;
  while ((status = yield* iomapIter(task, iter, ops)) > 0) iter.processed = yield* zeroExtent(task, iter);
  return isErr(status) ? status : 0;
}

/** Returns: bytes, or an error if none. Linux: iomap_zero_iter() */
function* zeroExtent(task: UserTask, iter: IomapIter): MaySleep<number> {
  const { inode, iomap, length } = iter;
  if (iomap.type === IOMAP_HOLE) return length;
  const mapping = inode.mapping as FileMapping;
  const { mem } = mapping;
  const rules = inode.sb.iomap;
  const { trace } = task.world;
  let done = 0;
  while (done < length) {
    const pos = iter.pos + done;
    const offset = offsetInPage(pos);
    const bytes = Math.min(PAGE_SIZE - offset, length - done);
    const frame = yield* iomapWriteBegin(task, iter, pos, bytes);
    if (frame < 0) return done > 0 ? done : frame;
    trace?.emit(task, "iomap_write_begin_ret", 0);
    const start = pageAddress(frame as Pfn) + offset;
    mem.world.accesses?.write(mem.bytesId(frame as Pfn));
    mem.u8.fill(0, start, start + bytes);
    const taken = iomapWriteEnd(task, iter, mapping, frame as Pfn, pos, bytes, bytes);
    trace?.emit(task, "iomap_write_end_ret", rules.writeEndIsBoolean ? 1 : taken);
    if (rules.zeroingExtends && pos + bytes > inode.size) {
      inode.size = pos + bytes;
      iomap.flags |= IOMAP_F_SIZE_CHANGED;
    }
    unlockPage(mem, frame as Pfn);
    putPage(mem, frame as Pfn);
    done += bytes;
  }
  return done;
}
