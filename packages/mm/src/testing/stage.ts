// Where random histories play: one memory, two files, and actors who each have a part of an address space and
// a reference of what it holds.

import { PAGE_SIZE } from "@faultline/kernel";
import { type PhysMem, pageAddress, type UserTask } from "../index.ts";
import type { MemoryFile } from "./memory-file.ts";
import { ModelSpace } from "./model.ts";
import { type Step, WINDOW_PAGES } from "./steps.ts";

/** Where fixed mappings go: far from what mmap chooses by itself. */
export const WINDOW: number = 0x10000000 / PAGE_SIZE;

/** Someone who takes steps. */
export interface Actor {
  readonly task: UserTask;
  /** What the actor's memory should hold; not kept when nobody compares. */
  readonly model: ModelSpace;
  /** First page of the actor's window. */
  readonly window: number;
  /** Physical address of 5 pages: the kernel's side of copies. */
  readonly buffer: number;
  /** Changes what is stored from step to step. */
  seed: number;
}

export interface Stage {
  readonly mem: PhysMem;
  readonly files: readonly [MemoryFile, MemoryFile];
}

/** Pages of an actor's buffer. */
export const BUFFER_PAGES = 6;

export function actorOf(task: UserTask, mem: PhysMem, buffer: number, window: number = WINDOW): Actor {
  return { task, model: new ModelSpace(), window, buffer: buffer !== 0 ? buffer : newBuffer(mem), seed: 0 };
}

function newBuffer(mem: PhysMem): number {
  const pages = Array.from({ length: BUFFER_PAGES }, () => mem.tryAllocPage(true));
  return pageAddress(pages[0]);
}

/** The page that a step names: mostly one that is mapped in the actor's part, else any of the window. */
export function placeOf(actor: Actor, step: Step & { readonly at: number }): number {
  if (step.op === "mmap" || step.at % 4 === 0) return actor.window + (step.at >> 2);
  const mapped: number[] = [];
  for (const vma of actor.task.mm.vmas.values()) {
    if (!isPartOf(actor, vma.start / PAGE_SIZE)) continue;
    for (let vpn = vma.start / PAGE_SIZE; vpn < vma.end / PAGE_SIZE; vpn++) mapped.push(vpn);
  }
  return mapped.length === 0 ? actor.window + (step.at >> 2) : mapped[step.at % mapped.length];
}

/** Does the page belong to this actor? Whoever has a space alone has all of it. */
export function isPartOf(actor: Actor, vpn: number): boolean {
  if (actor.task.mm.users === 1) return true;
  return vpn >= actor.window && vpn < actor.window + WINDOW_STRIDE;
}

/** Pages from one window to the next. */
export const WINDOW_STRIDE: number = 8 * WINDOW_PAGES;

/** Where a step moves memory to. */
export function targetOf(actor: Actor, step: Extract<Step, { op: "mremap" }>): number {
  return step.how === "fixed" ? actor.window + (step.to >> 2) : 0;
}

/** The byte that a step stores at an address. */
export function valueAt(actor: Actor, address: number): number {
  return (address * 13 + Math.floor(address / 256) + actor.seed) & 0xff;
}
