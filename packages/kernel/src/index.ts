/**
 * The ground that the model stands on: errors and units, tasks that sleep and fault, locks and their order,
 * choices and schedules, traces, verdicts. Knows nothing of memory or files.
 *
 * Nothing here is global: a World holds all state, and every function takes the task that calls it.
 */

export { bugOn, KernelBug } from "./bug.ts";
export { checkInstance, checkInteger } from "./check-args.ts";
export * from "./errno.ts";
export { ERRNO, err, errnoName, ignoreResult, isErr } from "./errno-name.ts";
export { Lock, lockAcquired, lockReleased } from "./locking/lock.ts";
export { type LockCycle, Lockdep, type LockEdge, MAY_FAULT } from "./locking/lockdep.ts";
export { Mutex, mutexLock, mutexLockNow, mutexTrylock, mutexUnlock } from "./locking/mutex.ts";
export {
  downgradeWrite,
  downRead,
  downReadNow,
  downReadTrylock,
  downWrite,
  downWriteNow,
  downWriteTrylock,
  RwSemaphore,
  upRead,
  upWrite,
} from "./locking/rwsem.ts";
export { type AccessLog, partOf, wholeOf } from "./sched/access-log.ts";
export { type Chooser, FifoChooser, STOP } from "./sched/chooser.ts";
export { Faulting, type MayFault, type MaySleep, PREEMPT, type Sleep, USER_FAULT } from "./sched/context.ts";
export type { Device } from "./sched/device.ts";
export { PctChooser, type PctOptions, pctBound } from "./sched/pct.ts";
export { Random, RandomChooser } from "./sched/random.ts";
export { ReplayChooser } from "./sched/replay.ts";
export { type BlockedTask, type DeadlockReport, deadlockReport, verdictReport } from "./sched/report.ts";
export { formatSchedule, parseSchedule, type Schedule } from "./sched/schedule.ts";
export { kernelFrames } from "./sched/stack.ts";
export { type HeldLock, Task, type TaskBody } from "./sched/task.ts";
export { LIVELOCK_ROUNDS, Livelock, RetryGuard, type Verdict, type VerdictKind } from "./sched/verdict.ts";
export { Completion, WaitChannel, wakeUp, wakeUpAll } from "./sched/wait.ts";
export { RunError, type RunResult, World, type WorldOptions } from "./sched/world.ts";
export {
  TRACE_EVENTS,
  TRACE_FORMAT,
  type TraceArgs,
  type TraceEvent,
  type TraceEventName,
  type TraceField,
} from "./trace/events.ts";
export { bitNames, type FieldNames, GLOCK_STATE_NAMES, printField, VM_FAULT_NAMES } from "./trace/fields.ts";
export { tracePerfetto } from "./trace/perfetto.ts";
export { Tracer } from "./trace/ring.ts";
export { traceLine, traceText } from "./trace/text.ts";
export * from "./units.ts";
