// Sub-page failure areas: granules of 16 bytes that no access may touch, as memory tagging (arm64 MTE) or a
// bad cache line makes them. The page is mapped, fault-in is happy, and only the copy notices.

import { checkInteger, PAGE_SIZE, type Pfn } from "@faultline/kernel";
import type { PhysMem } from "./physmem.ts";

export const GRANULE_SIZE = 16;
const GRANULES = PAGE_SIZE / GRANULE_SIZE;

/** Poison (or heal) the granules that [address, address + size) of physical memory touches. Context: atomic. */
export function setPoison(mem: PhysMem, address: number, size: number, poisoned = true): void {
  checkInteger(address, "address", 0, mem.u8.length);
  checkInteger(size, "size", 0, mem.u8.length - address);
  mem.poison ??= new Map();
  for (let at = address - (address % GRANULE_SIZE); at < address + size; at += GRANULE_SIZE) {
    const frame = Math.floor(at / PAGE_SIZE);
    let granules = mem.poison.get(frame);
    if (granules === undefined) {
      granules = new Uint8Array(GRANULES);
      mem.poison.set(frame, granules);
    }
    granules[(at % PAGE_SIZE) / GRANULE_SIZE] = poisoned ? 1 : 0;
  }
}

/**
 * Bytes of [address, address + size), which lies within one page, before the first poisoned granule.
 *
 * Context: atomic. Returns: `size` when nothing of it is poisoned.
 */
export function bytesBeforePoison(mem: PhysMem, address: number, size: number): number {
  const granules = mem.poison?.get(Math.floor(address / PAGE_SIZE));
  if (granules === undefined) return size;
  const offset = address % PAGE_SIZE;
  for (let at = offset - (offset % GRANULE_SIZE); at < offset + size; at += GRANULE_SIZE) {
    if (granules[at / GRANULE_SIZE] !== 0) return Math.max(0, at - offset);
  }
  return size;
}

/** The page is freed: whoever gets it next gets it sound. Called by PhysMem. */
export function healPage(mem: PhysMem, frame: Pfn): void {
  mem.poison?.delete(frame);
  if (mem.poison?.size === 0) mem.poison = null;
}
