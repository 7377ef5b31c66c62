// A replay told step by step: who did what to which object, what the environment chose, what was traced.

import {
  type AccessLog,
  type Chooser,
  ReplayChooser,
  type Schedule,
  type Task,
  Tracer,
  traceLine,
  type World,
} from "@faultline/kernel";
import { LEAVE, READ, SHARE, TAKE, WRITE } from "./access.ts";
import type { Program } from "./program.ts";
import { type Replay, run } from "./replay.ts";
import { trimmed } from "./step.ts";

/** One step that others can notice. */
export interface NarratedStep {
  readonly pid: number;
  readonly comm: string;
  /** "takes fork 2", "reads x", "evict: 1 of 2". */
  readonly deeds: readonly string[];
  /** What the program traced during the step, if anything. */
  readonly trace: readonly string[];
  readonly choices: readonly number[];
}

export interface Narrative {
  readonly replay: Replay;
  readonly steps: readonly NarratedStep[];
}

/** Run a schedule and tell what happens. */
export function narrate(program: Program, schedule: Schedule, maxSteps?: number): Narrative {
  const narrator = new Narrator(new ReplayChooser(schedule));
  const result = run(program, narrator, {
    trace: narrator.tracer,
    accesses: (world) => narrator.listen(world),
    ...(maxSteps === undefined ? {} : { maxSteps }),
  });
  narrator.endStep();
  return { replay: result, steps: narrator.steps };
}

/**
 * The steps of a narrative that are events of an execution: those that others can notice, and the one that hits a bug.
 * A step that only traces something is part of the next event of its task.
 */
export function eventsOf({ steps, replay }: Narrative): NarratedStep[] {
  const last = replay.verdict.kind === "bug" ? steps.length - 1 : -1;
  return steps.filter(({ deeds }, i) => deeds.length > 0 || i === last);
}

const WORDS: readonly (readonly [deed: number, word: string])[] = [
  [READ, "reads"],
  [WRITE, "writes"],
  [TAKE, "takes"],
  [SHARE, "shares"],
  [LEAVE, "lets go of"],
];

class Narrator implements Chooser, AccessLog {
  readonly preemptive = true;
  readonly steps: NarratedStep[] = [];
  readonly tracer: Tracer = new Tracer();
  readonly #chooser: Chooser;
  #world!: World;
  #task: Task | null = null;
  #deeds: string[] = [];
  #choices: number[] = [];
  #traced = 0;

  constructor(chooser: Chooser) {
    this.#chooser = chooser;
  }

  listen(world: World): this {
    this.#world = world;
    return this;
  }

  pickTask(runnable: readonly Task[]): number {
    return this.#chooser.pickTask(runnable);
  }

  choose(choice: string, count: number): number {
    const picked = this.#chooser.choose(choice, count);
    this.#choices.push(picked);
    this.#deeds.push(`${choice}: ${picked} of ${count}`);
    return picked;
  }

  beginStep(task: Task): void {
    this.endStep();
    this.#task = task;
  }

  /** Put down the step in progress, if it did anything. */
  endStep(): void {
    const task = this.#task;
    const names = { task: new Map(this.#world.live.map((each) => [each.pid, each.comm])) };
    const trace = [...this.tracer.events(this.#traced)]
      .filter(({ name }) => name !== "sched_switch" && name !== "sched_process_exit")
      .map((event) => traceLine(event, names));
    this.#traced = this.tracer.count;
    if (task === null || this.#deeds.length + trace.length === 0) return;
    const choices = trimmed(this.#choices);
    this.steps.push({ pid: task.pid, comm: task.comm, deeds: this.#deeds, trace, choices });
    this.#deeds = [];
    this.#choices = [];
  }

  read(object: number): void {
    this.#note(READ, object);
  }

  write(object: number): void {
    this.#note(WRITE, object);
  }

  acquire(lock: number, exclusive: boolean): void {
    this.#note(exclusive ? TAKE : SHARE, lock);
  }

  release(lock: number): void {
    this.#note(LEAVE, lock);
  }

  #note(deed: number, object: number): void {
    const word = WORDS.find(([each]) => each === deed)?.[1] ?? "touches";
    this.#deeds.push(`${word} ${this.#world.labelOf(object)}`);
  }
}
