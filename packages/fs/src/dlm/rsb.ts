// struct dlm_rsb: one resource, with the locks that are granted on it, those that are granted and ask for another
// mode, and those that are not granted yet. Each queue is first come, first served; conversions go before new
// requests. Rules and their order follow fs/dlm/lock.c, where they are numbered after the VMS manual.

import { EAGAIN, EDEADLK, err } from "@faultline/kernel";
import { DLM_LKF_NOQUEUE, DLM_LKF_NOQUEUEBAST, DLM_LKF_QUECVT, type Lkb } from "./lkb.ts";
import { DLM_LOCK_CW, DLM_LOCK_EX, DLM_LOCK_IV, DLM_LOCK_PR, dlmModesCompat } from "./modes.ts";

/** What a resource tells the nodes; messages take their time. */
export interface RsbMessages {
  /** A request is answered: 0, -EAGAIN, or -EDEADLK. */
  ast(lkb: Lkb, status: number): void;
  /** Somebody waits for `mode`. */
  bast(lkb: Lkb, mode: number): void;
}

export class Rsb {
  /** Number within the world, for access logs. */
  readonly id: number;
  readonly name: string;
  /** The node that keeps the queues. */
  master: number;
  readonly #messages: RsbMessages;
  /** Linux: res_grantqueue, res_convertqueue, res_waitqueue */
  readonly #granted: Lkb[] = [];
  readonly #converting: Lkb[] = [];
  readonly #waiting: Lkb[] = [];

  constructor(id: number, name: string, master: number, messages: RsbMessages) {
    this.id = id;
    this.name = name;
    this.master = master;
    this.#messages = messages;
  }

  /** A lock that nobody has yet, or another mode for one that is granted. Context: atomic. */
  request(lkb: Lkb): void {
    if (lkb.granted === DLM_LOCK_IV) this.#requestNew(lkb);
    else this.#convert(lkb);
  }

  /** Linux: do_request() */
  #requestNew(lkb: Lkb): void {
    if (this.#canBeGranted(lkb, true)) this.#grant(lkb, this.#waiting);
    else if (!this.#refuse(lkb)) this.#enqueue(lkb, this.#waiting);
  }

  /** Linux: do_convert() */
  #convert(lkb: Lkb): void {
    if (this.#canBeGranted(lkb, true)) {
      this.#grant(lkb, this.#converting);
      this.#grantPending();
    } else if (this.#refuse(lkb)) {
      return;
    } else if (this.#wouldDeadlock(lkb)) {
      this.#answer(lkb, err(EDEADLK));
    } else {
      take(this.#granted, lkb);
      this.#enqueue(lkb, this.#converting);
    }
  }

  /** A request that does not want to wait fails. Returns: true when it did. */
  #refuse(lkb: Lkb): boolean {
    if ((lkb.flags & DLM_LKF_NOQUEUE) === 0) return false;
    if ((lkb.flags & DLM_LKF_NOQUEUEBAST) !== 0) this.#sendBasts([...this.#granted, ...this.#converting], lkb);
    this.#answer(lkb, err(EAGAIN));
    return true;
  }

