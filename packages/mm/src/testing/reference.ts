// The steps of random histories, done to the reference: what mm should have said.

import { EACCES, EEXIST, EFAULT, EINVAL, ENOMEM, PAGE_SIZE } from "@faultline/kernel";
import { type MmRevision, PROT_READ, PROT_WRITE } from "../index.ts";
import { SKIPPED } from "./act.ts";
import { ModelObject, type ModelPage, type ModelSpace, type Outcome, probesOf } from "./model.ts";
import { type Actor, placeOf, targetOf, valueAt } from "./stage.ts";
import type { Step } from "./steps.ts";

export class Reference {
  readonly revision: MmRevision;
  readonly #objects: readonly [ModelObject, ModelObject];
  #areas = 0;

  constructor(revision: MmRevision, objects: readonly [ModelObject, ModelObject]) {
    this.revision = revision;
    this.#objects = objects;
  }

  /** Where a step happens has to be found before it is taken. */
  static placeOf(actor: Actor, step: Step): number {
    return "at" in step ? placeOf(actor, step) : 0;
  }

  /**
   * Take one step. `said` is what mm said: where the outcome depends on what the reference does not know, it
   * is believed.
   */
  act(actor: Actor, step: Step, vpn: number, said: number | string, all: readonly ModelSpace[]): number | string {
    const { model } = actor;
    const address = vpn * PAGE_SIZE + ("offset" in step ? step.offset : 0);
    if (said === SKIPPED) return said;
    switch (step.op) {
      case "mmap":
        return this.#mmap(model, step, vpn);
      case "munmap":
        for (let i = 0; i < step.pages; i++) model.pages.delete(vpn + i);
        return 0;
      case "mprotect":
        return mprotect(model, step, vpn);
      case "dontneed":
        return dontneed(model, vpn, step.pages);
      case "populate read":
      case "populate write":
        return this.#populate(model, vpn, step.pages, step.op === "populate write");
      case "mremap":
        return this.#mremap(actor, step, vpn, said);
      case "load": {
        const { done, outcome } = model.reach(address, step.size, false);
        return known(model, address, done, String(said)) + signal(outcome);
      }
      case "store": {
        const { done, outcome } = model.store(address, step.size, (to) => valueAt(actor, to));
        return `${done} ${signal(outcome)}`;
      }
      case "copy_from_user":
        return known(model, address, model.reach(address, step.size, false).done, String(said));
      case "copy_to_user":
        return model.store(address, step.size, (to) => valueAt(actor, to)).done;
      case "copy without faults":
        return copyWithoutFaults(actor, address, step.size, String(said));
      case "fault in readable":
        return step.size - model.reach(address, step.size, false).done;
      case "fault in writeable": {
        const { done } = model.reach(address, step.size, true);
        return done > 0 && this.revision.faultInSafeWriteable === "fixup-any" ? 0 : step.size - done;
      }
      case "get pages, write": {
        const first = address - (address % PAGE_SIZE);
        const { done } = model.reach(first, Math.ceil(step.size / PAGE_SIZE) * PAGE_SIZE, true);
        for (const [at, probe, to] of probesOf(first, done)) model.put(at, probe, valueAt(actor, to));
        return done === 0 ? -EFAULT : done / PAGE_SIZE;
      }
      case "truncate":
        return this.#truncate(step.size, all);
      default:
        return 0;
    }
  }

