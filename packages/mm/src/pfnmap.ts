// Raw memory without struct page accounting: what drivers map (mm/memory.c: vmf_insert_pfn).

import { bugOn, PAGE_SIZE, type Pfn } from "@faultline/kernel";
import { setEntry } from "./anon-fault.ts";
import { VM_FAULT_NOPAGE } from "./fault-flags.ts";
import { makePte, PTE_ACCESSED, PTE_PRESENT, PTE_RW, PTE_SPECIAL } from "./pte.ts";
import type { UserTask } from "./user-task.ts";
import { VM_PFNMAP, VM_SHARED, VM_WRITE, type Vma } from "./vma.ts";

/**
 * Enter a raw frame into a VM_PFNMAP area: what ->fault of a device does. The frame is not counted: whoever
 * owns it keeps it for as long as it is mapped.
 *
 * Context: atomic. Returns: VM_FAULT_NOPAGE. Linux: vmf_insert_pfn()
 */
export function vmfInsertPfn(task: UserTask, vma: Vma, address: number, frame: Pfn): number {
  bugOn((vma.flags & VM_PFNMAP) === 0, "raw frame in an area that is not VM_PFNMAP");
  const vpn = Math.floor(address / PAGE_SIZE);
  if (vma.mm.pgd.get(vpn) !== 0) return VM_FAULT_NOPAGE;
  const writable = (vma.flags & (VM_SHARED | VM_WRITE)) === (VM_SHARED | VM_WRITE) ? PTE_RW : 0;
  setEntry(task, vma.mm, vpn, makePte(frame, PTE_PRESENT | PTE_ACCESSED | PTE_SPECIAL | writable));
  return VM_FAULT_NOPAGE;
}
