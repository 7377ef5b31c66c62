// What the next recorded events of a lane say of its page table: what is copied from without a fault is mapped until
// then, and where a fault is taken the page is not mapped any more, or not to be stored to. Others unmap pages when they
// punch holes or evict, and take the right to store away when they write the file back.

import { PAGE_SIZE } from "@faultline/kernel";
import { PTE_RW, ptePresent, type UserTask } from "@faultline/mm";
import { endOfUnmapped, FAULTS, isProtected, isTorn, OF_ABSENT, OF_READ_ONLY } from "./fault-events.ts";
import type { Names } from "./maps.ts";
import type { Progress } from "./progress.ts";
import type { RecordedEvent } from "./result.ts";

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
  const { task } = progress;
  const start = names.address(need.map, need.offset);
  if (need.finding === "read-only") return isMapped(task, start, true) ? "later" : null;
  let mapped = true;
  for (let page = start - (start % PAGE_SIZE); page < start + need.length; page += PAGE_SIZE) {
    if (!isMapped(task, page, false)) mapped = false;
  }
  if (mapped !== (need.finding === "mapped")) return "later";
  return mapped ? "now" : null;
}

/** Is something mapped at an address that would do for an access? */
export function isMapped(task: UserTask, address: number, stores: boolean): boolean {
  const entry = task.mm.pgd.get(Math.floor(address / PAGE_SIZE));
  return ptePresent(entry) && (!stores || (entry & PTE_RW) !== 0);
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
