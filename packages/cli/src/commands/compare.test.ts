// Do two revisions stand side by side, with what differs marked, and does the status say whether they differ?
import { describe, expect, test } from "vitest";
import { align } from "../align.ts";
import { faultline, offered, STORIES } from "../testing/terminal.ts";

const compare = (...args: string[]): ReturnType<typeof faultline> => faultline(["compare", STORIES, ...args]);
const SELF = ["--id", "self-w-shared-evicted-disjoint"];

test("different: exit 1; the first result and the first event that differ are marked", async () => {
  const { status, out, err } = await compare(...SELF, "--kernels", "5.10,6.12");
  expect([status, err]).toEqual([1, ""]);
  const marked = out.split("\n").filter((line) => line.startsWith(">"));
  expect(marked.map((line) => line.replace(/ {2,}/g, "  "))).toEqual([
    "> pwrite(f, m+8192, 8192, 0)  never returns  = 8192",
    "> iomap_write",
  ]);
  expect(out).toMatch(/^\| {3,}BUG: kernel BUG at fs\/gfs2\/glock\.c:1403! +COMPLETED$/m);
  expect(out).toMatch(/^ {2}pf_kernel m 8192 r +pf_kernel m 8192 r$/m);
  for (const line of offered(out)) expect((await faultline(line)).err).toBe("");
});

test("equal: exit 0, and nothing is marked", async () => {
  const { status, out } = await compare(...SELF, "--kernels", "6.12,6.12");
  expect([status, out]).toEqual([0, expect.stringContaining("\nequal\n")]);
  expect(out).not.toMatch(/^[>|]/m);
});

test("where only events differ, the results are equal and the events are told", async () => {
  const { status, out } = await compare("--id", "cross-read", "--kernels", "v4,6.12");
  expect(status).toBe(1);
  const [results, ...events] = out.split(/\n\n(?=ops|threads)/);
  expect(results).not.toMatch(/^[>|]/m);
  expect(events.join("\n")).toMatch(/^\| {3,}fault_in_safe_w mb 4096 4096$/m);
});

describe("one line on stderr and exit 2", () => {
  test.each([
    [
      "one revision",
      [...SELF, "--kernels", "5.10"],
      '--kernels must name two revisions, such as 5.10,6.12, not "5.10"',
    ],
    ["no revision", SELF, '--kernels must name two revisions, such as 5.10,6.12, not ""'],
    ["an unknown one", [...SELF, "--kernels", "5.10,5.11"], 'there is no revision "5.11"; there are 5.10, '],
    ["no id", ["--kernels", "5.10,6.12"], "--id is missing; "],
    [
      "an unknown id",
      ["--id", "cross", "--kernels", "5.10,6.12"],
      'holds no scenario "cross"; there are cross-write, cross-read',
    ],
  ])("%s", async (_, args, message) => {
    const { status, out, err } = await compare(...args);
    expect([status, out, err]).toEqual([2, "", expect.stringMatching(/^faultline compare: .*\n$/)]);
    expect(err).toContain(message);
  });
});

describe("two lists side by side", () => {
  const texts = (left: string, right: string): string =>
    align([...left], [...right])
      .map((pair) => `${pair.left ?? "-"}${pair.right ?? "-"}`)
      .join(" ");
  test.each([
    { desc: "equal", left: "abc", right: "abc", want: "aa bb cc" },
    { desc: "something left out", left: "abcd", right: "acd", want: "aa b- cc dd" },
    { desc: "something put in", left: "acd", right: "abcd", want: "aa -b cc dd" },
    { desc: "something else", left: "axc", right: "ayc", want: "aa x- -y cc" },
    { desc: "nothing on one side", left: "", right: "ab", want: "-a -b" },
    { desc: "nothing in common", left: "ab", right: "cd", want: "a- b- -c -d" },
  ])("$desc", ({ left, right, want }) => expect(texts(left, right)).toBe(want));

  test("very long lists are not aligned, and not lost", () => {
    const long = Array.from({ length: 3001 }, (_, i) => String(i));
    expect(align(long, long.slice(1)).at(0)).toEqual({ left: "0", right: "1" });
    expect(align(long, long.slice(1)).length).toBe(3001);
  });
});
