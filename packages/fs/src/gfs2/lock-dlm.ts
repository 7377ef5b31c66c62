// Glocks between nodes: states of glocks as modes of the distributed lock manager (fs/gfs2/lock_dlm.c).

import { EAGAIN, EDEADLK, err, type Task } from "@faultline/kernel";
import type { Dlm } from "../dlm/dlm.ts";
import { DLM_LKF_NOQUEUE, DLM_LKF_NOQUEUEBAST, DLM_LKF_QUECVT, type Lkb } from "../dlm/lkb.ts";
import { DLM_LOCK_CW, DLM_LOCK_EX, DLM_LOCK_NL, DLM_LOCK_PR } from "../dlm/modes.ts";
import type { Glock } from "./glock.ts";
import { gfs2GlockCb } from "./glock-demote.ts";
import { TRY } from "./glock-promote.ts";
import { LM_FLAG_TRY_1CB, LM_OUT_ERROR, LM_ST_DEFERRED, LM_ST_EXCLUSIVE, LM_ST_SHARED, LM_ST_UNLOCKED } from "./lm.ts";
import type { LockManager } from "./lock-space.ts";

/** By LM_ST_*. Linux: make_mode() */
const MODES: readonly number[] = [DLM_LOCK_NL, DLM_LOCK_EX, DLM_LOCK_CW, DLM_LOCK_PR];

/** One node's part. */
export class LockDlm implements LockManager {
  readonly name = "lock_dlm";
  readonly clustered = true;
  readonly #dlm: Dlm;
  readonly #node: number;
  /** Linux: gl_lksb */
  readonly #locks = new Map<Glock, Lkb>();

  constructor(dlm: Dlm) {
    this.#dlm = dlm;
    this.#node = dlm.join();
  }

  /** Linux: gdlm_lock() */
  lock(glock: Glock, state: number, flags: number, complete: (reply: number) => void): number {
    const lkb = this.#locks.get(glock) ?? this.#open(glock);
    let answer = -1;
    let asked = true;
    this.#dlm.lock(lkb, MODES[state], makeFlags(glock, state, flags), (status) => {
      const reply = replyOf(glock, state, status);
      if (asked) answer = reply;
      else complete(reply);
    });
    asked = false;
    return answer;
  }

  #open(glock: Glock): Lkb {
    const lkb = this.#dlm.open(this.#node, `${glock.ops.type} ${glock.number}`, {
      blockingAst: (mode) => gfs2GlockCb(glock, demoteTo(mode)),
      heldBackBy: () => glock.heldBackBy(),
    });
    this.#locks.set(glock, lkb);
    return lkb;
  }

  blockers(glock: Glock): readonly Task[] {
    const lkb = this.#locks.get(glock);
    if (lkb === undefined) return [];
    return lkb.resource.inTheWayOf(lkb).flatMap(({ owner }) => owner.heldBackBy());
  }

  leave(recover: () => void): void {
    this.#dlm.leave(this.#node, recover);
  }
}

/** Linux: make_flags() */
function makeFlags(glock: Glock, state: number, flags: number): number {
  if ((flags & TRY) !== 0) return DLM_LKF_NOQUEUE | ((flags & LM_FLAG_TRY_1CB) !== 0 ? DLM_LKF_NOQUEUEBAST : 0);
  // Conversions that take more wait their turn; those that give something up need not.
  return state === LM_ST_UNLOCKED || glock.state === LM_ST_EXCLUSIVE ? 0 : DLM_LKF_QUECVT;
}

/** What the glock makes of the answer: when it did not get the state, it still has the old one. Linux: gdlm_ast() */
function replyOf(glock: Glock, wanted: number, status: number): number {
  if (status === 0) return wanted;
  return status === err(EAGAIN) || status === err(EDEADLK) ? glock.state : glock.state | LM_OUT_ERROR;
}

/** What this node's lock has to become when another one wants that mode. Linux: gdlm_bast() */
function demoteTo(mode: number): number {
  if (mode === DLM_LOCK_EX) return LM_ST_UNLOCKED;
  return mode === DLM_LOCK_CW ? LM_ST_DEFERRED : LM_ST_SHARED;
}
