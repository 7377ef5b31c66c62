// Which earlier choices a step may have to do with: those that let others touch what it touches.
import { partOf, type Task } from "@faultline/kernel";
import { expect, test } from "vitest";
import { StepLog } from "./step-log.ts";

const task = (pid: number): Task => ({ pid }) as unknown as Task;

function step(log: StepLog, pid: number, choice: number, touch: (log: StepLog) => void): void {
  if (choice >= 0) log.chosen(choice);
  log.beginStep(task(pid));
  touch(log);
}

test("steps that do not commute with the latest come first, and then those of the steps before", () => {
  const log = new StepLog();
  step(log, 2, 0, (to) => to.write(7));
  step(log, 2, 1, (to) => to.write(8));
  step(log, 2, 2, (to) => to.write(9));
  step(log, 1, 3, (to) => to.read(8));
  step(log, 2, -1, (to) => to.write(7));
  step(log, 1, 4, (to) => to.read(7));
  expect(log.suspects(9)).toEqual([
    { choice: 0, pid: 1, direct: true },
    { choice: 1, pid: 1, direct: false },
  ]);
  expect(log.suspects(1)).toHaveLength(1);
});

test.each([
  { desc: "reading", first: (log: StepLog) => log.read(7), second: (log: StepLog) => log.read(7), found: 0 },
  { desc: "writing", first: (log: StepLog) => log.write(7), second: (log: StepLog) => log.write(7), found: 1 },
  {
    desc: "sharing",
    first: (log: StepLog) => log.acquire(7, false),
    second: (log: StepLog) => log.acquire(7, false),
    found: 0,
  },
  {
    desc: "taking",
    first: (log: StepLog) => log.acquire(7, true),
    second: (log: StepLog) => log.acquire(7, false),
    found: 1,
  },
  {
    desc: "letting go",
    first: (log: StepLog) => log.release(7),
    second: (log: StepLog) => log.acquire(7, true),
    found: 0,
  },
  { desc: "looking at", first: (log: StepLog) => log.release(7), second: (log: StepLog) => log.read(7), found: 1 },
])("$desc", ({ first, second, found }) => {
  const log = new StepLog();
  step(log, 2, 0, first);
  step(log, 1, 1, second);
  expect(log.suspects(9)).toHaveLength(found);
});

test("races about a part of an object: whoever came the shortest time before first", () => {
  const log = new StepLog();
  const [page, other, elsewhere] = [partOf(3, 1), partOf(3, 2), partOf(4, 1)];
  step(log, 1, 0, (to) => to.read(page));
  step(log, 1, 1, (to) => to.read(other));
  step(log, 1, 2, (to) => to.write(elsewhere));
  step(log, 2, 3, (to) => to.write(elsewhere));
  step(log, 2, 4, (to) => to.read(page));
  step(log, 2, 5, (to) => to.write(other));
  step(log, 2, 6, (to) => to.write(page));
  step(log, 2, 7, (to) => to.write(page));
  expect(log.races(3)).toEqual([
    { choice: 1, pid: 2, direct: true },
    { choice: 0, pid: 2, direct: true },
  ]);
});

test("whoever listens hears of each step before it is made, and of what it has touched before the next one", () => {
  const heard: unknown[] = [];
  const log = new StepLog({
    stepBegins: (step, { pid }) => heard.push(`${pid} makes step ${step}`),
    stepEnded: (step, accesses) => heard.push(`step ${step}: ${accesses}`),
  });
  step(log, 1, 0, (to) => to.write(7));
  step(log, 2, -1, (to) => to.read(8));
  expect(heard).toEqual(["1 makes step 0", "step 0: 7,1", "2 makes step 1"]);
});
