// Is user memory consistent? Everything that is kept twice must agree: areas, page tables, counts, lists.
//
// For tests and debuggers, at a moment when no task is in the middle of anything.

import { PAGE_SIZE, type Pfn } from "@faultline/kernel";
import type { AddressSpace } from "./address-space.ts";
import { canMerge, isDataMapping } from "./area.ts";
import type { LruList } from "./lru.ts";
import { MMAP_BASE, type MmStruct, STACK_GUARD_GAP, TASK_SIZE } from "./mm-struct.ts";
import { PG_ACTIVE, PG_ANON, PG_ANON_EXCLUSIVE, PG_DIRTY, PG_LRU } from "./page-flags.ts";
import { type PhysMem, pageMapping } from "./physmem.ts";
import { PTE_DIRTY, PTE_PRESENT, PTE_PROTNONE, PTE_RW, PTE_SPECIAL, ptePfn } from "./pte.ts";
import {
  linearPageIndex,
  VM_EXEC,
  VM_GROWSDOWN,
  VM_LOCKED,
  VM_PFNMAP,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
  type Vma,
  vmaWantsWritenotify,
} from "./vma.ts";

/** Says what is wrong, when `wrong` is true. */
type Claim = (wrong: boolean, sentence: string) => void;

/**
 * Look for contradictions in all address spaces of one memory.
 *
 * `held`: references that somebody keeps besides page tables and the page cache, by frame. Without it a page
 *         may have any number of them.
 *
 * Context: atomic. Returns: a sentence for each contradiction; none when all is well.
 */
export function checkMm(spaces: readonly MmStruct[], held: ReadonlyMap<number, number> | null = null): string[] {
  const problems: string[] = [];
  const claim: Claim = (wrong, sentence) => {
    if (wrong) problems.push(sentence);
  };
  if (spaces.length === 0) return problems;
  const { mem } = spaces[0];
  const counts = { references: new Int32Array(mem.frames), entries: new Int32Array(mem.frames) };
  for (const mm of spaces) {
    claim(mm.mem !== mem, "address spaces of two memories");
    checkAreas(mm, claim);
    checkGapHint(mm, claim);
    checkEntries(mm, counts, claim);
  }
  for (const mapping of mem.mappings) if (mapping !== null) checkCache(mapping, counts.references, claim);
  checkFrames(mem, counts, held, claim);
  checkList(mem, mem.active, PG_LRU | PG_ACTIVE, "active", claim);
  checkList(mem, mem.inactive, PG_LRU, "inactive", claim);
  return problems;
}

interface Counts {
  readonly references: Int32Array;
  readonly entries: Int32Array;
}

function checkAreas(mm: MmStruct, claim: Claim): void {
  let prev: Vma | null = null;
  const sums = { total: 0, data: 0, locked: 0 };
  for (const vma of mm.vmas.values()) {
    const name = describe(vma);
    claim(!(vma.start < vma.end), `${name} is empty`);
    claim(vma.start % PAGE_SIZE !== 0 || vma.end % PAGE_SIZE !== 0, `${name} is not made of pages`);
    claim(vma.start < 0 || vma.end > TASK_SIZE, `${name} leaves user space`);
    claim(!Number.isInteger(vma.pgoff) || vma.pgoff < 0, `${name} has page offset ${vma.pgoff}`);
    claim(vma.mapping !== null && !vma.mapping.iMmap.has(vma), `${name} is unknown to its file`);
    claim(vma.mm !== mm, `${name} belongs to another address space`);
    if (prev !== null) {
      claim(prev.end > vma.start, `${describe(prev)} and ${name} overlap`);
      const apart = prev.end !== vma.start || (vma.flags & VM_GROWSDOWN) !== 0;
      claim(!apart && canMerge(prev, vma, prev.flags, vma.flags), `${describe(prev)} and ${name} should be one`);
    }
    const size = vma.end - vma.start;
    sums.total += size;
    if (isDataMapping(vma.flags)) sums.data += size;
    if ((vma.flags & VM_LOCKED) !== 0) sums.locked += size;
    prev = vma;
  }
  claim(sums.total !== mm.totalVm, `areas have ${sums.total} bytes, totalVm says ${mm.totalVm}`);
  claim(sums.data !== mm.dataVm, `private writable areas have ${sums.data} bytes, dataVm says ${mm.dataVm}`);
  claim(sums.locked !== mm.lockedVm, `locked areas have ${sums.locked} bytes, lockedVm says ${mm.lockedVm}`);
}

function checkGapHint({ vmas, gapHint }: MmStruct, claim: Claim): void {
  let end = MMAP_BASE;
  for (const vma of [...vmas.values()].reverse()) {
    const gap = Math.min(end, MMAP_BASE) - Math.max(vma.end, gapHint.from);
    const said = `none is said to exceed ${gapHint.largest}`;
    claim(gap > gapHint.largest, `gap of ${gap} bytes above ${hex(vma.end)}, but ${said}`);
    end = vma.start - ((vma.flags & VM_GROWSDOWN) !== 0 ? STACK_GUARD_GAP : 0);
    if (vma.start <= gapHint.from) break;
  }
}

