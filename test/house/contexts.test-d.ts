// The compiler rejects each wrong pairing of contexts; tsc reports a line below that it would accept.
import {
  bytes,
  EFAULT,
  type Errno,
  err,
  type MayFault,
  type MaySleep,
  PREEMPT,
  type Sleep,
  type Ssize,
  type Uncopied,
  USER_FAULT,
  uncopied,
} from "@faultline/kernel";

function* sleeps(): MaySleep<void> {
  yield PREEMPT;
}

function* faults(): MayFault<Uncopied> {
  yield USER_FAULT;
  return uncopied(0);
}

export function* mayFault(): MayFault<Ssize> {
  yield* sleeps();
  if ((yield* faults()) > 0) return err(EFAULT);
  return bytes(0);
}

export function* maySleep(): MaySleep<Ssize> {
  yield* sleeps();
  // @ts-expect-error: a fault while faults are disabled
  if ((yield* faults()) > 0) return err(EFAULT);
  // @ts-expect-error: the same, by hand
  yield USER_FAULT;
  return bytes(0);
}

/** Generic in what the user access may yield, like the paths that both worlds share. */
function* withAccess<Y>(access: () => Generator<Y, Uncopied, void>): Generator<Sleep | Y, Uncopied, void> {
  yield PREEMPT;
  return yield* access();
}

export function* genericMayFault(): MayFault<Uncopied> {
  return yield* withAccess(faults);
}

export function* genericMaySleep(): MaySleep<Uncopied> {
  // @ts-expect-error: the access that is handed in faults
  return yield* withAccess(faults);
}

// @ts-expect-error: bytes not done are not bytes done
export const done: Ssize = uncopied(0);
// @ts-expect-error: a bare number has no unit
export const bare: Uncopied = 0;
// @ts-expect-error: a bare number is not an error
export const code: Errno = -14;
