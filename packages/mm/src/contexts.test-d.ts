// What may touch user memory where: the compiler rejects each wrong pairing; tsc reports a line below that it
// would accept.
import type { MayFault, MaySleep, Ssize, Status } from "@faultline/kernel";
import {
  copyFromUser,
  copyFromUserInatomic,
  copyToUser,
  doMmap,
  FAULTS_DISABLED,
  FAULTS_ENABLED,
  faultInReadable,
  faultInSafeWriteable,
  fixupUserFault,
  getUser,
  getUserPagesFast,
  getUserPagesFastOnly,
  getUserPagesNofault,
  type MmapArgs,
  type UserAccess,
  type UserTask,
  userLoad,
} from "./index.ts";

/** Page faults are enabled, no lock is held. */
export function* mayFault(task: UserTask, at: number, args: MmapArgs): MayFault<void> {
  use(yield* copyFromUser(task, 0, at, 10));
  use(yield* faultInReadable(task, at, 10));
  use(yield* getUser(task, at));
  use(yield* getUserPagesFast(task, at, 1, 0, []));
  use(yield* doMmap(task, args));
}

/** Under a lock, with page faults disabled. */
export function* maySleep(task: UserTask, at: number): MaySleep<void> {
  use(copyFromUserInatomic(task, 0, at, 10));
  use(getUserPagesFastOnly(task, at, 1, 0, []));
  use(yield* FAULTS_DISABLED.copyFromUser(task, 0, at, 10));
  use(yield* getUser(task, at, FAULTS_DISABLED));
  use(yield* getUserPagesNofault(task, at, 1, 0, []));
  // @ts-expect-error: a copy that faults
  use(yield* copyFromUser(task, 0, at, 10));
  // @ts-expect-error: the same, the other way
  use(yield* copyToUser(task, at, 0, 10));
  // @ts-expect-error: the same, as an access
  use(yield* FAULTS_ENABLED.copyFromUser(task, 0, at, 10));
  // @ts-expect-error: one value
  use(yield* getUser(task, at));
  // @ts-expect-error: faulting in
  use(yield* faultInReadable(task, at, 10));
  // @ts-expect-error: faulting in, for writing
  use(yield* faultInSafeWriteable(task, at, 10));
  // @ts-expect-error: pages that are faulted in
  use(yield* getUserPagesFast(task, at, 1, 0, []));
  // @ts-expect-error: a fault without an access
  use(yield* fixupUserFault(task, at, 0));
  // @ts-expect-error: user mode
  use(yield* userLoad(task, 0, at, 10));
}

// @ts-expect-error: an access that faults is not one that does not
export const disabled: UserAccess<never> = FAULTS_ENABLED;

/** What was not copied is neither a count of what was, nor a status. */
export function units(task: UserTask, at: number): void {
  // @ts-expect-error: bytes not done are not bytes done
  const done: Ssize = copyFromUserInatomic(task, 0, at, 10);
  // @ts-expect-error: nor 0 or an error
  const status: Status = copyFromUserInatomic(task, 0, at, 10);
  use([done, status]);
}

function use(_result: unknown): void {}