function checkEntries(mm: MmStruct, counts: Counts, claim: Claim): void {
  const { mem, pgd } = mm;
  pgd.forEach(0, TASK_SIZE / PAGE_SIZE, (vpn, entry) => {
    const address = vpn * PAGE_SIZE;
    const name = `entry of ${hex(address)}`;
    const vma = mm.vmas.lookup(address);
    claim(vma === null, `${name} lies in no area`);
    if (vma === null) return;
    const frame = ptePfn(entry);
    const access = entry & (PTE_PRESENT | PTE_PROTNONE);
    const accessible = (vma.flags & (VM_READ | VM_WRITE | VM_EXEC)) !== 0;
    claim(access !== (accessible ? PTE_PRESENT : PTE_PROTNONE), `${name} does not fit the access that the area allows`);
    claim((entry & PTE_RW) !== 0 && (vma.flags & VM_WRITE) === 0, `${name} is writable in a read-only area`);
    if ((entry & PTE_SPECIAL) !== 0) {
      const raw = (vma.flags & VM_PFNMAP) !== 0;
      claim(!raw && (frame !== mem.zeroPfn || (entry & PTE_RW) !== 0), `${name} is special, but not the zero page`);
      return;
    }
    claim(frame < 2 || frame >= mem.untouched, `${name} shows frame ${frame}, which was never allocated`);
    counts.references[frame]++;
    counts.entries[frame]++;
    if ((mem.flags[frame] & PG_ANON) !== 0) checkAnonymous(mem, vma, frame, entry, name, claim);
    else checkFilePage(mem, vma, address, frame, entry, name, claim);
  });
}

function checkAnonymous(mem: PhysMem, vma: Vma, frame: Pfn, entry: number, name: string, claim: Claim): void {
  claim((vma.flags & VM_SHARED) !== 0, `${name} shows an anonymous page in a shared area`);
  claim(vma.anonVma === 0, `${name} shows an anonymous page, but its area is said to have none`);
  const shared = mem.mapcount[frame] !== 1;
  claim((entry & PTE_RW) !== 0 && shared, `${name} is writable, but ${mem.mapcount[frame]} entries share its page`);
  claim((mem.flags[frame] & PG_ANON_EXCLUSIVE) !== 0 && shared, `page of ${name} is exclusive and shared`);
}

function checkFilePage(
  mem: PhysMem,
  vma: Vma,
  address: number,
  frame: Pfn,
  entry: number,
  name: string,
  claim: Claim,
): void {
  claim(pageMapping(mem, frame) !== vma.mapping, `${name} shows a page that is not of its file`);
  claim(mem.index[frame] !== linearPageIndex(vma, address), `${name} shows page ${mem.index[frame]} of its file`);
  if ((entry & PTE_RW) === 0) return;
  claim((vma.flags & VM_SHARED) === 0, `${name} lets a private area write to the file`);
  const noticed = (entry & PTE_DIRTY) !== 0 && (mem.flags[frame] & PG_DIRTY) !== 0;
  claim(vmaWantsWritenotify(vma) && !noticed, `${name} lets stores go unnoticed`);
}

function checkCache(mapping: AddressSpace, references: Int32Array, claim: Claim): void {
  const { mem } = mapping;
  let pages = 0;
  mapping.pages.forEach(0, Number.POSITIVE_INFINITY, (index, frame) => {
    const name = `page ${index} of ${mapping.label}`;
    pages++;
    references[frame]++;
    claim(pageMapping(mem, frame as Pfn) !== mapping, `${name} does not know its file`);
    claim(mem.index[frame] !== index, `${name} says that it is page ${mem.index[frame]}`);
    claim((mem.flags[frame] & PG_ANON) !== 0, `${name} is anonymous`);
  });
  claim(pages !== mapping.nrpages, `${mapping.label} has ${pages} pages, nrpages says ${mapping.nrpages}`);
}

function checkFrames(mem: PhysMem, counts: Counts, held: ReadonlyMap<number, number> | null, claim: Claim): void {
  const free = new Set<number>();
  for (const frame of mem.freeList()) {
    claim(free.has(frame), `frame ${frame} is free twice`);
    if (free.has(frame)) return;
    free.add(frame);
  }
  const never = mem.frames - mem.untouched;
  claim(free.size + never !== mem.freePages, `${free.size + never} frames are free, freePages says ${mem.freePages}`);
  for (let frame = 2; frame < mem.untouched; frame++) {
    const has = mem.refcount[frame];
    const known = counts.references[frame] + (held?.get(frame) ?? 0);
    claim(
      (has === 0) !== free.has(frame),
      `frame ${frame} has ${has} references and is ${free.has(frame) ? "" : "not "}free`,
    );
    claim(held === null ? has < known : has !== known, `frame ${frame} has ${has} references, ${known} are known`);
    const mapped = mem.mapcount[frame];
    const shown = counts.entries[frame];
    claim(mapped !== shown, `frame ${frame} has mapcount ${mapped}, ${shown} entries show it`);
    claim(has === 0 && mem.flags[frame] !== 0, `free frame ${frame} has flags ${mem.flags[frame]}`);
  }
}

function checkList(mem: PhysMem, list: LruList, flags: number, name: string, claim: Claim): void {
  let frame = list.head;
  for (let i = 0; i < list.length; i++) {
    claim((mem.flags[frame] & (PG_LRU | PG_ACTIVE)) !== flags, `frame ${frame} is on the ${name} list by mistake`);
    claim(mem.refcount[frame] === 0, `free frame ${frame} is on the ${name} list`);
    const next = mem.lruNext[frame];
    claim(mem.lruPrev[next] !== frame, `${name} list is broken at frame ${frame}`);
    frame = next;
  }
  claim(list.length > 0 && frame !== list.head, `${name} list is not a ring of ${list.length}`);
  let flagged = 0;
  for (let at = 0; at < mem.untouched; at++) if ((mem.flags[at] & (PG_LRU | PG_ACTIVE)) === flags) flagged++;
  claim(flagged !== list.length, `${flagged} pages say that they are on the ${name} list, which has ${list.length}`);
}

function describe(vma: Vma): string {
  return `area ${hex(vma.start)}-${hex(vma.end)}`;
}

function hex(address: number): string {
  return `0x${address.toString(16)}`;
}
