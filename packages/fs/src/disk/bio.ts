// One request to the disk (struct bio): memory to or from consecutive bytes of a file.

import { PAGE_SIZE, type Pfn, type Status } from "@faultline/kernel";
import { type PhysMem, pageAddress } from "@faultline/mm";
import type { DiskInode } from "./disk-inode.ts";

/** A stretch of physical memory. */
export interface DiskSegment {
  readonly address: number;
  readonly length: number;
}

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
