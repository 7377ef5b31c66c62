// The kernels that were recorded: each revision is the one after it with changes.

import { MM_5_10, MM_6_1, MM_6_12, MM_LATEST } from "@faultline/mm";
import { UIO_5_10, UIO_6_1, UIO_6_12, UIO_LATEST } from "@faultline/uio";
import { SHORT_COPIES } from "../../iomap/revision.ts";
import { fiemapFaulting, fiemapNofault } from "../fiemap.ts";
import { bufferedRead510, bufferedWrite510, directRead510, directWrite510 } from "../io/io-5.10.ts";
import { bufferedReadWith, bufferedWriteWith, directReadWith, directWriteWith } from "../io/io-6.12.ts";
import type { Gfs2Revision } from "../revision.ts";
import { shouldFaultInPages } from "../window.ts";

const RWF_5_10 = 0x1f;
const RWF_NOAPPEND = 0x20;
const RWF_ATOMIC = 0x40;
const RWF_DONTCACHE = 0x80;

export const GFS2_7_2: Gfs2Revision = {
  name: "7.2",
  title: "today: larger read-ahead, and pipes that leave no empty slot behind",
  mm: MM_LATEST,
  uio: UIO_LATEST,
  readahead: {
    raPages: 2048,
    ioPages: 1024,
    splitSyncAsync: true,
    windowsShrink: false,
    marksLastWindow: false,
    seesProgress: false,
    markedEndsAt: 4,
    nextMissMayBeCached: false,
    prevMissMayBeCached: false,
  },
  iomap: {
    shortCopies: SHORT_COPIES,
    throttlesFirst: true,
    prefault: "any",
    retriesSegment: false,
    dioPartial: true,
    dioStopsAtEof: false,
    dioAligns: "segment",
    zeroingExtends: false,
    inlineReadCounts: "bytes",
    fiemapTellsLast: true,
    writeEndIsBoolean: true,
  },
  glock: { recursionBugLine: 0 },
  readBatch: 31,
  referencesPin: false,
  locksInIomap: false,
  freesWholeTail: true,
  unstuffsEmptyPage: true,
  zeroesBeyondEof: false,
  directKeepsTimes: true,
  rwfFlags: RWF_5_10 | RWF_NOAPPEND | RWF_ATOMIC | RWF_DONTCACHE,
  faultTriesUnderGlock: false,
  pipeKeepsEmptySlot: false,
  pipesKnowNowait: true,
  fiemap: fiemapNofault,
  bufferedRead: bufferedReadWith(shouldFaultInPages),
  bufferedWrite: bufferedWriteWith(false),
  directRead: directReadWith(shouldFaultInPages),
  directWrite: directWriteWith(shouldFaultInPages, true),
};

export const GFS2_6_12: Gfs2Revision = {
  ...GFS2_7_2,
  name: "6.12",
  title: "the fix as it settled: fault in first, then try under the glock with faults disabled",
  mm: MM_6_12,
  uio: UIO_6_12,
  readahead: {
    raPages: 32,
    ioPages: 320,
    splitSyncAsync: true,
    windowsShrink: false,
    marksLastWindow: true,
    seesProgress: false,
    markedEndsAt: 1,
    nextMissMayBeCached: false,
    prevMissMayBeCached: true,
  },
  iomap: { ...GFS2_7_2.iomap, dioAligns: "segments", inlineReadCounts: "nothing" },
  zeroesBeyondEof: true,
  rwfFlags: RWF_5_10 | RWF_NOAPPEND | RWF_ATOMIC,
  pipeKeepsEmptySlot: true,
};

export const GFS2_6_1: Gfs2Revision = {
  ...GFS2_6_12,
  name: "6.1",
  title: "the fix with its first repairs",
  mm: MM_6_1,
  uio: UIO_6_1,
  readahead: {
    raPages: 32,
    ioPages: 320,
    splitSyncAsync: false,
    windowsShrink: false,
    marksLastWindow: true,
    seesProgress: true,
    markedEndsAt: 1,
    nextMissMayBeCached: true,
    prevMissMayBeCached: true,
  },
  iomap: { ...GFS2_6_12.iomap, zeroingExtends: true, writeEndIsBoolean: false },
  readBatch: 15,
  directKeepsTimes: false,
  rwfFlags: RWF_5_10,
  pipesKnowNowait: false,
};

export const GFS2_5_10: Gfs2Revision = {
  ...GFS2_6_1,
  name: "5.10",
  title: "before the fix: page faults are taken while the glock is held",
  mm: MM_5_10,
  uio: UIO_5_10,
  iomap: {
    ...GFS2_6_1.iomap,
    throttlesFirst: false,
    prefault: "pages",
    retriesSegment: true,
    dioPartial: false,
    dioStopsAtEof: true,
    dioAligns: "bytes",
    inlineReadCounts: "page",
    fiemapTellsLast: false,
  },
  readahead: { ...GFS2_6_1.readahead, windowsShrink: true, seesProgress: false },
  glock: { recursionBugLine: 1403 },
  readBatch: 1,
  locksInIomap: true,
  freesWholeTail: true,
  unstuffsEmptyPage: false,
  fiemap: fiemapFaulting,
  bufferedRead: bufferedRead510,
  bufferedWrite: bufferedWrite510,
  directRead: directRead510,
  directWrite: directWrite510,
};
