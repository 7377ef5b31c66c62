// Mapping memory (mm/mmap.c): what may be mapped where, and what makes it come true.

import {
  downWrite,
  EACCES,
  EAGAIN,
  EINVAL,
  ENOMEM,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  err,
  ignoreResult,
  type MayFault,
  PAGE_SIZE,
  pageAlign,
  upWrite,
} from "@faultline/kernel";
import { exceedsMemlock, insertVma, mayExpandVm } from "./area.ts";
import type { MmStruct } from "./mm-struct.ts";
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_GROWSDOWN,
  MAP_LOCKED,
  MAP_NONBLOCK,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAP_TYPE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from "./mman.ts";
import { mmapWriteLockNow } from "./mmap-lock.ts";
import { unmapRange } from "./munmap.ts";
import { mmPopulate } from "./populate.ts";
import { MAX_KEY } from "./radix-tree.ts";
import { shmemZeroSetup } from "./shmem.ts";
import { placeFor } from "./unmapped-area.ts";
import type { UserTask } from "./user-task.ts";
import {
  ANONYMOUS,
  VM_ACCOUNT,
  VM_EXEC,
  VM_GROWSDOWN,
  VM_LOCKED,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_NORESERVE,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
  Vma,
  type VmaBacking,
} from "./vma.ts";

export interface MmapArgs {
  /** Where to map: a hint, or the place itself with MAP_FIXED or MAP_FIXED_NOREPLACE. */
  readonly address: number;
  readonly length: number;
  /** PROT_*. */
  readonly prot: number;
  /** MAP_*. */
  readonly flags: number;
  /** What the area shows; anonymous memory by default. */
  readonly backing?: VmaBacking;
  /** First page of the backing that is shown. */
  readonly pgoff?: number;
  /** VM_* to add (VM_IO, VM_PFNMAP) or, as a file opened read-only does, to take away (VM_MAYWRITE). */
  readonly vmFlags?: { readonly add?: number; readonly remove?: number };
}

/**
 * Map memory.
 *
 * Context: may fault (MAP_POPULATE); mmap_lock not held.
 * Returns: the address, or -EINVAL, -ENOMEM, -EEXIST, -EPERM, -EACCES, -EAGAIN, -EOVERFLOW, -EOPNOTSUPP.
 * Linux:   do_mmap(), vm_mmap_pgoff()
 */
export function* doMmap(task: UserTask, args: MmapArgs): MayFault<number> {
  const { mm } = task;
  if (!mmapWriteLockNow(task, mm)) yield* downWrite(task, mm.mmapLock);
  const address = mapLocked(task, args);
  upWrite(task, mm.mmapLock);
  if (address < 0) return address;
  const populate = (args.flags & (MAP_POPULATE | MAP_NONBLOCK)) === MAP_POPULATE;
  if (populate || (args.flags & MAP_LOCKED) !== 0) {
    const status = yield* mmPopulate(task, address, pageAlign(args.length), true);
    ignoreResult(status, "memory that could not be populated is faulted in when it is touched");
  }
  return address;
}

/** The part under mmap_lock. Context: atomic; mmap_lock held for writing. Returns: the address or an error. */
function mapLocked(task: UserTask, args: MmapArgs): number {
  const { mm } = task;
  const { prot, flags } = args;
  const pgoff = args.pgoff ?? 0;
  for (const value of [args.address, args.length, prot, flags, pgoff]) if (!Number.isInteger(value)) return err(EINVAL);
  if (args.length === 0) return err(EINVAL);
  // What is negative here is a huge number there.
  if (args.length < 0) return err(ENOMEM);
  const length = pageAlign(args.length);
  if (mm.vmas.size > mm.limits.maxMapCount) return err(ENOMEM);
  const address = placeFor(mm, args.address, length, flags);
  if (address < 0) return address;

  const backing = args.backing ?? ANONYMOUS;
  const file = backing.ops !== null || backing.mapping !== null;
  if (file && (pgoff < 0 || pgoff + length / PAGE_SIZE > MAX_KEY)) return err(EOVERFLOW);
  const vmFlags = areaFlags(mm, args, length, file);
  if (vmFlags < 0) return vmFlags;
  const replaced = (flags & MAP_FIXED) !== 0 ? mappedBytes(mm, address, address + length) : 0;
  if (!mayExpandVm(mm, vmFlags, length) && !mayExpandVm(mm, vmFlags, length - replaced)) return err(ENOMEM);
  if (replaced > 0 && unmapRange(task, address, address + length) !== 0) return err(ENOMEM);

  const shared = (flags & MAP_TYPE) !== MAP_PRIVATE;
  if (file) insertVma(mm, new Vma(mm, address, address + length, vmFlags, pgoff, backing));
  else if (shared) insertVma(mm, new Vma(mm, address, address + length, vmFlags, 0, shmemZeroSetup(mm.mem, length)));
  else insertVma(mm, new Vma(mm, address, address + length, vmFlags, address / PAGE_SIZE));
  return address;
}

