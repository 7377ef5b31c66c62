// What the next recorded events of a lane say of its page table: what is copied from without a fault is mapped until
// then, and where a fault is taken the page is not mapped any more. Others unmap pages when they punch holes or evict.

import { PAGE_SIZE } from "@faultline/kernel";
import type { Names } from "./maps.ts";
import type { Progress } from "./progress.ts";
import type { RecordedEvent } from "./result.ts";

/** What a lane is to find of the pages of a range. */
interface MappingNeed {
  readonly map: string;
  readonly offset: number;
  readonly length: number;
  readonly mapped: boolean;
}

/** "now": the pages are mapped, as the lane is to find them; "later": they are what they are not to be; null: nothing is known. */
export function outlookOfMapping(progress: Progress, names: Names): "now" | "later" | null {
  const need = needOf(progress);
  if (need === null || names.map(need.map) === undefined) return null;
  const { pgd } = progress.task.mm;
  const start = names.address(need.map, need.offset);
  let mapped = true;
  for (let vpn = Math.floor(start / PAGE_SIZE); vpn * PAGE_SIZE < start + need.length; vpn++) {
    if (pgd.get(vpn) === 0) mapped = false;
  }
  if (mapped !== need.mapped) return "later";
  return mapped ? "now" : null;
}

function needOf({ expected, got }: Progress): MappingNeed | null {
  const next = expected?.events[got.length];
  if (next === undefined) return null;
  const last = got[got.length - 1];
  // The page of the file is there; what is copied to it comes from where it was looked at last.
  const source = last?.[0] === "write_begin" ? got.findLast(([name]) => name === "fault_in_readable") : undefined;
  if (source !== undefined && next[0] === "write_end") return needOfRange(source, true);
  if (next[0] === "fault_in_readable") return next[4] === "ret" && next[5] === 0 ? needOfRange(next, true) : null;
  if (!isMissing(next)) return null;
  return { map: String(next[1]), offset: Number(next[2]), length: 1, mapped: false };
}

function needOfRange([, map, offset, length]: RecordedEvent, mapped: boolean): MappingNeed {
  return { map: String(map), offset: Number(offset), length: Number(length), mapped };
}

/** Is it a fault at a page that is not mapped? */
function isMissing([name, , , access]: RecordedEvent): boolean {
  return (name === "pf_kernel" || name === "pf_user") && !String(access).endsWith("p");
}
