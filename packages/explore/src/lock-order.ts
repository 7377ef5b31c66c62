// Verdicts on what lockdep reports: a cycle in the order of lock classes means that some schedule may
// deadlock; the search knows whether one does.

import { type Lockdep, MAY_FAULT, type Task, type Verdict, WaitChannel } from "@faultline/kernel";

/** "a -> b": some task took a lock of class b while it held one of class a. */
export type ClassEdge = `${string} -> ${string}`;

export interface LockVerdict {
  /** The classes of the cycle, in order; the last is followed by the first. */
  readonly cycle: readonly string[];
  /** "refuted" means: within the bounds of the search. */
  readonly verdict: "confirmed" | "refuted" | "potential";
  /** A schedule that deadlocks in this cycle, when confirmed. */
  readonly schedule: string | null;
}

/** A deadlock that was found: its schedule, and who held what while wanting what. */
export interface FoundDeadlock {
  readonly schedule: string;
  readonly edges: readonly ClassEdge[];
}

export function edgesOf(lockdep: Lockdep): ClassEdge[] {
  return lockdep.edges.map(({ from, to }): ClassEdge => `${from} -> ${to}`).sort();
}

/** What the tasks of a deadlock hold and want, by class. */
export function deadlockEdges(verdict: Verdict): ClassEdge[] {
  if (verdict.kind !== "deadlock") return [];
  return [...new Set(verdict.blocked.flatMap(wantedEdges))].sort();
}

function wantedEdges(task: Task): ClassEdge[] {
  const channel = task.sleepingOn;
  if (!(channel instanceof WaitChannel) || !("lockClass" in channel)) return [];
  return task.held.map(({ lock }): ClassEdge => `${lock.lockClass} -> ${String(channel.lockClass)}`);
}

/** Judge every cycle in the order of lock classes. `complete`: was everything within the bounds explored? */
export function lockVerdicts(
  edges: readonly ClassEdge[],
  deadlocks: readonly FoundDeadlock[],
  complete: boolean,
): LockVerdict[] {
  return cyclesOf(edges).map((cycle) => {
    const needed = steps(cycle.filter((lockClass) => lockClass !== MAY_FAULT));
    const found = deadlocks.find((deadlock) => needed.every((edge) => deadlock.edges.includes(edge)));
    const verdict = found !== undefined ? "confirmed" : complete ? "refuted" : "potential";
    return { cycle, verdict, schedule: found?.schedule ?? null };
  });
}

function steps(cycle: readonly string[]): ClassEdge[] {
  return cycle.map((lockClass, i): ClassEdge => `${lockClass} -> ${cycle[(i + 1) % cycle.length]}`);
}

/** Cycles that visit no class twice, each once, beginning with its first class by name. */
function cyclesOf(edges: readonly ClassEdge[]): string[][] {
  const next = new Map<string, string[]>();
  for (const edge of [...edges].sort()) {
    const [from, to] = edge.split(" -> ");
    next.set(from, [...(next.get(from) ?? []), to]);
  }
  const cycles: string[][] = [];
  const walk = (start: string, path: readonly string[]): void => {
    for (const to of next.get(path[path.length - 1]) ?? []) {
      if (to === start) cycles.push([...path]);
      else if (to > start && !path.includes(to)) walk(start, [...path, to]);
    }
  };
  for (const start of [...next.keys()].sort()) walk(start, [start]);
  return cycles;
}
