// What a recording tells of the dirty throttle: which processor a task was on when it looked, whether that one had
// dirtied enough, and what tasks that ended before the scenario had left over for others to be charged with.

import { PROCESSOR_FULL } from "@faultline/fs";
import { PAGE_SIZE } from "@faultline/kernel";
import type { Circumstances } from "./circumstances.ts";
import type { Plan } from "./plan.ts";
import type { Progress } from "./progress.ts";
import type { RecordedEvent } from "./result.ts";

/** Events that show the size of a window. */
const FAULT_IN: ReadonlySet<unknown> = new Set(["fault_in_readable", "fault_in_safe_w"]);

export class ThrottleReader {
  /** Pages that whoever made the files has left over. */
  left = 0;
  /** Something about the circumstances is known now that was not when the run began. */
  learned = false;
  /** Pages that the latest look was charged with and that nobody has left over; null when there are none. */
  unexplained: number | null = null;
  readonly #plan: Plan;
  readonly #circumstances: Circumstances;

  constructor(plan: Plan, circumstances: Circumstances) {
    this.#plan = plan;
    this.#circumstances = circumstances;
  }

  /** A task looks at the throttle. Returns: what it finds, as the choice "throttle" has it. */
  look(progress: Progress): number {
    const { task, expected, got, processor } = progress;
    const { nrDirtied, nrDirtiedPause, root } = task;
    const { leaks } = root.dirty;
    const room = nrDirtiedPause - nrDirtied;
    this.unexplained = null;
    if (room <= 0 || expected === null) return processor;
    const wanted = expected.events[got.length];
    if (wanted?.[0] === "balance_dirty") {
      const full = Number(wanted[1]);
      if (full === nrDirtied) return PROCESSOR_FULL;
      // The one that it is on, if that explains it.
      const there = [processor, 1 - processor].find((one) => full === nrDirtiedPause && leaks[one] >= room);
      if (there === undefined) this.#learnDebt(full < nrDirtiedPause ? full - nrDirtied : this.left, progress.lane);
      progress.processor = there ?? processor;
      return progress.processor;
    }
    if (leaks[0] === leaks[1]) return processor;
    const possible = [processor, 1 - processor].filter((one) => leaks[one] < room);
    const there =
      possible.length < 2
        ? possible[0]
        : possible[this.#plan.choose("throttle", `${progress.lane}:${progress.op}.${got.length}`, 2).picked];
    progress.processor = there ?? processor;
    return progress.processor;
  }

  /** Does what happens differ from what is recorded because the recording was made under other circumstances? */
  learn(lane: number, got: RecordedEvent, wanted: RecordedEvent): void {
    const circumstances = this.#circumstances;
    // A window is smaller by what was charged to the task.
    const windows = FAULT_IN.has(got[0]) && got[0] === wanted[0] && got[2] === wanted[2];
    const pages = Math.ceil(Number(got[3]) / PAGE_SIZE) - Math.ceil(Number(wanted[3]) / PAGE_SIZE);
    if (windows && pages !== 0 && circumstances.debt > 0) this.learned = circumstances.learnDebt(pages, lane);
  }

  /** What is charged to the task must have been there from the beginning, if that was not tried yet. */
  #learnDebt(pages: number, lane: number): void {
    if (!this.#circumstances.learnDebt(pages, lane)) return;
    this.learned = true;
    this.unexplained = pages;
  }
}
