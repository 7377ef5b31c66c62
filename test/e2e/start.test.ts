// Does `npm start` work from where the user stands, as a process: paths, output, exit status, and replay lines that
// can be pasted there?
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "faultline-start-"));
  writeFileSync(join(folder, "one.jsonl"), '{"id":"one","ops":[{"op":"fsync","fd":"f"}]}\n');
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What npm does for `npm start --silent -- ARGS` when the user stands in `folder`. */
function npmStart(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, INIT_CWD: folder, npm_lifecycle_event: "start", NO_COLOR: "1" };
  return spawnSync(process.execPath, ["tools/run.mjs", "start", ...args], { cwd: ROOT, env, encoding: "utf8" });
}

test("paths count from where the user stands, and the replay line works there", () => {
  const { status, stdout, stderr } = npmStart("run", "one.jsonl");
  expect([status, stderr]).toEqual([0, ""]);
  const line = /npm start --silent -- (run one\.jsonl --id one --kernel 6\.12 --schedule c)\n/.exec(stdout);
  const again = npmStart(...(line?.[1] ?? "").split(" "));
  expect(again.status).toBe(0);
  expect(stdout).toContain(again.stdout);
});

test("a finding is exit status 1, wrong usage is 2 with one line on stderr", () => {
  const story = join(ROOT, "scenarios/deadlock.jsonl");
  const finding = npmStart("run", story, "--id", "cross-read", "--kernel", "5.10");
  expect([finding.status, finding.stderr]).toEqual([1, ""]);
  const wrong = npmStart("run", "two.jsonl");
  expect([wrong.status, wrong.stdout]).toEqual([2, ""]);
  expect(wrong.stderr).toBe("faultline run: two.jsonl does not exist; give the path of a file of scenarios\n");
});
