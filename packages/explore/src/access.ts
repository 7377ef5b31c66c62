// What a step did to shared objects, and which of these deeds do not commute.
//
// A list of accesses is flat: object, deed, object, deed, ... in the order in which they happened.

export type Accesses = readonly number[];

export const READ = 0;
export const WRITE = 1;
/** Took a lock for itself alone. */
export const TAKE = 2;
/** Took a lock together with others. */
export const SHARE = 3;
/** Let go of a lock that it had alone. */
export const LEAVE = 4;
/** Let go of a share of a lock. */
export const UNSHARE = 5;
/** Took a lock for itself alone and let it go again, in one step: who only looks at the lock never sees that. */
export const PASS = 6;

/**
 * Deed -> the deeds it conflicts with, one bit each.
 *
 * A release commutes with every attempt that succeeds, because it cannot be next to one that it makes
 * possible in any other order; it conflicts with looking at the lock, which is what a failed trylock does.
 */
export const CONFLICTS: readonly number[] = [
  bits(WRITE, TAKE, SHARE, LEAVE, UNSHARE),
  bits(READ, WRITE, TAKE, SHARE, LEAVE, UNSHARE, PASS),
  bits(READ, WRITE, TAKE, SHARE, PASS),
  bits(READ, WRITE, TAKE, PASS),
  bits(READ, WRITE),
  bits(READ, WRITE),
  bits(WRITE, TAKE, SHARE, PASS),
];

function bits(...deeds: number[]): number {
  return deeds.reduce((mask, deed) => mask | (1 << deed), 0);
}

/** Do two steps fail to commute? */
export function conflict(a: Accesses, b: Accesses): boolean {
  for (let i = 0; i < a.length; i += 2) {
    for (let j = 0; j < b.length; j += 2) {
      if (a[i] === b[j] && ((CONFLICTS[a[i + 1]] >> b[j + 1]) & 1) !== 0) return true;
    }
  }
  return false;
}
