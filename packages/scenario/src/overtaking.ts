// Who overtakes whom at the bytes of files: where all events are as recorded and only a sum is not, the sum tells which
// copies were made before which stores, and the next run keeps to that.

import { PAGE_SIZE, type Task } from "@faultline/kernel";
import { pageAddress } from "@faultline/mm";
import { ByteHistory, type CachedFile, type PageName } from "./byte-history.ts";
import { orderBySum, type StepOrder, type SummedPage } from "./byte-order.ts";
import type { Expectation } from "./expectation.ts";
import type { Names } from "./maps.ts";
import { Passage, type Place, type PlaceOrder, type Precedence } from "./precedence.ts";
import type { Progress } from "./progress.ts";
import type { OpResult } from "./result.ts";
import type { OpPlace } from "./run.ts";
import type { RunComparison } from "./run-comparison.ts";
import { READ, type StepListener, WRITE } from "./step-log.ts";

export class Overtaking implements StepListener {
  /** An order is known now that was not when the run began. */
  learned = false;
  readonly #expectation: Expectation;
  readonly #comparison: RunComparison;
  readonly #precedence: Precedence;
  readonly #passage: Passage;
  /** By step, if a lane made it. */
  readonly #places: (Place | undefined)[] = [];
  #history: ByteHistory | null = null;
  #names: Names | null = null;

  constructor(expectation: Expectation, comparison: RunComparison, precedence: Precedence) {
    this.#expectation = expectation;
    this.#comparison = comparison;
    this.#precedence = precedence;
    this.#passage = new Passage(precedence);
  }

  begin(names: Names): void {
    this.#names = names;
  }

  /** Threads may overtake each other from the first operation on. */
  opStarts({ mm, root }: Progress["task"]): void {
    const { files, threads } = this.#expectation.scenario;
    if (this.#history !== null || threads.length === 0) return;
    this.#history = new ByteHistory(mm.mem, () =>
      files.flatMap(({ name, size }): CachedFile[] => {
        const inode = root.lookup(name, false);
        if (typeof inode === "number") return [];
        return [{ name, pages: Math.ceil(size / PAGE_SIZE), find: (page) => inode.mapping.find(page) }];
      }),
    );
  }

  stepBegins(step: number, task: Task): void {
    const lane = this.#comparison.stepBegins(task);
    if (lane !== undefined) this.#places[step] = this.#passage.pass(lane.lane, pointOf(lane));
  }

  stepEnded(step: number, accesses: readonly number[]): void {
    const touched = (deed: number): number[] => accesses.filter((_, i) => i % 2 === 0 && accesses[i + 1] === deed);
    this.#history?.stepEnded(step, touched(READ), touched(WRITE));
  }

  /** An operation has ended with another sum than recorded. */
  learn(at: OpPlace, { ret = 0, sum }: OpResult, progress: Progress): void {
    const wanted = this.#expectation.result(at);
    if (this.#history === null || sum === undefined || wanted?.sum === undefined || wanted.sum === sum) return;
    const pages = this.#summed(at, ret, progress);
    const orders = pages === null ? null : orderBySum(pages, wanted.sum, this.#history);
    if (orders !== null) this.learned = this.#precedence.learn(orders.flatMap((order) => this.#placed(order)));
  }

  /** Who is to go on instead of the first choice, because that one would be too early. */
  instead(runnable: readonly Task[], first: number): number {
    const lanes = runnable.map(({ pid }) => this.#comparison.laneOf(pid));
    const waits = lanes.map((lane) =>
      lane === undefined ? undefined : this.#passage.waitsFor(lane.lane, pointOf(lane)),
    );
    if (waits[first] === undefined) return first;
    const before = lanes.findIndex((lane, i) => lane?.lane === waits[first] && waits[i] === undefined);
    return before >= 0 ? before : Math.max(first, waits.indexOf(undefined));
  }

  /** Only lanes wait for each other. */
  #placed({ earlier, later }: StepOrder): PlaceOrder[] {
    const [one, other] = [this.#places[earlier], this.#places[later]];
    return one === undefined || other === undefined || one.lane === other.lane ? [] : [{ earlier: one, later: other }];
  }

  /** The pages that an operation has added up; null when they are not whole pages of a file, or not cached. */
  #summed(at: OpPlace, ret: number, { task }: Progress): SummedPage[] | null {
    const op = this.#expectation.op(at);
    if (op.op !== "sum") return null;
    const map = op.map === undefined ? undefined : this.#names?.map(op.map);
    const file = map === undefined ? this.#names?.fds.get(op.fd ?? "")?.file : map.file;
    const start = (map?.fileOffset ?? 0) + op.off;
    const inode = file === undefined ? -1 : task.root.lookup(file, false);
    if (typeof inode === "number" || start % PAGE_SIZE !== 0 || ret % PAGE_SIZE !== 0) return null;
    const pages: SummedPage[] = [];
    for (let page = start / PAGE_SIZE; page < (start + ret) / PAGE_SIZE; page++) {
      const frame = inode.mapping.find(page);
      if (frame === 0) return null;
      const name: PageName = `${file ?? ""} ${page}`;
      const bytes = task.mm.mem.u8.slice(pageAddress(frame), pageAddress(frame) + PAGE_SIZE);
      pages.push({ name, bytes });
    }
    return pages;
  }
}

function pointOf({ op, got }: Progress): string {
  return `${op}.${got.length}`;
}
