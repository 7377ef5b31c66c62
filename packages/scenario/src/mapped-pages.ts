// What the next recorded events of a lane say of its page table: what is copied from without a fault is mapped until
// then, and where a fault is taken the page is not mapped any more, or not to be stored to. Others unmap pages when they
// punch holes or evict, and take the right to store away when they write the file back.

import { PAGE_SIZE } from "@faultline/kernel";
import { PTE_RW, ptePresent, type UserTask } from "@faultline/mm";
import type { Names } from "./maps.ts";
import type { Progress } from "./progress.ts";
import type { RecordedEvent } from "./result.ts";

/** Faults of the processor. */
export const FAULTS: ReadonlySet<unknown> = new Set(["pf_kernel", "pf_user"]);
/** What only a fault asks for that finds nothing mapped, and one that finds a page which it may not store to. */
export const OF_ABSENT: ReadonlySet<unknown> = new Set(["gfs2_fault", "map_pages"]);
export const OF_READ_ONLY = "gfs2_mkwrite";

/** What a lane is to find of the pages of a range. */
interface MappingNeed {
  readonly map: string;
  readonly offset: number;
  readonly length: number;
  readonly finding: "mapped" | "absent" | "read-only";
}

/** "now": the pages are mapped, as the lane is to find them; "later": they are what they are not to be; null: nothing is known. */
export function outlookOfMapping(progress: Progress, names: Names): "now" | "later" | null {
  const need = needOf(progress, (map) => names.map(map)?.file !== "");
  if (need === null || names.map(need.map) === undefined) return null;
  const { pgd } = progress.task.mm;
  const start = names.address(need.map, need.offset);
  if (need.finding === "read-only") return (pgd.get(Math.floor(start / PAGE_SIZE)) & PTE_RW) !== 0 ? "later" : null;
  let mapped = true;
  for (let vpn = Math.floor(start / PAGE_SIZE); vpn * PAGE_SIZE < start + need.length; vpn++) {
    if (pgd.get(vpn) === 0) mapped = false;
  }
  if (mapped !== (need.finding === "mapped")) return "later";
  return mapped ? "now" : null;
}

/** Does this fault show that a copy was interrupted, since it is behind what was looked at last? */
export function isTorn(events: readonly RecordedEvent[], at: number): boolean {
  const [, map, offset] = events[at];
  if (Number(offset) % PAGE_SIZE === 0) return false;
  const look = events.slice(0, at).findLast(([name, where]) => String(name).startsWith("fault_in_") && where === map);
  return look !== undefined && Number(offset) > Number(look[2]);
}

/** Is something mapped at an address that would do for an access? */
export function isMapped(task: UserTask, address: number, stores: boolean): boolean {
  const entry = task.mm.pgd.get(Math.floor(address / PAGE_SIZE));
  return ptePresent(entry) && (!stores || (entry & PTE_RW) !== 0);
}

/** Was something mapped where a fault was taken, but not for such an access? */
export function isProtected(access: unknown): boolean {
  return String(access).endsWith("p");
}

/**
 * Where a fault ends whose page is unmapped while the file is asked whether it may be stored to; -1 if it is none.
 */
export function endOfUnmapped(events: readonly RecordedEvent[], at: number): number {
  if (events[at]?.[0] !== "mm_fault" || events[at + 1]?.[0] !== OF_READ_ONLY) return -1;
  const end = events.findIndex((event, i) => i > at && event[0] === "mm_fault" && event[1] === "ret");
  return events[end]?.[2] === "NOPAGE" ? end : -1;
}

function needOf({ expected, got, isInterrupted }: Progress, isFile: (map: string) => boolean): MappingNeed | null {
  const events = expected?.events ?? [];
  const at = got.length;
  const next = events[at];
  if (next === undefined) return null;
  const last = got[at - 1];
  // It is lost in the middle of the copy.
  if (FAULTS.has(next[0]) && !isInterrupted && isTorn(events, at)) {
    return { map: String(next[1]), offset: Number(next[2]), length: 1, finding: "mapped" };
  }
  // The file is asked under its lock.
  const fault = next[0] === "glock_dq" ? got.findLastIndex(([name]) => name === "mm_fault") : -1;
  if (endOfUnmapped(events, fault) >= 0) {
    return { map: String(events[fault][1]), offset: Number(events[fault][2]), length: 1, finding: "absent" };
  }
  // The page of the file is there; what is copied to it comes from where it was looked at last.
  const source = last?.[0] === "write_begin" ? got.findLast(([name]) => name === "fault_in_readable") : undefined;
  if (source !== undefined && next[0] === "write_end") return needOfRange(source);
  if (next[0] !== "fault_in_readable") return needOfFault(events, next[0] === "fixup_user_fault" ? at + 1 : at, isFile);
  if (next[4] !== "ret") return needOfFault(events, at + 1, isFile);
  return next[5] === 0 ? needOfRange(next) : null;
}

function needOfRange([, map, offset, length]: RecordedEvent): MappingNeed {
  return { map: String(map), offset: Number(offset), length: Number(length), finding: "mapped" };
}

/** What a fault tells to be there when it is taken. */
function needOfFault(
  events: readonly RecordedEvent[],
  at: number,
  isFile: (map: string) => boolean,
): MappingNeed | null {
  const [name, map, offset, access] = events[at] ?? [];
  const place = { map: String(map), offset: Number(offset), length: 1 };
  if (FAULTS.has(name)) return isProtected(access) ? null : { ...place, finding: "absent" };
  if (name !== "mm_fault" || map === "ret") return null;
  // Of a file's page that is nothing to be done for somebody else has mapped it since.
  if (events[at].includes("ret"))
    return isFile(String(map)) && String(events[at][5]) === "0" ? { ...place, finding: "mapped" } : null;
  const asks = events[at + 1]?.[0];
  if (OF_ABSENT.has(asks)) return { ...place, finding: "absent" };
  return asks === OF_READ_ONLY ? { ...place, finding: "read-only" } : null;
}
