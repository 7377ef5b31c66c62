// struct dlm_lkb: one node's lock on one resource, as granted and as asked for.

import type { Task } from "@faultline/kernel";
import { DLM_LOCK_IV } from "./modes.ts";
import type { Rsb } from "./rsb.ts";

// Request flags (include/uapi/linux/dlmconstants.h).
/** Grant now or fail with -EAGAIN. */
export const DLM_LKF_NOQUEUE = 0x1;
/** Even if it failed, tell those in the way. */
export const DLM_LKF_NOQUEUEBAST = 0x20;
/** A conversion stands in line behind those that came before, instead of going first when it can. */
export const DLM_LKF_QUECVT = 0x10;

/** What the node that has the lock does. */
export interface LkbOwner {
  /** Another node waits, and asked for `mode`. Context: atomic. */
  blockingAst(mode: number): void;
  /** Tasks that keep the node from letting go. For reports. */
  heldBackBy(): readonly Task[];
}

export class Lkb {
  /** Number of the node. */
  readonly node: number;
  readonly resource: Rsb;
  readonly owner: LkbOwner;
  granted: number = DLM_LOCK_IV;
  /** DLM_LOCK_IV = it asks for nothing. */
  requested: number = DLM_LOCK_IV;
  /** DLM_LKF_* of the request. */
  flags = 0;
  /** The strongest mode that the node was told others wait for, since the last grant. */
  highestBast: number = DLM_LOCK_IV;
  /** Answer to the request under way: 0, -EAGAIN or -EDEADLK. */
  complete: (status: number) => void = nobodyAsked;

  constructor(node: number, resource: Rsb, owner: LkbOwner) {
    this.node = node;
    this.resource = resource;
    this.owner = owner;
  }
}

function nobodyAsked(): void {}
