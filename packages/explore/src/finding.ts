// What a search finds, and where: each kind of finding once, with the shortest trace that shows it.

import { Livelock, type Task, WaitChannel } from "@faultline/kernel";
import type { Crash, Driver } from "./driver.ts";
import type { EnumeratedEnding } from "./enumerator.ts";
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

/** A fault, how many executions had it, and how to see it. */
export interface Sighting extends Fault {
  readonly executions: number;
  /** The events that lead to it, in some order that their trace allows. */
  readonly events: readonly Event[];
  /** Its schedule, when that is all that is known. */
  readonly schedule: string | null;
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

/** What is wrong with an execution that ended so; null when nothing is, or when it crashed. */
export function endingFault({ running, world }: Driver, ending: Ending | EnumeratedEnding): Fault | null {
  switch (ending) {
    case "completed": {
      const what = running.invariant?.() ?? null;
      return what === null ? null : { kind: "invariant", what };
    }
    case "deadlock":
      return deadlockFault(world.live.filter((task) => !task.daemon));
    case "limit":
      return { kind: "limit", what: `an execution of ${world.steps} steps` };
    default:
      return null;
  }
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
    if (ending === "crashed") this.#noteCrashes(path);
    const fault = endingFault(driver, ending);
    if (fault !== null) this.#add(fault, path, path.steps.length, () => true);
  }

  /** Of several crashes, those that no other came before: after the first the state may be anything. */
  #noteCrashes(path: Path): void {
    const { details, order } = path;
    const crashed = path.steps.map((_, e) => e).filter((e) => details[e].crash !== null);
    for (const e of crashed) {
      if (crashed.some((other) => other !== e && order.ordered(other, e))) continue;
      const length = path.steps.filter((_, other) => order.ordered(other, e)).length;
      this.#add(details[e].crash as Fault, path, length, (other) => order.ordered(other, e));
    }
  }

  /** Put down the sightings of somebody who explored another part. */
  merge(sightings: readonly Sighting[]): void {
    for (const sighting of sightings) {
      const known = this.#sightings.get(keyOf(sighting));
      const best = known !== undefined && compare(known, sighting) <= 0 ? known : sighting;
      const executions = sighting.executions + (known?.executions ?? 0);
      this.#sightings.set(keyOf(sighting), { ...best, executions });
    }
  }

  #add(fault: Fault, path: Path, length: number, matters: (e: number) => boolean): void {
    const known = this.#sightings.get(keyOf(fault));
    if (known !== undefined && known.events.length < length) {
      this.#sightings.set(keyOf(fault), { ...known, executions: known.executions + 1 });
    } else {
      this.merge([{ ...fault, executions: 1, events: linearize(path, matters), schedule: null }]);
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
function compare(a: Sighting, b: Sighting): number {
  if (a.events.length !== b.events.length) return a.events.length - b.events.length;
  const text = ({ events, schedule }: Sighting): string =>
    schedule ?? events.map(({ pid, choices }) => `${String.fromCharCode(pid)}${choices.join()}`).join(" ");
  const [textA, textB] = [text(a), text(b)];
  return textA.length - textB.length || compareText(textA, textB);
}

function keyOf({ kind, what }: Fault): string {
  return `${kind}: ${what}`;
}

/** By code units: the same on every machine. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
