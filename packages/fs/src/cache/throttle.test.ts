// When a task looks at the dirty throttle: what it dirties is counted until it looks, and what is left when it ends is
// charged to the next one on its processor.

import type { Chooser } from "@faultline/kernel";
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "@faultline/mm";
import { expect, test } from "vitest";
import { doExit, Machine, O_RDWR, PROCESSOR_FULL } from "../index.ts";

const P = 4096;

/** Everything as usual, but for the answers to some choices, which are the same each time. */
const answering = (answers: Readonly<Record<string, number>>): Chooser => ({
  preemptive: true,
  interrupts: true,
  pickTask: () => 0,
  choose: (choice) => answers[choice] ?? 0,
});

/** One task after the other writes so many pages and ends. Returns: with how many each was charged at its end. */
function charges(pages: readonly number[], chooser?: Chooser): number[] {
  const machine = new Machine({ kernel: "6.12", ...(chooser === undefined ? {} : { chooser }) });
  return pages.map((count, index) => {
    const task = machine.task(`task ${index}`);
    const sys = machine.syscalls(task);
    const buffer = sys.mmap({ length: P, prot: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS });
    const fd = sys.open(machine.file(`file ${index}`, 64 * P), O_RDWR);
    for (let page = 0; page < count; page++) expect(sys.pwrite(fd, buffer, P, page * P)).toBe(P);
    const { nrDirtied } = task;
    doExit(task);
    return nrDirtied;
  });
}

test("a task that ends leaves what it has dirtied to the next one", () => {
  // With 20 pages of the first one the thirteenth of its own finds the allowance of 32 used up.
  expect(charges([20, 12])).toEqual([20, 32]);
  expect(charges([20, 13])).toEqual([20, 1]);
});

test("... but not to one on another processor", () => {
  expect(charges([20, 13], answering({ throttle: 1 }))).toEqual([20, 13]);
  expect(charges([20, 13], answering({ throttle: 1, exit: 1 }))).toEqual([20, 1]);
});

test("on a processor that has dirtied enough each look is one at the limits", () => {
  expect(charges([20], answering({ throttle: PROCESSOR_FULL }))).toEqual([1]);
});