/** VM_* for a new area, or an error. */
function areaFlags(mm: MmStruct, args: MmapArgs, length: number, file: boolean): number {
  const { prot, flags } = args;
  let vmFlags = (calcVmFlags(prot, flags) | (args.vmFlags?.add ?? 0)) & ~(args.vmFlags?.remove ?? 0);
  if ((vmFlags & VM_LOCKED) !== 0 && mm.limits.memlock === 0) return err(EPERM);
  if (exceedsMemlock(mm, vmFlags, length)) return err(EAGAIN);
  switch (flags & MAP_TYPE) {
    case MAP_SHARED_VALIDATE:
      if (!file) return err(EINVAL);
      if ((flags & ~LEGACY_MAP_MASK) !== 0) return err(EOPNOTSUPP);
      break;
    case MAP_SHARED:
    case MAP_PRIVATE:
      break;
    default:
      return err(EINVAL);
  }
  const shared = (flags & MAP_TYPE) !== MAP_PRIVATE;
  // Only private anonymous memory can be a stack.
  if ((vmFlags & VM_GROWSDOWN) !== 0 && (file || shared)) return err(EINVAL);
  if (!shared) return isAccountable(vmFlags) ? vmFlags | VM_ACCOUNT : vmFlags;
  // A file that was opened for reading only is not shared with anybody who writes through this area.
  if ((vmFlags & VM_MAYWRITE) !== 0) vmFlags |= VM_SHARED;
  else if ((prot & PROT_WRITE) !== 0) return err(EACCES);
  return vmFlags | VM_MAYSHARE;
}

/** What MAP_SHARED_VALIDATE lets pass. */
const LEGACY_MAP_MASK =
  MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK;

function mappedBytes(mm: MmStruct, start: number, end: number): number {
  let total = 0;
  for (let vma = mm.vmas.find(start); vma !== null && vma.start < end; vma = mm.vmas.next(vma)) {
    total += Math.min(end, vma.end) - Math.max(start, vma.start);
  }
  return total;
}

/** Could it take as many pages of its own as it is long? Linux: accountable_mapping() */
function isAccountable(vmFlags: number): boolean {
  return (vmFlags & (VM_NORESERVE | VM_SHARED | VM_WRITE)) === VM_WRITE;
}

/** Linux: calc_vm_prot_bits(), calc_vm_flag_bits() */
function calcVmFlags(prot: number, flags: number): number {
  return (
    protFlags(prot) |
    (VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC) |
    ((flags & MAP_GROWSDOWN) !== 0 ? VM_GROWSDOWN : 0) |
    ((flags & MAP_LOCKED) !== 0 ? VM_LOCKED : 0) |
    ((flags & MAP_NORESERVE) !== 0 ? VM_NORESERVE : 0)
  );
}

export function protFlags(prot: number): number {
  return (
    ((prot & PROT_READ) !== 0 ? VM_READ : 0) |
    ((prot & PROT_WRITE) !== 0 ? VM_WRITE : 0) |
    ((prot & PROT_EXEC) !== 0 ? VM_EXEC : 0)
  );
}
