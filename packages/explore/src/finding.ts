// What a search finds, and where: each kind of finding once, with the shortest trace that shows it.

import { Livelock, type Task, WaitChannel } from "@faultline/kernel";
import type { Crash } from "./driver.ts";
import type { Ending, Explorer } from "./explorer.ts";
import type { Path } from "./path.ts";
import type { Step } from "./step.ts";

export type FindingKind = "deadlock" | "bug" | "livelock" | "invariant" | "limit";

/** What is wrong, in words that are the same for every execution in which it is. */
export interface Fault {
  readonly kind: FindingKind;
  readonly what: string;
}

/** One event of an execution: enough to make it happen again. */
export type Event = Pick<Step, "pid" | "choices">;

/** A fault, how many executions had it, and the events that lead to it. */
export interface Sighting extends Fault {
  readonly executions: number;
  readonly events: readonly Event[];
}

export function crashFault({ error }: Crash): Fault {
  if (error instanceof Livelock) return { kind: "livelock", what: `${error.loop} repeats: ${error.state}` };
  return { kind: "bug", what: error.message };
}

/** Tasks that can never go on, and what each waits for. */
export function deadlockFault(blocked: readonly Task[]): Fault {
  const waits = blocked.map((task) => {
    const channel = task.sleepingOn;
    const wanted = channel instanceof WaitChannel ? channel.wants(task) : "";
    const label = channel instanceof WaitChannel ? channel.label : "nothing";
    return `${task.comm} waits for ${label}${wanted === "" ? "" : ` (${wanted})`}`;
  });
  return { kind: "deadlock", what: waits.join(", ") };
}

/** Collects faults. Which trace stands for a fault does not depend on the order in which they come. */
export class Ledger {
  readonly #sightings = new Map<string, Sighting>();

  /** In a fixed order. */
  get sightings(): Sighting[] {
    return [...this.#sightings.values()].sort((a, b) => compareText(keyOf(a), keyOf(b)));
  }

  get isEmpty(): boolean {
    return this.#sightings.size === 0;
  }

  /** Note what is wrong with the execution that the explorer is in, if anything. */
  note({ path, driver }: Explorer, ending: Ending): void {
    const { length } = path.steps;
    switch (ending) {
      case "completed": {
        const what = driver.running.invariant?.() ?? null;
        if (what !== null) this.#add({ kind: "invariant", what }, path, length, () => true);
        return;
      }
      case "deadlock":
        this.#add(deadlockFault(driver.world.live.filter((task) => !task.daemon)), path, length, () => true);
        return;
      case "limit":
        this.#add({ kind: "limit", what: `an execution of ${driver.world.steps} steps` }, path, length, () => true);
        return;
      case "crashed":
        this.#noteCrashes(path);
    }
  }

  /** Of several crashes, those that no other came before: after the first the state may be anything. */
  #noteCrashes(path: Path): void {
    const { crashes, order } = path;
    const crashed = path.steps.map((_, e) => e).filter((e) => crashes[e] !== null);
    for (const e of crashed) {
      if (crashed.some((other) => other !== e && order.ordered(other, e))) continue;
      const length = path.steps.filter((_, other) => order.ordered(other, e)).length;
      this.#add(crashes[e] as Fault, path, length, (other) => order.ordered(other, e));
    }
  }

  /** Put down the sightings of somebody who explored another part. */
  merge(sightings: readonly Sighting[]): void {
    for (const sighting of sightings) {
      const known = this.#sightings.get(keyOf(sighting));
      const events =
        known !== undefined && compare(known.events, sighting.events) <= 0 ? known.events : sighting.events;
      const executions = sighting.executions + (known?.executions ?? 0);
      this.#sightings.set(keyOf(sighting), { ...sighting, executions, events });
    }
  }

  #add(fault: Fault, path: Path, length: number, matters: (e: number) => boolean): void {
    const known = this.#sightings.get(keyOf(fault));
    if (known !== undefined && known.events.length < length) {
      this.#sightings.set(keyOf(fault), { ...known, executions: known.executions + 1 });
    } else {
      this.merge([{ ...fault, executions: 1, events: linearize(path, matters) }]);
    }
  }
}

/** The events that matter, in an order that depends on the trace only, with few switches between tasks. */
function linearize(path: Path, matters: (e: number) => boolean): Event[] {
  const { steps, order } = path;
  const left = steps.map((_, e) => e).filter(matters);
  const events: Event[] = [];
  let last = -1;
  while (left.length > 0) {
    const ready = left.filter((e, i) => !left.slice(0, i).some((earlier) => order.ordered(earlier, e)));
    const next =
      ready.find((e) => steps[e].pid === last) ?? ready.reduce((a, b) => (steps[b].pid < steps[a].pid ? b : a));
    left.splice(left.indexOf(next), 1);
    const { pid, choices } = steps[next];
    events.push({ pid, choices });
    last = pid;
  }
  return events;
}

/** Shorter first, then by the tasks that run, then by choices. */
function compare(a: readonly Event[], b: readonly Event[]): number {
  if (a.length !== b.length) return a.length - b.length;
  const text = (events: readonly Event[]): string =>
    events.map(({ pid, choices }) => `${String.fromCharCode(pid)}${choices.join()}`).join(" ");
  return compareText(text(a), text(b));
}

function keyOf({ kind, what }: Fault): string {
  return `${kind}: ${what}`;
}

/** By code units: the same on every machine. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
