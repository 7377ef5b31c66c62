// The steps of random histories, done to mm.

import { type MayFault, PAGE_SIZE } from "@faultline/kernel";
import {
  copyFromUser,
  copyFromUserInatomic,
  copyToUser,
  copyToUserInatomic,
  doMadvise,
  doMmap,
  doMprotect,
  doMremap,
  doMunmap,
  FOLL_WRITE,
  faultInReadable,
  faultInSafeWriteable,
  getUserPagesUnlocked,
  isFaultedIn,
  MADV_DONTNEED,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_DONTUNMAP,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  pageAddress,
  pagefaultDisable,
  pagefaultEnable,
  putUserPages,
  tryToFreePages,
  userLoad,
  userStore,
  VM_MAYWRITE,
} from "../index.ts";
import { PROBES, probesOf } from "./model.ts";
import { signalName } from "./rig.ts";
import { type Actor, placeOf, type Stage, targetOf, valueAt } from "./stage.ts";
import type { Step } from "./steps.ts";

const MAP_HOW = { free: 0, hint: 0, fixed: MAP_FIXED, "fixed, no replacing": MAP_FIXED_NOREPLACE };
const MREMAP_HOW = {
  "in place": 0,
  "may move": MREMAP_MAYMOVE,
  fixed: MREMAP_MAYMOVE | MREMAP_FIXED,
  "leave behind": MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
};
const ADVICE = { dontneed: MADV_DONTNEED, "populate read": MADV_POPULATE_READ, "populate write": MADV_POPULATE_WRITE };

/** What a step says that was not taken. */
export const SKIPPED = "skipped";

/**
 * Take one step; fork and exit are not among those that can be taken here.
 *
 * Context: may fault. Returns: the result, with the bytes that arrived where some did.
 */
export function* act(stage: Stage, actor: Actor, step: Step): MayFault<number | string> {
  const { task, buffer } = actor;
  const { mem } = stage;
  const address = "at" in step ? placeOf(actor, step) * PAGE_SIZE + ("offset" in step ? step.offset : 0) : 0;
  switch (step.op) {
    case "mmap": {
      const file = step.kind === "file a" ? stage.files[0] : step.kind === "anonymous" ? null : stage.files[1];
      return yield* doMmap(task, {
        address: step.how === "free" ? 0 : address,
        length: step.pages * PAGE_SIZE,
        prot: step.prot,
        flags:
          (step.shared ? MAP_SHARED : MAP_PRIVATE) |
          MAP_HOW[step.how] |
          (file === null ? MAP_ANONYMOUS : 0) |
          (step.populate ? MAP_POPULATE : 0),
        pgoff: step.first,
        ...(file === null ? {} : { backing: file.backing }),
        ...(file === stage.files[1] && step.shared ? { vmFlags: { remove: VM_MAYWRITE } } : {}),
      });
    }
    case "munmap":
      return yield* doMunmap(task, address, step.pages * PAGE_SIZE);
    case "mprotect":
      return yield* doMprotect(task, address, step.pages * PAGE_SIZE, step.prot);
    case "dontneed":
    case "populate read":
    case "populate write":
      return yield* doMadvise(task, address, step.pages * PAGE_SIZE, ADVICE[step.op]);
    case "mremap": {
      const moves = step.how === "fixed" || step.how === "leave behind";
      const kept = step.how === "fixed" ? Math.min(step.pages, step.newPages) : step.pages;
      // Depends on how areas were merged: not what the reference knows.
      if (moves && actor.model.oneArea(address / PAGE_SIZE, kept) === "maybe") return SKIPPED;
      return yield* doMremap(task, {
        address,
        oldLength: step.pages * PAGE_SIZE,
        newLength: (step.how === "leave behind" ? step.pages : step.newPages) * PAGE_SIZE,
        flags: MREMAP_HOW[step.how],
        newAddress: targetOf(actor, step) * PAGE_SIZE,
      });
    }
    case "load": {
      const { left, signal } = yield* userLoad(task, buffer, address, step.size);
      return arrived(stage, actor, address, step.size - left) + (signal === 0 ? "" : signalName(signal));
    }
    case "store": {
      fill(stage, actor, address, step.size);
      const { left, signal } = yield* userStore(task, address, buffer, step.size);
      return `${step.size - left} ${signal === 0 ? "" : signalName(signal)}`;
    }
    case "copy_from_user": {
      mem.u8.fill(0xee, buffer, buffer + step.size);
      const left = yield* copyFromUser(task, buffer, address, step.size);
      const tail = mem.u8.subarray(buffer + step.size - left, buffer + step.size);
      if (tail.some((byte) => byte !== 0)) return "a tail that is not zero";
      return arrived(stage, actor, address, step.size - left);
    }
    case "copy_to_user":
      fill(stage, actor, address, step.size);
      return step.size - (yield* copyToUser(task, address, buffer, step.size));
    case "copy without faults": {
      const faults = task.minFlt + task.majFlt;
      fill(stage, actor, address, step.size);
      pagefaultDisable(task);
      const stored = step.size - copyToUserInatomic(task, address, buffer, step.size);
      const loaded = step.size - copyFromUserInatomic(task, buffer, address, step.size);
      pagefaultEnable(task);
      if (task.minFlt + task.majFlt !== faults) return "a fault was handled";
      return `${stored} ${arrived(stage, actor, address, loaded)}`;
    }
    case "fault in readable":
      return yield* faultInReadable(task, address, step.size);
    case "fault in writeable": {
      const left = yield* faultInSafeWriteable(task, address, step.size);
      return left !== 0 && isFaultedIn(task, address, step.size, true) ? "not faulted in, but resident" : left;
    }
    case "get pages, write": {
      const pages: Parameters<typeof getUserPagesUnlocked>[4] = [];
      const first = address - (address % PAGE_SIZE);
      const count = yield* getUserPagesUnlocked(task, first, Math.ceil(step.size / PAGE_SIZE), FOLL_WRITE, pages);
      for (const [i, page] of pages.entries()) {
        for (const offset of PROBES) {
          mem.u8[pageAddress(page) + offset] = valueAt(actor, first + i * PAGE_SIZE + offset);
        }
      }
      putUserPages(task, pages, true);
      return count;
    }
    case "reclaim":
      yield* tryToFreePages(task, mem);
      return 0;
    case "truncate":
      return yield* stage.files[0].truncate(task, step.size);
    default:
      return SKIPPED;
  }
}

/** The kernel's side of a store. */
function fill({ mem }: Stage, actor: Actor, address: number, size: number): void {
  for (let i = 0; i < size; i++) mem.u8[actor.buffer + i] = valueAt(actor, address + i);
}

/** How many bytes arrived, and those that the reference may know. */
function arrived({ mem }: Stage, actor: Actor, address: number, done: number): string {
  const bytes = [...probesOf(address, done)].map(([, , at]) => mem.u8[actor.buffer + at - address]);
  return `${done} ${bytes.join(",")} `;
}
