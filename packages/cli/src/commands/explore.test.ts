// Does a finding offer a command that makes it happen again, and what does the command make of input that is wrong?
import { join } from "node:path";
import { expect, test } from "vitest";
import { faultline, offered } from "../testing/terminal.ts";

const SCENARIOS = join(import.meta.dirname, "../../../../scenarios");

test.each([
  [
    "a scenario",
    [join(SCENARIOS, "explore.jsonl"), "--id", "abba", "--kernel", "5.10"],
    "DEADLOCK: 2 tasks wait for each other",
  ],
  [
    "a scenario with a budget",
    [join(SCENARIOS, "cures.jsonl"), "--id", "cure-taken-away", "--kernel", "cure:prefault-and-hope"].concat(
      ...["--budget", "evict=1", "--executions", "20"],
    ),
    "kernel BUG",
  ],
  ["a built-in program", ["--program", "philosophers", "--n", "3"], "philosopher"],
])("the line that a finding of %s offers tells the same steps and verdict", async (_, args, found) => {
  const { status, out } = await faultline(["explore", ...args]);
  expect(status).toBe(1);
  const [line] = offered(out);
  const again = await faultline(line);
  expect([again.status, again.err]).toEqual([1, ""]);
  expect(again.out).toContain(found);
  const steps = again.out.trimEnd().split("\n");
  expect(steps.length).toBeGreaterThan(3);
  for (const step of steps) expect(out).toContain(step);
});

test("an execution that ends well", async () => {
  const { status, out } = await faultline(["explore", "--program", "abba", "--replay", "p"]);
  expect([status, out.trimEnd().split("\n").at(-1)]).toEqual([0, "  COMPLETED"]);
});

test.each([
  [["--replay", "x"], '--replay must be a schedule as a finding gives it, p0x3.1 for one, not "x"'],
  [["--replay", "p", "--shard", "1/2"], "--shard does not go together with --replay; leave one out"],
])("%o", async (args, message) => {
  const { status, err } = await faultline(["explore", "--program", "abba", ...args]);
  expect(status).toBe(2);
  expect(err).toContain(message);
});

test.each([
  ["fail-nth", ["--mode", "fail-nth", "--budget", "evict=1"], 0],
  ["preemptions", ["--preemptions", "1"], 0],
  ["delays", ["--delays", "1"], 0],
  ["a shard", ["--shard", "1/2"], 0],
])("%s on a scenario", async (_, args, status) => {
  const file = join(SCENARIOS, "explore.jsonl");
  const run = await faultline(["explore", file, "--id", "abba", "--kernel", "6.12", "--json", ...args]);
  expect(run.status).toBe(status);
  expect(JSON.parse(run.out.trimEnd().split("\n").at(-1) ?? "")).toMatchObject({ complete: true, deadlocks: 0 });
});