  #mmap(model: ModelSpace, step: Extract<Step, { op: "mmap" }>, vpn: number): number {
    const taken = !model.isFree(vpn, step.pages);
    let place = vpn;
    if (step.how === "fixed, no replacing" && taken) return -EEXIST;
    if (step.how === "free" || (step.how === "hint" && taken)) place = model.place(step.pages);
    const mayWrite = !(step.shared && step.kind === "file b, opened for reading");
    if ((step.prot & PROT_WRITE) !== 0 && !mayWrite) return -EACCES;
    const object = this.#objectOf(step);
    const area = ++this.#areas;
    for (let i = 0; i < step.pages; i++) {
      const index = object === null ? place + i : step.kind === "anonymous" ? i : step.first + i;
      const shared = step.shared && mayWrite;
      model.pages.set(place + i, { area, prot: step.prot, shared, mayWrite, object, index, own: null });
    }
    if (step.populate && (step.prot & PROT_WRITE) !== 0 && !step.shared) {
      for (let i = 0; i < step.pages && model.access(place + i, true) === "ok"; i++);
    }
    return place * PAGE_SIZE;
  }

  #objectOf(step: Extract<Step, { op: "mmap" }>): ModelObject | null {
    if (step.kind === "file a") return this.#objects[0];
    if (step.kind !== "anonymous") return this.#objects[1];
    return step.shared ? new ModelObject(step.pages * PAGE_SIZE, () => 0) : null;
  }

  #populate(model: ModelSpace, vpn: number, count: number, write: boolean): number {
    let gaps = false;
    for (let i = 0; i < count; i++) {
      const page = model.pages.get(vpn + i);
      if (page === undefined && !this.revision.populateByArea) return -ENOMEM;
      if (page === undefined) {
        gaps = true;
        continue;
      }
      if ((page.prot & (write ? PROT_WRITE : PROT_READ)) === 0) return -EINVAL;
      if (model.access(vpn + i, write) !== "ok") return -EFAULT;
    }
    return gaps ? -ENOMEM : 0;
  }

  #truncate(size: number, all: readonly ModelSpace[]): number {
    const [file] = this.#objects;
    file.truncate(size);
    for (const { pages } of all) {
      for (const page of pages.values()) if (page.object === file && page.index >= file.pages) page.own = null;
    }
    return 0;
  }

  #mremap(actor: Actor, step: Extract<Step, { op: "mremap" }>, vpn: number, said: number | string): number | string {
    const { model } = actor;
    const old = step.pages;
    const leaves = step.how === "leave behind";
    const wanted = leaves ? old : step.newPages;
    const first = model.pages.get(vpn);
    if (wanted === 0) return -EINVAL;
    if (first === undefined) return -EFAULT;
    // A second mapping of the same pages: only what was mapped as shared can have that.
    const duplicates = first.shared || !first.mayWrite;
    if (step.how === "fixed" || leaves) {
      const to = targetOf(actor, step);
      if (vpn + old > to && to + wanted > vpn) return -EINVAL;
      if (step.how === "fixed") for (let i = 0; i < wanted; i++) model.pages.delete(to + i);
      for (let i = wanted; i < old; i++) model.pages.delete(vpn + i);
      const kept = Math.min(old, wanted);
      // What was in the way may have been the very page.
      if (!model.pages.has(vpn)) return -EFAULT;
      if (kept === 0 && !duplicates) return -EINVAL;
      if (model.oneArea(vpn, kept) === "no") return -EFAULT;
      const place = leaves ? model.place(wanted) : to;
      this.#move(model, vpn, kept, place, wanted, leaves);
      return place * PAGE_SIZE;
    }
    if (wanted <= old) {
      for (let i = wanted; i < old; i++) model.pages.delete(vpn + i);
      return vpn * PAGE_SIZE;
    }
    if (old === 0 && !duplicates) return -EINVAL;
    const one = model.oneArea(vpn, Math.max(old, 1));
    if (one === "no" && old > 0) return -EFAULT;
    if (one === "maybe" && said === -EFAULT) return said;
    if (old > 0 && model.isFree(vpn + old, wanted - old)) {
      const last = model.pages.get(vpn + old - 1) as ModelPage;
      for (let i = old; i < wanted; i++) {
        model.pages.set(vpn + i, { ...last, index: last.index + 1 + i - old, own: null });
      }
      return vpn * PAGE_SIZE;
    }
    if (step.how === "in place") return -ENOMEM;
    const place = model.place(wanted);
    this.#move(model, vpn, old, place, wanted, false);
    return place * PAGE_SIZE;
  }

  #move(model: ModelSpace, from: number, count: number, to: number, wanted: number, leaves: boolean): void {
    const area = ++this.#areas;
    const source = model.pages.get(from) as ModelPage;
    for (let i = 0; i < wanted; i++) {
      const page = i < count ? (model.pages.get(from + i) as ModelPage) : source;
      const index = source.index + i;
      model.pages.set(to + i, { ...page, area, index, own: i < count ? page.own : null });
      if (i >= count) continue;
      if (leaves) page.own = null;
      else model.pages.delete(from + i);
    }
  }
}

function mprotect(model: ModelSpace, step: Extract<Step, { op: "mprotect" }>, vpn: number): number {
  for (let i = 0; i < step.pages; i++) {
    const page = model.pages.get(vpn + i);
    if (page === undefined) return -ENOMEM;
    if ((step.prot & PROT_WRITE) !== 0 && !page.mayWrite) return -EACCES;
    page.prot = step.prot;
  }
  return 0;
}

function dontneed(model: ModelSpace, vpn: number, count: number): number {
  let gaps = false;
  for (let i = 0; i < count; i++) {
    const page = model.pages.get(vpn + i);
    if (page === undefined) gaps = true;
    else page.own = null;
  }
  return gaps ? -ENOMEM : 0;
}

/** How far depends on what is resident, and mm is believed; but never further than with faults. */
function copyWithoutFaults(actor: Actor, address: number, size: number, said: string): string {
  const { model } = actor;
  const [stored, loaded] = said.split(" ").map(Number);
  if (stored > model.clone().reach(address, size, true).done) return "too much stored";
  model.store(address, stored, (to) => valueAt(actor, to));
  if (loaded > model.reach(address, size, false).done) return "too much loaded";
  return `${stored} ${known(model, address, loaded, said.replace(/^\d+ /, ""))}`;
}

/** What should have arrived; bytes that the reference does not know are taken from what mm said. */
function known(model: ModelSpace, address: number, done: number, said: string): string {
  const arrived = said.split(" ")[1]?.split(",") ?? [];
  const bytes = [...probesOf(address, done)].map(([vpn, probe], i) => {
    const byte = model.content(vpn)[probe];
    return byte === -1 ? arrived[i] : byte;
  });
  return `${done} ${bytes.join(",")} `;
}

function signal(outcome: Outcome): string {
  return outcome === "ok" ? "" : outcome;
}
