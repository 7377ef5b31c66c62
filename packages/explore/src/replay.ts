// One run of a program by its schedule, the way anybody can run it: a World, a chooser, nothing else. What
// the search found is told from here, so a finding that does not replay is not told.

import {
  type AccessLog,
  type Chooser,
  formatSchedule,
  ReplayChooser,
  type Schedule,
  type Task,
  type Tracer,
  type Verdict,
  World,
} from "@faultline/kernel";
import { Driver } from "./driver.ts";
import { deadlockFault, type Event, type Fault } from "./finding.ts";
import { CLOCK } from "./happens-before.ts";
import type { Program, Running } from "./program.ts";

export interface Replay {
  readonly world: World;
  readonly verdict: Verdict;
  /** What is wrong with it; null when it completed and nothing is. */
  readonly fault: Fault | null;
  readonly schedule: Schedule;
}

export interface ReplayOptions {
  readonly maxSteps?: number;
  readonly trace?: Tracer;
  readonly accesses?: (world: World) => AccessLog;
}

export function replay(program: Program, schedule: Schedule, options: ReplayOptions = {}): Replay {
  return run(program, new ReplayChooser(schedule), options);
}

export function run(program: Program, chooser: Chooser, options: ReplayOptions = {}): Replay {
  const world = new World({
    chooser,
    environment: program.environment ?? {},
    settle: true,
    ...(options.maxSteps === undefined ? {} : { maxSteps: options.maxSteps }),
    trace: options.trace ?? program.trace ?? null,
  });
  const running = program.start(world);
  world.accesses = options.accesses?.(world) ?? null;
  const { verdict } = world.run();
  return { world, verdict, fault: faultOf(verdict, running), schedule: world.schedule };
}

function faultOf(verdict: Verdict, running: Running): Fault | null {
  switch (verdict.kind) {
    case "completed": {
      const what = running.invariant?.() ?? null;
      return what === null ? null : { kind: "invariant", what };
    }
    case "deadlock":
      return deadlockFault(verdict.blocked);
    case "bug":
      return { kind: "bug", what: verdict.bug.message };
    case "livelock":
      return { kind: "livelock", what: `${verdict.loop} repeats: ${verdict.state}` };
    case "limit":
      return { kind: "limit", what: `an execution of ${verdict.limit}` };
  }
}

/** The schedule of an execution that is known by its events. Returns: null when the events do not happen so. */
export function scheduleOf(program: Program, events: readonly Event[], maxSteps?: number): Schedule | null {
  const script = scriptOf(program, events, maxSteps);
  return script === null ? null : run(program, script, maxSteps === undefined ? {} : { maxSteps }).schedule;
}

/** `p3.0x12.1` */
export function scheduleText(schedule: Schedule): string {
  return formatSchedule(schedule);
}

/** A chooser that makes these events happen, step by step. */
function scriptOf(program: Program, events: readonly Event[], maxSteps?: number): Chooser | null {
  const driver = new Driver(program, maxSteps === undefined ? {} : { maxSteps });
  const picks = new Map<string, number[]>();
  driver.begin();
  for (const { pid, choices } of events) {
    if (pid === CLOCK) {
      driver.tick();
      continue;
    }
    if (driver.able[pid] !== 1 || !driver.perform(pid, choices)) return null;
    for (const { choice, picked } of driver.points) {
      const list = picks.get(choice) ?? [];
      list.push(picked);
      picks.set(choice, list);
    }
  }
  return new ScriptChooser(
    driver.takeSteps().filter((pid) => pid !== CLOCK),
    picks,
  );
}

/** Runs the steps of a script; after its end, the first task that can go on. */
class ScriptChooser implements Chooser {
  readonly preemptive = true;
  readonly #steps: readonly number[];
  readonly #picks: ReadonlyMap<string, number[]>;

  constructor(steps: readonly number[], picks: ReadonlyMap<string, number[]>) {
    this.#steps = steps;
    this.#picks = picks;
  }

  pickTask(runnable: readonly Task[]): number {
    const pid = this.#steps[runnable[0].world.steps];
    return Math.max(
      runnable.findIndex((task) => task.pid === pid),
      0,
    );
  }

  /** A choice that the world does not ask about, because its budget is spent, would have been 0. */
  choose(choice: string): number {
    return this.#picks.get(choice)?.shift() ?? 0;
  }
}
