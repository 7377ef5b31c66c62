// How a trace prints its numbers: by field name, with the kernel's own names for flags and modes.
// The bit values are those of include/linux/mm_types.h, include/linux/iomap.h and fs/gfs2/glock.h.

import { errnoName } from "../errno-name.ts";
import type { TraceField } from "./events.ts";

type Bits = ReadonlyArray<readonly [bit: number, name: string]>;

export const VM_FAULT_NAMES: Bits = [
  [0x1, "OOM"],
  [0x2, "SIGBUS"],
  [0x4, "MAJOR"],
  [0x8, "WRITE"],
  [0x10, "HWPOISON"],
  [0x40, "SIGSEGV"],
  [0x100, "NOPAGE"],
  [0x200, "LOCKED"],
  [0x400, "RETRY"],
  [0x800, "FALLBACK"],
  [0x1000, "DONE_COW"],
  [0x2000, "NEEDDSYNC"],
  [0x4000, "COMPLETED"],
];

const FAULT_FLAG_NAMES: Bits = [
  [0x1, "WRITE"],
  [0x2, "MKWRITE"],
  [0x4, "ALLOW_RETRY"],
  [0x8, "RETRY_NOWAIT"],
  [0x10, "KILLABLE"],
  [0x20, "TRIED"],
  [0x40, "USER"],
  [0x80, "REMOTE"],
  [0x100, "INSTRUCTION"],
  [0x200, "INTERRUPTIBLE"],
  [0x400, "UNSHARE"],
];

const IOMAP_FLAG_NAMES: Bits = [
  [0x1, "WRITE"],
  [0x2, "ZERO"],
  [0x4, "REPORT"],
  [0x8, "FAULT"],
  [0x10, "DIRECT"],
  [0x20, "NOWAIT"],
];

const DIO_FLAG_NAMES: Bits = [
  [0x1, "FORCE_WAIT"],
  [0x2, "OVERWRITE_ONLY"],
  [0x4, "PARTIAL"],
];

/** LM_ST_*: UNLOCKED, EXCLUSIVE, DEFERRED, SHARED, under the DLM names that tracepoints print. */
export const GLOCK_STATE_NAMES: readonly string[] = ["NL", "EX", "CW", "PR"];

/** DLM_LOCK_*. */
const DLM_MODE_NAMES: readonly string[] = ["NL", "CR", "CW", "PR", "PW", "EX"];

/** "MAJOR|RETRY" for 0x404; "0" for no bit. */
export function bitNames(value: number, names: Bits): string {
  const set = names.filter(([bit]) => (value & bit) !== 0).map(([, name]) => name);
  return set.length > 0 ? set.join("|") : String(value);
}

const hex = (value: number): string => `0x${value.toString(16)}`;
const errorCode = (value: number): string => ((value & 2) !== 0 ? "w" : "r") + ((value & 1) !== 0 ? "p" : "");
const result = (value: number): string => (value < 0 && value > -4096 ? `-${errnoName(value)}` : String(value));

const PRINTERS: Partial<Record<TraceField, (value: number) => string>> = {
  address: hex,
  errorCode,
  ret: result,
  vmFault: (value) => bitNames(value, VM_FAULT_NAMES),
  faultFlags: (value) => bitNames(value, FAULT_FLAG_NAMES),
  iomapFlags: (value) => bitNames(value, IOMAP_FLAG_NAMES),
  dioFlags: (value) => bitNames(value, DIO_FLAG_NAMES),
  glockState: (value) => GLOCK_STATE_NAMES[value] ?? String(value),
  target: (value) => GLOCK_STATE_NAMES[value] ?? String(value),
  dlmMode: (value) => DLM_MODE_NAMES[value] ?? String(value),
  queue: (value) => (value === 1 ? "queue" : "dequeue"),
};

/** Names that only a run knows: of its inodes, tasks, locks and choices. */
export type FieldNames = Partial<Record<TraceField | "task", ReadonlyMap<number, string>>>;

/** One argument as a person reads it. */
export function printField(field: TraceField, value: number, names: FieldNames = {}): string {
  return names[field]?.get(value) ?? PRINTERS[field]?.(value) ?? String(value);
}
