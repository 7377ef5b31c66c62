// kernel and explore: the run loop, a lock that many want, schedules tried one after the other.

import { CATALOGUE, openSearch } from "@faultline/explore";
import { type MaySleep, Mutex, mutexLock, mutexUnlock, PREEMPT, type Task, World } from "@faultline/kernel";
import type { Timed, Workload } from "./workload.ts";

export function taskWorkloads(scale: number): Workload[] {
  return [resume(), contention(), lastZero(scale)];
}

function resume(): Workload {
  const tasks = 8;
  const steps = 1000;
  function* stepper(): MaySleep<void> {
    for (let i = 0; i < steps; i++) yield PREEMPT;
  }
  return {
    name: "run loop resumes a task / 100 ns",
    goal: 1,
    prepare: () => {
      let world = new World();
      return {
        times: tasks * steps,
        reset: () => {
          world = new World();
          for (let i = 0; i < tasks; i++) world.spawn(`task ${i}`, stepper);
        },
        run: () => void world.run(),
        theirs: 100,
      };
    },
  };
}

/** What taking a lock costs must not grow with the number of tasks that want it. */
function contention(): Workload {
  const few = 10;
  const many = 1000;
  const rounds = 10;
  const contend = (tasks: number): World => {
    const world = new World();
    const mutex = new Mutex(world, "contended");
    function* contender(task: Task): MaySleep<void> {
      for (let i = 0; i < rounds; i++) {
        yield* mutexLock(task, mutex);
        yield PREEMPT;
        mutexUnlock(task, mutex);
      }
    }
    for (let i = 0; i < tasks; i++) world.spawn(`task ${i}`, contender);
    return world;
  };
  const finish = (tasks: number): void => {
    const { verdict } = contend(tasks).run();
    if (verdict.kind !== "completed") throw new Error(`${tasks} tasks: ${verdict.kind}`);
  };
  return {
    name: "1,000 tasks contending on one lock, a turn / the same of 10",
    goal: 5,
    prepare: (): Timed => ({
      times: many * rounds,
      run: () => finish(many),
      theirs: () => {
        for (let i = 0; i < many / few; i++) finish(few);
      },
    }),
  };
}

function lastZero(scale: number): Workload {
  const executions = Math.floor(2000 * scale);
  return {
    name: "lastzero(10), an execution / 50 us (20,000 a second)",
    goal: 1,
    prepare: () => {
      const program = CATALOGUE.lastzero.make(10);
      let search = openSearch(program);
      return {
        times: executions,
        reset: () => {
          search = openSearch(program);
        },
        run: () => void search.advance(executions),
        theirs: 50_000,
        check: () =>
          search.tally.counts.executions >= executions ? "" : `${search.tally.counts.executions} executions`,
      };
    },
  };
}
