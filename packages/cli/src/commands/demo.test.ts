// Does the demo show what it says, and does every command that it offers work when pasted?
import { expect, test } from "vitest";
import { faultline, offered } from "../testing/terminal.ts";

test("the story: a BUG, a deadlock with its ring, the cure in rounds; about two screens, all of it plain text", async () => {
  const { status, out, err } = await faultline(["demo"]);
  expect([status, err]).toEqual([0, ""]);
  expect(out).toContain("kernel BUG at fs/gfs2/glock.c:1403!");
  expect(out).toMatch(/H: s:EX f:H .*gfs2_iomap_begin/);
  expect(out).toMatch(/DEADLOCK: 2 tasks wait for each other\n[\s\S]*┌> thread 0/);
  expect(out).toMatch(
    /┃ lock a PR\n[\s\S]*┃ copy 4 KiB .*\n.*┃ unlock a .*\n.* fault in 4 KiB of b [\s\S]*┃ lock a PR/,
  );
  const lines = out.split("\n");
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(160);
  expect(lines.length).toBeLessThan(130);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are for terminals
  expect(out).not.toMatch(/\u001b/);
});

test("every run that it shows can be pasted and ends as shown", async () => {
  const { out } = await faultline(["demo"]);
  const shown = offered(out).filter((words) => words.includes("--schedule"));
  const ends = await Promise.all(shown.map(async (words) => (await faultline(words)).out));
  const verdicts = ends.map((text) => /^(BUG|DEADLOCK|COMPLETED)/m.exec(text)?.[1]);
  expect(verdicts.slice(0, 6)).toEqual(["BUG", "DEADLOCK", ...Array(4).fill("COMPLETED")]);
});

test("what it says to try next can be tried", async () => {
  const { out } = await faultline(["demo"]);
  const next = offered(out.slice(out.indexOf("What to try next")));
  expect(next.length).toBeGreaterThan(2);
  for (const words of next) {
    const { status, err } = await faultline(words);
    expect([words[0], status < 2, err]).toEqual([words[0], true, ""]);
  }
});
