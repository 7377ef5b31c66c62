// What does the command print, and what does it make of arguments that are wrong?
import { expect, test } from "vitest";
import type { Io } from "../io.ts";
import { main } from "../main.ts";

async function bench(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const said = { out: "", err: "" };
  let now = 0;
  const io: Io = {
    out: (text) => void (said.out += text),
    err: (text) => void (said.err += text),
    in: () => "",
    isTerminal: false,
    command: "faultline",
    // Each look at the clock takes a tenth of a second, so that a row takes a few rounds.
    now: () => (now += 0.1),
    onInterrupt: () => () => {},
  };
  return { status: await main(["bench", ...args], io), ...said };
}

test("--json: the last line is one object with the rows", async () => {
  const { status, out, err } = await bench("--json", "--only", "^copy_from_user|bookkeeping");
  expect([status, err]).toEqual([0, ""]);
  const { rows } = JSON.parse(out.trimEnd().split("\n").at(-1) as string);
  expect(rows.map(({ name }: { name: string }) => name)).toEqual([
    "copy_from_user 4 KiB / copyWithin",
    "copy_from_user 64 KiB / copyWithin",
    "bookkeeping of a frame / 32 bytes",
  ]);
  for (const { ratio, ours_ns, theirs_ns } of rows) expect(ratio).toBeCloseTo(ours_ns / theirs_ns, 2);
});

test("for people: a table with goals and marks, and how many were reached", async () => {
  const { status, out } = await bench("--only", "bookkeeping");
  expect(status).toBe(0);
  const [head, row, , sum] = out.split("\n");
  expect(head.trim().split(/ {2,}/)).toEqual(["ours / theirs", "ours", "theirs", "ratio", "goal"]);
  expect(row.trim().split(/ {2,}/)).toEqual([
    "bookkeeping of a frame / 32 bytes",
    "32 bytes",
    "32 bytes",
    "1.00",
    "<= 1",
    "ok",
  ]);
  expect(sum).toBe("1 of 1 goals reached");
});

test.each([
  [["--only", "("], 'faultline bench: --only must be a regular expression, and "(" is none\n'],
  [["--fast"], "faultline bench: there is no option --fast; see `faultline bench --help`\n"],
  [["extra"], 'faultline bench: "extra" is one argument too many; see `faultline bench --help`\n'],
])("%j is refused with one line", async (args, line) => {
  expect(await bench(...args)).toEqual({ status: 2, out: "", err: line });
});

test("a pattern that matches nothing names what there is", async () => {
  const { status, err } = await bench("--only", "warp drive");
  expect(status).toBe(2);
  expect(err).toMatch(/^faultline bench: no row matches "warp drive"; there are pwrite 4 KiB \/ memfs; .*\n$/);
});
