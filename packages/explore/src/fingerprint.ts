// A fingerprint of the trace that an execution belongs to: equal for executions that differ only in the
// order of steps that commute, and different (but for chance, 2^-53 a pair) for all others.
//
// Each event is hashed with the hashes of the events that it conflicts with and of its task's event before;
// the fingerprint is the sum over all events, which knows no order.

import { LEAVE, PASS, READ, SHARE, TAKE, UNSHARE, WRITE } from "./access.ts";
import type { Step } from "./step.ts";

/** Hashes of the latest events that changed an object or passed it, and sums over those that looked, shared or left. */
interface Latest {
  changed: number;
  passed: number;
  looked: number;
  shared: number;
  left: number;
}

/** One 32-bit lane; two with different seeds make a fingerprint. */
class Lane {
  sum = 0;
  readonly #seed: number;
  readonly #tasks = new Map<number, number>();
  readonly #objects = new Map<number, Latest>();

  constructor(seed: number) {
    this.#seed = seed;
  }

  add(step: Step): void {
    let hash = mix(mix(this.#seed, step.pid), this.#tasks.get(step.pid) ?? 0);
    for (const choice of step.choices) hash = mix(hash, choice);
    for (let i = 0; i < step.accesses.length; i += 2) {
      hash = mixNumber(hash, step.accesses[i]);
      hash = mix(mix(hash, step.accesses[i + 1]), before(this.#object(step.accesses[i]), step.accesses[i + 1]));
    }
    this.#tasks.set(step.pid, hash);
    for (let i = 0; i < step.accesses.length; i += 2) {
      note(this.#object(step.accesses[i]), step.accesses[i + 1], hash);
    }
    this.sum = (this.sum + mix(hash, hash)) | 0;
  }

  #object(object: number): Latest {
    let latest = this.#objects.get(object);
    if (latest === undefined) {
      latest = { changed: 0, passed: 0, looked: 0, shared: 0, left: 0 };
      this.#objects.set(object, latest);
    }
    return latest;
  }
}

/** The events on an object that a deed conflicts with. */
function before({ changed, passed, looked, shared, left }: Latest, deed: number): number {
  switch (deed) {
    case READ:
      return (changed + shared + left) | 0;
    case WRITE:
      return (changed + passed + looked + shared + left) | 0;
    case TAKE:
      return (changed + passed + looked + shared) | 0;
    case SHARE:
      return (changed + passed + looked) | 0;
    case PASS:
      return (changed + passed + shared) | 0;
    default:
      return (changed + looked) | 0;
  }
}

function note(latest: Latest, deed: number, hash: number): void {
  if (deed === WRITE || deed === TAKE) {
    latest.changed = hash;
    latest.passed = 0;
    latest.looked = 0;
    latest.shared = 0;
    latest.left = 0;
  } else if (deed === READ) {
    latest.looked = (latest.looked + hash) | 0;
  } else if (deed === SHARE) {
    latest.shared = (latest.shared + hash) | 0;
  } else if (deed === PASS) {
    latest.passed = hash;
  } else if (deed === LEAVE || deed === UNSHARE) {
    latest.left = (latest.left + hash) | 0;
  }
}

export class Fingerprint {
  readonly #high = new Lane(0x2545f491);
  readonly #low = new Lane(0x5bd1e995);

  add(step: Step): void {
    this.#high.add(step);
    this.#low.add(step);
  }

  /** 53 bits. */
  get value(): number {
    return (this.#high.sum >>> 0) * 0x200000 + (this.#low.sum >>> 11);
  }
}

/** The fingerprint of an execution as a whole. */
export function fingerprint(steps: readonly Step[]): number {
  const print = new Fingerprint();
  for (const step of steps) print.add(step);
  return print.value;
}

/** The finalizer of MurmurHash3, over two words. */
function mix(a: number, b: number): number {
  let hash = Math.imul(a ^ Math.imul(b, 0xcc9e2d51), 0x1b873593) + 0x165667b1;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

function mixNumber(hash: number, value: number): number {
  return mix(mix(hash, value >>> 0), Math.floor(value / 0x100000000));
}
