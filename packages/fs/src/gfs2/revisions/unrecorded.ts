// Revisions between the recorded kernels, after the patches and the source of their time. They stand on 6.1, the
// nearest recorded kernel, with what was different then.

import { MM_5_16, MM_5_18 } from "@faultline/mm";
import { UIO_5_16 } from "@faultline/uio";
import { fiemapFaulting } from "../fiemap.ts";
import { bufferedRead516, bufferedWrite516, directRead516, directWrite516 } from "../io/io-5.16.ts";
import { bufferedReadWith, bufferedWriteWith, directReadWith, directWriteWith } from "../io/io-6.12.ts";
import { bufferedReadV4, bufferedWriteV4, directReadV4, directWriteV4 } from "../io/io-v4.ts";
import type { Gfs2Revision } from "../revision.ts";
import { shouldFaultInPages } from "../window.ts";
import { GFS2_6_1 } from "./kernels.ts";

export const GFS2_5_18: Gfs2Revision = {
  ...GFS2_6_1,
  name: "5.18",
  title: "auto-demotion given up: the glock is dropped before faulting in, and writes fault in first",
  mm: MM_5_18,
  uio: UIO_5_16,
  iomap: { ...GFS2_6_1.iomap, throttlesFirst: false, dioAligns: "bytes" },
  readahead: { ...GFS2_6_1.readahead, windowsShrink: true },
  fiemap: fiemapFaulting,
  bufferedRead: bufferedReadWith(shouldFaultInPages),
  bufferedWrite: bufferedWriteWith(true),
  directRead: directReadWith(shouldFaultInPages),
  directWrite: directWriteWith(shouldFaultInPages, false),
};

export const GFS2_5_16: Gfs2Revision = {
  ...GFS2_5_18,
  name: "5.16",
  title: "the fix as merged: faults disabled, the glock kept on call while one page after the other is faulted in",
  mm: MM_5_16,
  iomap: { ...GFS2_5_18.iomap, prefault: "whole", inlineReadCounts: "bytes" },
  freesWholeTail: false,
  bufferedRead: bufferedRead516,
  bufferedWrite: bufferedWrite516,
  directRead: directRead516,
  directWrite: directWrite516,
};

/** On 5.14, whose memory differs from 5.16's only in functions that the patches do not call. */
export const GFS2_V4: Gfs2Revision = {
  ...GFS2_5_16,
  name: "v4",
  title: "the patches under discussion: faults disabled, and then all of the buffer or nothing is faulted in",
  iomap: { ...GFS2_5_16.iomap, prefault: "pages", inlineReadCounts: "page", fiemapTellsLast: false },
  locksInIomap: true,
  bufferedRead: bufferedReadV4,
  bufferedWrite: bufferedWriteV4,
  directRead: directReadV4,
  directWrite: directWriteV4,
};
