// Random histories of one machine, each step taken by mm and by the reference. Whatever the two say
// differently is an error that names the step.

import { errnoName, type MayFault, PAGE_SIZE } from "@faultline/kernel";
import {
  checkMm,
  dupMm,
  type MmStruct,
  mmput,
  PROT_READ,
  PROT_WRITE,
  pageOf,
  UserTask,
  VM_EXEC,
  VM_READ,
  VM_WRITE,
} from "../index.ts";
import { act, SKIPPED } from "./act.ts";
import { MemoryFile, patternAt } from "./memory-file.ts";
import { ModelObject, PROBES } from "./model.ts";
import { Reference } from "./reference.ts";
import { Rig, type RigOptions } from "./rig.ts";
import { type Actor, actorOf, BUFFER_PAGES, isPartOf, type Stage, WINDOW, WINDOW_STRIDE } from "./stage.ts";
import type { Deed, Step } from "./steps.ts";

export class Histories {
  readonly rig: Rig;
  readonly stage: Stage;
  /** Live actors. */
  readonly actors: Actor[];
  readonly #reference: Reference;
  /** Buffers of all actors there ever were. */
  readonly #buffers = new Set<number>();

  constructor(options: RigOptions & { readonly latency?: number } = {}) {
    this.rig = new Rig({ memory: 400 * PAGE_SIZE, ...options });
    const latency = options.latency ?? 0;
    const { mem } = this.rig;
    const files: Stage["files"] = [
      new MemoryFile(mem, 5 * PAGE_SIZE + 3000, { latency, room: 40960 }),
      new MemoryFile(mem, 8 * PAGE_SIZE, { latency, around: false }),
    ];
    this.stage = { mem, files };
    const [a, b] = files.map((file) => new ModelObject(file.size, patternAt));
    this.#reference = new Reference(this.rig.mm.revision, [a, b]);
    this.actors = [actorOf(this.rig.task, mem, this.rig.buffer)];
  }

  /** One more task in the first address space, with a window of its own. */
  addThread(): Actor {
    const task = new UserTask(this.rig.world, `thread ${this.actors.length}`, this.rig.mm);
    const actor = actorOf(task, this.rig.mem, 0, WINDOW + this.actors.length * WINDOW_STRIDE);
    this.#buffers.add(actor.buffer);
    this.actors.push(actor);
    return actor;
  }

  /** Take one step on both sides. Throws when they differ. */
  do({ by, step }: Deed): void {
    const actor = this.actors[by % this.actors.length];
    this.rig.run(this.doStep(actor, step), actor.task);
  }

  *doStep(actor: Actor, step: Step): MayFault<void> {
    actor.seed = (actor.seed * 31 + 17) & 0xff;
    const vpn = Reference.placeOf(actor, step);
    const said = yield* this.#act(actor, step);
    const spaces = this.actors.map(({ model }) => model);
    const wanted = this.#reference.act(actor, step, vpn, said, spaces);
    if (said !== wanted) throw new Error(`mm says ${show(said)}, the reference says ${show(wanted)}`);
  }

  /** Take one step and do not look at what comes of it. */
  suffer({ by, step }: Deed): void {
    const actor = this.actors[by % this.actors.length];
    this.rig.run(this.#act(actor, step), actor.task);
  }

  *#act(actor: Actor, step: Step): MayFault<number | string> {
    if (step.op === "fork") return this.actors.length < 4 ? yield* this.#fork(actor) : SKIPPED;
    if (step.op !== "exit") return yield* act(this.stage, actor, step);
    if (this.actors.length < 2) return SKIPPED;
    mmput(actor.task);
    this.actors.splice(this.actors.indexOf(actor), 1);
    return 0;
  }

  *#fork(parent: Actor): MayFault<number> {
    const mm: MmStruct | number = yield* dupMm(parent.task);
    if (typeof mm === "number") return mm;
    const task = new UserTask(this.rig.world, "child", mm);
    this.actors.push({ ...parent, task, model: parent.model.clone() });
    return 0;
  }

  /** Compare everything that can be seen. Throws when the sides differ, or mm contradicts itself. */
  compare(): void {
    this.consistent();
    for (const [i, actor] of this.actors.entries()) {
      const { model } = actor;
      const wanted = list([...model.pages].map(([vpn, page]) => [vpn, page.prot]));
      const mapped = list(mappedBy(actor));
      if (mapped !== wanted) throw new Error(`space ${i} maps\n  ${mapped}\nand should map\n  ${wanted}`);
      for (const vpn of model.pages.keys()) this.#compareBytes(i, vpn);
    }
    this.consistent();
  }

  #compareBytes(space: number, vpn: number): void {
    const { task, model } = this.actors[space];
    const outcome = model.access(vpn, false);
    for (const [probe, offset] of PROBES.entries()) {
      const said = this.rig.load(vpn * PAGE_SIZE + offset, task);
      const wanted = outcome === "ok" ? model.content(vpn)[probe] : outcome;
      if (wanted !== -1 && said !== wanted) {
        throw new Error(`space ${space}, byte ${offset} of page ${name(vpn)} is ${said}, the reference says ${wanted}`);
      }
    }
  }

  /** Throws when mm contradicts itself. */
  consistent(): void {
    const held = new Map(this.rig.bufferPages.map((page) => [page as number, 1]));
    for (const buffer of this.#buffers) {
      for (let i = 0; i < BUFFER_PAGES; i++) held.set(pageOf(buffer) + i, 1);
    }
    const spaces = new Set(this.actors.map(({ task }) => task.mm));
    const problems = checkMm([...spaces], held);
    if (problems.length > 0) throw new Error(problems.join("\n"));
    for (const { mmapLock } of spaces) if (!mmapLock.isFree()) throw new Error("mmap_lock is held");
  }
}

/** The pages that an actor has mapped, and their access. */
function mappedBy(actor: Actor): [number, number][] {
  const mapped: [number, number][] = [];
  for (const { start, end, flags } of actor.task.mm.vmas.values()) {
    if ((flags & VM_EXEC) !== 0) throw new Error("an area has become executable");
    const access = ((flags & VM_READ) !== 0 ? PROT_READ : 0) | ((flags & VM_WRITE) !== 0 ? PROT_WRITE : 0);
    for (let vpn = start / PAGE_SIZE; vpn < end / PAGE_SIZE; vpn++) {
      if (isPartOf(actor, vpn)) mapped.push([vpn, access]);
    }
  }
  return mapped;
}

function list(pages: readonly (readonly [number, number])[]): string {
  const sorted = [...pages].sort((a, b) => a[0] - b[0]);
  return sorted.map(([vpn, access]) => `${name(vpn)}:${access}`).join(" ");
}

function show(result: number | string): string {
  if (typeof result === "string") return `"${result}"`;
  return result < 0 ? `-${errnoName(result)}` : result > 0xffff ? `0x${result.toString(16)}` : String(result);
}

function name(vpn: number): string {
  return vpn >= WINDOW && vpn < WINDOW + 4 * WINDOW_STRIDE ? `+${vpn - WINDOW}` : `0x${(vpn * PAGE_SIZE).toString(16)}`;
}
