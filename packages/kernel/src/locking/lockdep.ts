// Lock order, learned from every run, hang or no hang (kernel/locking/lockdep.c).
//
// Locks that obey one rule share a class. Taking class B while holding class A is an edge A -> B; an edge
// that closes a cycle means that some schedule may deadlock, and is reported once. MAY_FAULT is a class of
// its own: user memory touched with faults enabled takes it, and a fault handler holds it while it works.
// A lock that was taken by trying nobody waited for: what was held before it is no edge, what comes after is.

import { kernelFrames } from "../sched/stack.ts";
import type { Task } from "../sched/task.ts";
import type { Lock } from "./lock.ts";

/** The class of "this may take a user page fault". */
export const MAY_FAULT = "may_fault";

export interface LockEdge {
  readonly from: string;
  readonly to: string;
  /** Who took `to` while holding `from` first, and its call chain, innermost first. */
  readonly comm: string;
  readonly frames: readonly string[];
}

/** A cycle in the order of lock classes: the `to` of each edge is the `from` of the next. */
export interface LockCycle {
  readonly edges: readonly LockEdge[];
}

export class Lockdep {
  readonly #edges = new Map<string, Map<string, LockEdge>>();
  readonly #cycles: LockCycle[] = [];
  /** Fault handlers in progress, by task: they hold MAY_FAULT, and the classes held when they began. */
  readonly #faulting = new Map<Task, number>();

  /** Cycles found so far, in the order in which they were closed. */
  get cycles(): readonly LockCycle[] {
    return this.#cycles;
  }

  /** Every edge of the order graph. */
  get edges(): LockEdge[] {
    return [...this.#edges.values()].flatMap((to) => [...to.values()]);
  }

  /** `task` takes `lock`; called before the lock joins task.held. */
  acquire(task: Task, lock: Lock, _mode: string): void {
    if (this.#faulting.has(task)) this.#edge(task, MAY_FAULT, lock.lockClass);
    for (const held of task.held) this.#edge(task, held.lock.lockClass, lock.lockClass);
  }

  /** `task` touches user memory with page faults enabled, whether or not it is resident. Linux: might_fault() */
  mightFault(task: Task): void {
    for (const held of task.held) this.#edge(task, held.lock.lockClass, MAY_FAULT);
  }

  /** The fault handler of `task` begins; it nests. */
  enterFault(task: Task): void {
    this.mightFault(task);
    this.#faulting.set(task, (this.#faulting.get(task) ?? 0) + 1);
  }

  exitFault(task: Task): void {
    const depth = (this.#faulting.get(task) ?? 1) - 1;
    if (depth === 0) this.#faulting.delete(task);
    else this.#faulting.set(task, depth);
  }

  #edge(task: Task, from: string, to: string): void {
    let out = this.#edges.get(from);
    if (out === undefined) {
      out = new Map();
      this.#edges.set(from, out);
    }
    if (out.has(to)) return;
    const edge: LockEdge = { from, to, comm: task.comm, frames: kernelFrames() };
    const back = from === to ? [] : this.#path(to, from, new Set());
    out.set(to, edge);
    if (back !== null) this.#cycles.push({ edges: [edge, ...back] });
  }

  /** Edges that lead from one class to another, or null. */
  #path(from: string, to: string, seen: Set<string>): LockEdge[] | null {
    if (seen.has(from)) return null;
    seen.add(from);
    for (const edge of this.#edges.get(from)?.values() ?? []) {
      if (edge.to === to) return [edge];
      const rest = this.#path(edge.to, to, seen);
      if (rest !== null) return [edge, ...rest];
    }
    return null;
  }
}