  #answer(lkb: Lkb, status: number): void {
    lkb.requested = DLM_LOCK_IV;
    this.#messages.ast(lkb, status);
  }

  #enqueue(lkb: Lkb, queue: Lkb[]): void {
    queue.push(lkb);
    this.#sendBasts(this.#granted, lkb);
  }

  /** Linux: grant_lock() */
  #grant(lkb: Lkb, from: Lkb[]): void {
    take(from, lkb);
    if (!this.#granted.includes(lkb)) this.#granted.push(lkb);
    lkb.granted = lkb.requested;
    lkb.highestBast = DLM_LOCK_IV;
    this.#answer(lkb, 0);
  }

  /** `now`: it has just come, and stands in no queue yet. Linux: _can_be_granted() */
  #canBeGranted(lkb: Lkb, now: boolean): boolean {
    if (this.#conflicts(this.#granted, lkb) || this.#conflicts(this.#converting, lkb)) return false;
    if (lkb.granted !== DLM_LOCK_IV) {
      if (!now) return this.#converting[0] === lkb;
      return (lkb.flags & DLM_LKF_QUECVT) === 0 || this.#converting.length === 0;
    }
    if (this.#converting.length > 0) return false;
    return now ? this.#waiting.length === 0 : this.#waiting[0] === lkb;
  }

  /** Linux: queue_conflict() */
  #conflicts(queue: readonly Lkb[], lkb: Lkb): boolean {
    return queue.some((other) => other !== lkb && !dlmModesCompat(other.granted, lkb.requested));
  }

  /**
   * Two conversions each of which is kept out by the mode that the other has: neither would ever be granted. The
   * one that came last is refused, and may ask again when it has let go. Linux: conversion_deadlock_detect()
   */
  #wouldDeadlock(lkb: Lkb): boolean {
    return this.#converting.some((earlier) => !dlmModesCompat(lkb.granted, earlier.requested));
  }

  /** Linux: send_bast_queue() */
  #sendBasts(queue: readonly Lkb[], waiter: Lkb): void {
    for (const lkb of queue) {
      if (lkb === waiter || dlmModesCompat(lkb.granted, waiter.requested)) continue;
      if (lkb.highestBast < waiter.requested) this.#bast(lkb, waiter.requested, waiter.requested);
    }
  }

  #bast(lkb: Lkb, mode: number, highest: number): void {
    lkb.highestBast = highest;
    this.#messages.bast(lkb, mode);
  }

  /** Something was let go: grant what can be granted now, and remind those in the way of the rest. Linux: grant_pending_locks() */
  #grantPending(): void {
    for (const queue of [this.#converting, this.#waiting]) {
      for (let first = queue[0]; first !== undefined && this.#canBeGranted(first, false); first = queue[0]) {
        this.#grant(first, queue);
      }
    }
    const left = [...this.#converting, ...this.#waiting].map(({ requested }) => requested);
    if (left.length === 0) return;
    const highest = Math.max(...left);
    // PR is the higher number, but a holder of PR is in the way only of whoever wants CW.
    const concurrentWrite = left.includes(DLM_LOCK_CW);
    for (const lkb of [...this.#granted]) {
      if (concurrentWrite && lkb.granted === DLM_LOCK_PR) {
        if (lkb.highestBast < DLM_LOCK_EX) this.#bast(lkb, highest === DLM_LOCK_PR ? DLM_LOCK_CW : highest, highest);
      } else if (lkb.highestBast < highest && !dlmModesCompat(lkb.granted, highest)) {
        this.#bast(lkb, highest, highest);
      }
    }
  }

  /** A node is gone: so are its locks and requests. Context: atomic. Linux: dlm_purge_locks() */
  purge(node: number): void {
    for (const queue of [this.#granted, this.#converting, this.#waiting]) {
      for (const lkb of queue.filter((each) => each.node === node)) take(queue, lkb);
    }
    this.#grantPending();
  }

  /** Locks of other nodes that have to go, or change, before this request is granted. For reports. */
  inTheWayOf(lkb: Lkb): Lkb[] {
    const incompatible = [...this.#granted, ...this.#converting].filter(
      (other) => other !== lkb && !dlmModesCompat(other.granted, lkb.requested),
    );
    return incompatible.length > 0 ? incompatible : this.#aheadOf(lkb);
  }

  #aheadOf(lkb: Lkb): Lkb[] {
    const line = [...this.#converting, ...this.#waiting];
    return line.slice(0, Math.max(0, line.indexOf(lkb)));
  }

  /** The nodes that have or want a lock on it. */
  nodes(): number[] {
    return [...this.#granted, ...this.#converting, ...this.#waiting].map(({ node }) => node);
  }
}

function take(queue: Lkb[], lkb: Lkb): void {
  const index = queue.indexOf(lkb);
  if (index >= 0) queue.splice(index, 1);
}
