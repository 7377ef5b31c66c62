// What a person is told at the end of a run: the verdict in one line, and what is behind it.

import { sleepingFrames } from "./stack.ts";
import type { Task } from "./task.ts";
import type { Verdict } from "./verdict.ts";
import { WaitChannel } from "./wait.ts";

/** One task that cannot go on. */
export interface BlockedTask {
  readonly comm: string;
  readonly pid: number;
  /** "glock a (EX)", in the order in which they were taken. */
  readonly holds: readonly string[];
  /** "glock b (PR)". */
  readonly wants: string;
  /** Pids of the tasks that would have to act first. */
  readonly waitsFor: readonly number[];
  /** Kernel functions, innermost first. */
  readonly frames: readonly string[];
}

export interface DeadlockReport {
  readonly blocked: readonly BlockedTask[];
  /** Tasks that wait for each other in a ring, by index into `blocked`; empty when there is no ring. */
  readonly cycle: readonly number[];
}

/** Look at the tasks of a deadlock. Ends them: call it once, when the run is over. */
export function deadlockReport(tasks: readonly Task[]): DeadlockReport {
  const blocked = tasks.map(describe);
  return { blocked, cycle: findCycle(blocked) };
}

function describe(task: Task): BlockedTask {
  const channel = task.sleepingOn instanceof WaitChannel ? task.sleepingOn : null;
  const wanted = channel?.wants(task) ?? "";
  return {
    comm: task.comm,
    pid: task.pid,
    holds: task.held.map(({ lock, mode }) => withMode(lock.label, mode)),
    wants: withMode(channel?.label ?? "nothing", wanted),
    waitsFor: channel?.holders(task).map((holder) => holder.pid) ?? [],
    frames: sleepingFrames(task),
  };
}

function withMode(label: string, mode: string): string {
  return mode === "" ? label : `${label} (${mode})`;
}

function findCycle(blocked: readonly BlockedTask[]): number[] {
  const indexOf = new Map(blocked.map((task, index) => [task.pid, index]));
  for (let start = 0; start < blocked.length; start++) {
    const path: number[] = [];
    if (walk(start)) return path;

    function walk(at: number): boolean {
      if (at === start && path.length > 0) return true;
      if (path.includes(at)) return false;
      path.push(at);
      for (const pid of blocked[at].waitsFor) {
        const next = indexOf.get(pid);
        if (next !== undefined && walk(next)) return true;
      }
      path.pop();
      return false;
    }
  }
  return [];
}

/** The verdict and its reasons, lines without newlines. Ends the tasks it looks at: call it once. */
export function verdictReport(verdict: Verdict): string[] {
  switch (verdict.kind) {
    case "completed":
      return ["COMPLETED"];
    case "limit":
      return [`LIMIT: ${verdict.limit}`];
    case "livelock":
      return [
        `LIVELOCK: ${verdict.task.comm} (pid ${verdict.task.pid}) repeats ${verdict.loop} without progress`,
        `  the state that repeats: ${verdict.state}`,
      ];
    case "bug":
      return [
        `BUG: ${verdict.bug.message}`,
        ...verdict.bug.dump.map((line) => `  ${line}`),
        `  in ${verdict.task.comm} (pid ${verdict.task.pid}):`,
        ...verdict.bug.frames.map((name) => `    ${name}`),
      ];
    case "deadlock":
      return deadlockLines(deadlockReport(verdict.blocked));
  }
}

function deadlockLines({ blocked, cycle }: DeadlockReport): string[] {
  const count = cycle.length > 0 ? cycle.length : blocked.length;
  const reason = cycle.length > 1 ? "wait for each other" : cycle.length === 1 ? "waits for itself" : "can never go on";
  const lines = [`DEADLOCK: ${count} task${count === 1 ? "" : "s"} ${reason}`, ""];
  const ring = cycle.map((index) => blocked[index]);
  const title = (task: BlockedTask): string => `${task.comm} (pid ${task.pid})`;
  const width = Math.max(0, ...blocked.map((task) => title(task).length));
  for (const [i, task] of ring.entries()) {
    const holds = task.holds.length > 0 ? `holds ${task.holds.join(", ")}` : "holds nothing";
    lines.push(`  ${i === 0 ? "┌>" : "│ "} ${title(task).padEnd(width)}  ${holds}`);
    lines.push(`  ${i === ring.length - 1 ? "└─" : "│ "} ${"".padEnd(width)}  wants ${task.wants}`);
    if (i < ring.length - 1) lines.push(`  │  ${"".padEnd(width)}    ▼ held by`);
  }
  if (ring.length > 0) lines.push("");
  for (const [index, task] of blocked.entries()) {
    if (!cycle.includes(index)) {
      const holds = task.holds.length > 0 ? `holds ${task.holds.join(", ")}, ` : "";
      lines.push(`  ${title(task)} ${holds}wants ${task.wants}`);
    }
    lines.push(`  ${title(task)} sleeps in`, ...task.frames.map((name) => `    ${name}`));
  }
  return lines;
}
