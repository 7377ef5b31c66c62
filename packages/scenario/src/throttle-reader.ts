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
  /** A task was on another processor than nothing speaks against: what it was charged with is not what was there. */
  #strayed = false;
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
      if (there === undefined && full <= nrDirtiedPause) {
        // Whatever is there is taken up to the allowance: the first time all of it may be there, later what was wanting.
        const most = this.#circumstances.debt === 0 ? this.left : room - leaks[1];
        this.#learnDebt(full < nrDirtiedPause ? full - nrDirtied : most, progress);
      }
      progress.processor = there ?? processor;
      return progress.processor;
    }
    if (leaks[0] === leaks[1]) return processor;
    const possible = [processor, 1 - processor].filter((one) => leaks[one] < room);
    if (possible.length < 2) {
      progress.processor = possible[0] ?? processor;
    } else {
      const { picked } = this.#plan.choose("throttle", `${progress.lane}:${progress.op}.${got.length}`, 2);
      if (picked > 0) this.#strayed = true;
      progress.processor = possible[picked];
    }
    return progress.processor;
  }

  /** Does what happens differ from what is recorded because the recording was made under other circumstances? */
  learn(progress: Progress, wanted: RecordedEvent): void {
    const circumstances = this.#circumstances;
    const { lane, op, got } = progress;
    const event = got[got.length - 1];
    const pages = !this.#strayed ? this.#chargedLess(progress, event, wanted) : 0;
    // Who was not there was charged with nothing that could have been less.
    if (pages > 0 || (pages < 0 && circumstances.processorOf(lane) === 1)) {
      this.learned = circumstances.learnDebt(pages, lane, op, got.length - 1);
    }
  }

  /** Returns: so many pages less, at least, are charged to the task than were when it was recorded. */
  #chargedLess({ task }: Progress, got: RecordedEvent, wanted: RecordedEvent): number {
    // A window is smaller by what was charged to the task. What is left of its allowance may be more than it asks for,
    // and less than the smallest window.
    if (FAULT_IN.has(got[0]) && got[0] === wanted[0] && got[2] === wanted[2]) {
      return got[3] === wanted[3] ? 0 : task.nrDirtiedPause - task.nrDirtied - Math.ceil(Number(wanted[3]) / PAGE_SIZE);
    }
    // It comes to the end of its allowance, and did not: a window is never larger than that, so one page is enough.
    return got[0] === "balance_dirty" && wanted[0] !== "balance_dirty" ? -1 : 0;
  }

  /** What is charged to the task must have been there from the beginning, if that was not tried yet. */
  #learnDebt(pages: number, { lane, op, got }: Progress): void {
    if (!this.#circumstances.learnDebt(pages, lane, op, got.length)) return;
    this.learned = true;
    this.unexplained = pages;
  }
}
