// What may call what: the compiler rejects each wrong pairing; tsc reports a line below that it would accept.
import type { Bytes, MayFault, MaySleep, Pfn, Sleep } from "@faultline/kernel";
import { FAULTS_DISABLED, FAULTS_ENABLED, type UserAccess, type UserTask } from "@faultline/mm";
import {
  copyFromIterFull,
  copyPageFromIter,
  copyPageFromIterAtomic,
  copyPageToIter,
  copyToIter,
  faultInIovIterReadable,
  faultInIovIterWriteable,
  finishCopyPageToIter,
  GRAB_FAULTING,
  GRAB_NOFAULT,
  type IovIter,
  iovecFromUser,
  iovIterExtractPages,
  iovIterFaultInReadable,
  iovIterFaultInWriteable,
  iovIterGetPages2,
  iovIterZero,
  tryCopyPageToIter,
} from "./index.ts";

/** Page faults are enabled, no lock is held. */
export function* mayFault(task: UserTask, page: Pfn, i: IovIter): MayFault<Bytes> {
  use(yield* faultInIovIterReadable(task, i, 10));
  yield* copyPageToIter(task, page, 0, 10, i, FAULTS_ENABLED);
  yield* copyToIter(task, 0, 10, i, FAULTS_DISABLED);
  yield* iovIterGetPages2(task, i, 10, 1, GRAB_FAULTING);
  yield* iovIterGetPages2(task, i, 10, 1, GRAB_NOFAULT);
  return copyPageFromIterAtomic(task, page, 0, 10, i);
}

/** Under a lock, with page faults disabled. */
export function* maySleep(task: UserTask, page: Pfn, i: IovIter): MaySleep<Bytes> {
  yield* copyPageToIter(task, page, 0, 10, i, FAULTS_DISABLED);
  yield* copyPageFromIter(task, page, 0, 10, i, FAULTS_DISABLED);
  yield* copyFromIterFull(task, 0, 10, i, FAULTS_DISABLED);
  yield* iovIterZero(task, 10, i, FAULTS_DISABLED);
  use(yield* iovecFromUser(task, 0, 1, FAULTS_DISABLED));
  yield* iovIterGetPages2(task, i, 10, 1, GRAB_NOFAULT);
  yield* iovIterExtractPages(task, i, 10, 1, GRAB_NOFAULT);
  use(yield* faultInIovIterReadable(task, i, 10, FAULTS_DISABLED));
  use(yield* iovIterFaultInReadable(task, i, 10, FAULTS_DISABLED));
  // @ts-expect-error: a copy that faults
  yield* copyPageToIter(task, page, 0, 10, i, FAULTS_ENABLED);
  // @ts-expect-error: what finishes one
  yield* finishCopyPageToIter(task, page, 0, 10, i, FAULTS_ENABLED, 5);
  // @ts-expect-error: zeroing that faults
  yield* iovIterZero(task, 10, i, FAULTS_ENABLED);
  // @ts-expect-error: pages that are faulted in
  yield* iovIterGetPages2(task, i, 10, 1, GRAB_FAULTING);
  // @ts-expect-error: faulting in
  use(yield* faultInIovIterReadable(task, i, 10));
  // @ts-expect-error: faulting in, for writing
  use(yield* faultInIovIterWriteable(task, i, 10));
  // @ts-expect-error: the old kind
  use(yield* iovIterFaultInReadable(task, i, 10));
  // @ts-expect-error: and the one of the v4 patch
  use(yield* iovIterFaultInWriteable(task, i, 10));
  return copyPageFromIterAtomic(task, page, 0, 10, i);
}

/** Code shared by both worlds may do what its access may do. */
export function* shared<Y>(
  task: UserTask,
  page: Pfn,
  i: IovIter,
  user: UserAccess<Y>,
): Generator<Sleep | Y, Bytes, void> {
  const done = tryCopyPageToIter(task, page, 0, 10, i, user);
  return done === 10 ? done : yield* finishCopyPageToIter(task, page, 0, 10, i, user, done);
}

/** A caller of atomic code only. */
export function atomic(task: UserTask, page: Pfn, i: IovIter): number {
  return copyPageFromIterAtomic(task, page, 0, 10, i) + tryCopyPageToIter(task, page, 0, 10, i, FAULTS_DISABLED);
}

function use(_result: unknown): void {}
