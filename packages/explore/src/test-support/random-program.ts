// Small random programs that use everything a program can use, for comparing searches with each other.

import {
  bugOn,
  Completion,
  downRead,
  downWrite,
  type MaySleep,
  Mutex,
  mutexLock,
  mutexTrylock,
  mutexUnlock,
  PREEMPT,
  RwSemaphore,
  type Task,
  upRead,
  upWrite,
} from "@faultline/kernel";
import fc from "fast-check";
import { Cell } from "../cell.ts";
import type { Program } from "../program.ts";

/** One instruction; `of` picks the cell, lock or event. Each task has a number, which reads change. */
export type Op =
  | {
      readonly op: "read" | "write" | "swap" | "lock-free" | "wait" | "complete" | "choose" | "bug";
      readonly of: number;
    }
  /** In one step: read a cell, and write another one depending on what was there. */
  | { readonly op: "peek"; readonly of: number; readonly to: number }
  | { readonly op: "lock" | "try" | "share" | "exclude" | "if"; readonly of: number; readonly body: readonly Op[] };

export type Source = readonly (readonly Op[])[];

interface State {
  readonly cells: readonly Cell<number>[];
  readonly locks: readonly Mutex[];
  readonly sem: RwSemaphore;
  readonly events: readonly Completion[];
  readonly values: number[];
}

export function compile(source: Source, environment: Readonly<Record<string, number>> = { fail: 1 }): Program {
  return {
    name: "random",
    environment,
    start(world) {
      const state: State = {
        cells: [0, 1].map((i) => new Cell(world, 0, `cell ${i}`)),
        locks: [0, 1].map((i) => new Mutex(world, "lock", `lock ${i}`)),
        sem: new RwSemaphore(world, "sem"),
        events: [0, 1].map((i) => new Completion(`event ${i}`, world)),
        values: source.map(() => 0),
      };
      source.forEach((ops, id) => {
        world.spawn(`task-${id}`, (task) => run(task, id, ops, state));
      });
      return {
        state: () => `${state.values.join()} ${state.cells.map((cell) => cell.value).join()}`,
        invariant: () => (state.values[0] === 5 ? "the first task has a five" : null),
      };
    },
  };
}

function* run(task: Task, id: number, ops: readonly Op[], state: State): MaySleep<void> {
  for (const op of ops) yield* perform(task, id, op, state);
}

function* perform(task: Task, id: number, op: Op, state: State): MaySleep<void> {
  const { cells, locks, sem, events, values } = state;
  const cell = cells[op.of % cells.length];
  const lock = locks[op.of % locks.length];
  const event = events[op.of % events.length];
  switch (op.op) {
    case "read":
      values[id] = (values[id] * 2 + (yield* cell.read(task))) % 7;
      return;
    case "write":
      return yield* cell.write(task, (values[id] + id + 1) % 7);
    case "swap":
      yield PREEMPT;
      if (!cell.compareAndSwap(task, 0, id + 1)) values[id] = (values[id] + 3) % 7;
      return;
    case "peek": {
      const other = cells[op.to % cells.length];
      yield PREEMPT;
      if (cell.load(task) % 2 === 1) other.store(task, (values[id] + 2) % 7);
      return;
    }
    case "lock":
      yield* mutexLock(task, lock);
      yield* run(task, id, op.body, state);
      // A task that died in the body keeps it; nobody else may let it go.
      return mutexUnlock(task, lock);
    case "try":
      yield PREEMPT;
      if (!mutexTrylock(task, lock)) {
        values[id] = (values[id] + 1) % 7;
        return;
      }
      yield* run(task, id, op.body, state);
      return mutexUnlock(task, lock);
    case "share":
      yield* downRead(task, sem);
      yield* run(task, id, op.body, state);
      return upRead(task, sem);
    case "exclude":
      yield* downWrite(task, sem);
      yield* run(task, id, op.body, state);
      return upWrite(task, sem);
    case "if":
      if (values[id] % 2 === 1) yield* run(task, id, op.body, state);
      return;
    case "choose":
      yield PREEMPT;
      values[id] = (values[id] + task.world.choose(op.of === 0 ? "fail" : "evict", 2 + op.of)) % 7;
      return;
    case "wait":
      return yield* event.wait(task);
    case "complete":
      yield PREEMPT;
      return event.complete();
    case "bug":
      yield PREEMPT;
      return bugOn(values[id] === 3, "a task has a three");
    case "lock-free":
      yield PREEMPT;
      values[id] = (values[id] + 1) % 7;
  }
}

const leaf = (ops: readonly string[]): fc.Arbitrary<Op> =>
  fc.record({ op: fc.constantFrom(...ops) as fc.Arbitrary<"read">, of: fc.nat({ max: 1 }) });

const peek: fc.Arbitrary<Op> = fc.record({
  op: fc.constant("peek" as const),
  of: fc.nat({ max: 1 }),
  to: fc.nat({ max: 1 }),
});

/** What programs may be made of: instructions, and instructions around others. */
export interface Kinds {
  readonly leaves: readonly string[];
  readonly nests: readonly string[];
}

export const KINDS: Readonly<Record<string, Kinds>> = {
  variables: { leaves: ["read", "write", "swap"], nests: ["if"] },
  "steps that depend on what they see": { leaves: ["read", "write", "peek", "swap"], nests: ["if"] },
  mutexes: { leaves: ["read", "write"], nests: ["lock", "lock", "try", "if"] },
  semaphores: { leaves: ["read", "write"], nests: ["share", "exclude"] },
  completions: { leaves: ["read", "write", "wait", "complete", "complete"], nests: ["lock", "if"] },
  choices: { leaves: ["read", "write", "choose", "choose", "bug"], nests: ["if", "lock"] },
  everything: {
    leaves: ["read", "write", "swap", "peek", "choose", "bug", "wait", "complete", "lock-free"],
    nests: ["lock", "try", "share", "exclude", "if"],
  },
};

/** Programs of up to `tasks` tasks with up to `length` instructions each, of these kinds. */
export function sources(kinds: Kinds, tasks: number, length: number): fc.Arbitrary<Source> {
  const simple = kinds.leaves.includes("peek")
    ? fc.oneof(
        { weight: 4, arbitrary: leaf(kinds.leaves.filter((kind) => kind !== "peek")) },
        { weight: 1, arbitrary: peek },
      )
    : leaf(kinds.leaves);
  const nest = (body: fc.Arbitrary<Op>): fc.Arbitrary<Op> =>
    kinds.nests.length === 0
      ? body
      : fc.record({
          op: fc.constantFrom(...kinds.nests) as fc.Arbitrary<"lock">,
          of: fc.nat({ max: 1 }),
          body: fc.array(body, { minLength: 0, maxLength: 2 }),
        });
  const op = fc.oneof({ weight: 2, arbitrary: simple }, { weight: 1, arbitrary: nest(fc.oneof(simple, nest(simple))) });
  return fc.array(fc.array(op, { minLength: 1, maxLength: length }), { minLength: 2, maxLength: tasks });
}
