import type { OpName } from "./op.ts";

/** Operations whose events the recorder does not keep. */
export const UNTRACED: ReadonlySet<OpName> = new Set([
  "open",
  "close",
  "stat",
  "lseek",
  "mincore",
  "pagemap",
  "munmap",
  "evict",
  "dropcache",
  "pipe",
  "fionread",
  "sleep",
  "mprotect",
]);
