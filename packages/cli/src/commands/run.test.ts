// Does a run tell what happened, does its replay line make it happen again to the byte, and what does the command
// make of input that is wrong?
import { describe, expect, test } from "vitest";
import { faultline, folder, hash, offered, STORIES } from "../testing/terminal.ts";

const run = (...args: string[]): ReturnType<typeof faultline> => faultline(["run", STORIES, ...args]);
const SELF = ["--id", "self-w-shared-evicted-disjoint"];
const CROSS = ["--id", "cross-read"];
/** From its schedule on, a run that was told twice is told the same way. */
const replay = async (out: string): Promise<string> => (await faultline(offered(out)[0])).out;

describe("the verdict", () => {
  test("a BUG: exit 1, with the queue dump, the call chain and what became of every call", async () => {
    const { status, out, err } = await run(...SELF, "--kernel", "5.10");
    expect([status, err]).toEqual([1, ""]);
    expect(out).toMatch(/pwrite\(f, m\+8192, 8192, 0\) +never returns\n +pagemap\(m, 131072\) +is never made/);
    expect(out).toContain("BUG: kernel BUG at fs/gfs2/glock.c:1403!");
    expect(out).toMatch(/ H: s:EX f:H e:0 p:\d+ \[runner\] gfs2_iomap_begin/);
    expect(out).toMatch(/gfs2_fault\n[\s\S]*iomap_file_buffered_write\n[\s\S]*sys_pwrite64\n/);
  });

  test("a deadlock: exit 1, with the ring drawn", async () => {
    const { status, out } = await run(...CROSS, "--kernel", "5.10");
    expect(status).toBe(1);
    expect(out).toMatch(/┌> thread 0 .* holds glock a \(PR\)[\s\S]*wants glock b \(EX\)[\s\S]*wants glock a \(EX\)/);
  });

  test("completed: exit 0, with values and faults", async () => {
    const { status, out } = await run(...SELF, "--kernel", "6.12");
    expect(status).toBe(0);
    expect(out).toMatch(/pwrite\(f, m\+8192, 8192, 0\) +=? ?8192 +\(1 major\)/);
    expect(out).toContain("\nCOMPLETED\n");
  });

  test("several scenarios: exit 1 as soon as one has a finding", async () => {
    const { status, out } = await run("--kernel", "5.10");
    expect([status, out.trimEnd().split("\n").at(-1)]).toEqual([1, "3 scenarios, 2 with a finding"]);
  });
});

describe("replay", () => {
  test.each([
    ["first come, first served", CROSS, "5.10", []],
    ["at random", CROSS, "5.10", ["--seed", "7"]],
    ["at random, to the end", CROSS, "6.12", ["--seed", "7"]],
    ["with random priorities", CROSS, "6.12", ["--seed", "3", "--pct", "3"]],
    ["with memory that runs out at random", SELF, "6.12", ["--seed", "5", "--budget", "alloc-fail=2"]],
  ])("%s: the line that a run offers gives the same trace", async (_, id, kernel, more) => {
    const first = await run(...id, "--kernel", kernel, "--trace", "text", ...more);
    const again = await faultline([...offered(first.out)[0], "--trace", "text"]);
    expect(hash(again.out)).toBe(hash(first.out));
    expect(again.status).toBe(first.status);
  });

  test("seeds make a difference, and nothing else does", async () => {
    const outputs = await Promise.all(
      ["1", "2", "3", "1"].map((seed) => run(...CROSS, "--seed", seed, "--trace", "text")),
    );
    const hashes = outputs.map(({ out }) => hash(out));
    expect([new Set(hashes).size, hashes[3] === hashes[0]]).toEqual([3, true]);
  });

  test("a schedule of another run is told to be one", async () => {
    expect((await run(...CROSS, "--schedule", "p0.9")).out).toContain("the schedule is of another run: decision 1");
  });

  test("a path with blanks is quoted", async () => {
    const file = `${folder({ "a.jsonl": '{"id":"it\'s","ops":[]}\n' })}/a.jsonl`;
    const { out } = await faultline(["run", file]);
    expect(out).toContain(`faultline run '${file}' --id 'it'\\''s' --kernel 6.12 --schedule c`);
  });
});

describe("trace", () => {
  test.each(["text", "lanes", "json", "perfetto"])("%s: the same twice", async (format) => {
    const [one, other] = [await run(...CROSS, "--trace", format), await run(...CROSS, "--trace", format)];
    expect(hash(one.out)).toBe(hash(other.out));
  });

  test("text: who did what, calls indented, a return behind its call", async () => {
    const { out } = await run(...CROSS, "--trace", "text");
    const lines = out.split("\n").filter((line) => line.includes("  thread 0  "));
    const at = lines.findIndex((line) => line.includes("preadv(fa, [own 4096, mb+4096 4096], 0)"));
    const column = lines[at].indexOf("preadv");
    expect(lines.slice(at + 1, at + 5).map((line) => line.slice(column))).toEqual([
      "  gfs2_file_read_iter a",
      "    generic_file_read_iter a",
      "      filemap_read a = -EAGAIN",
      "    generic_file_read_iter = -EAGAIN",
    ]);
    expect(lines.at(-1)?.slice(column)).toBe("preadv = 8192");
  });

  test("lanes: lock, short copy, unlock, fault in, lock", async () => {
    const { out } = await run(...CROSS, "--trace", "lanes");
    const left = out
      .split("\n\n")[0]
      .split("\n")
      .slice(3)
      .map((line) => line.slice(2, 44).trim())
      .filter((text) => text !== "");
    expect(left).toEqual([
      "lock a PR",
      "a page of b is not there",
      "copy 4 KiB",
      "unlock a",
      "fault in 4 KiB of b",
      "lock b PR, unlock b",
      "lock b EX, wait",
      "get b EX",
      "unlock b",
      "lock a PR",
      "copy 4 KiB",
      "unlock a",
      "returns 8192",
    ]);
  });

  test("json: one event a line and nothing else; perfetto: one list", async () => {
    const json = await run(...CROSS, "--trace", "json");
    const events = json.out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events.filter(({ name }) => name === "fault_in_safe_writeable").length).toBe(2);
    expect(json.err).toContain("COMPLETED");
    const perfetto = JSON.parse((await run(...CROSS, "--trace", "perfetto")).out);
    const names = perfetto.filter(({ ph }: { ph: string }) => ph === "M").map((each: { args: object }) => each.args);
    expect(names).toContainEqual({ name: "thread 1" });
  });
});

test("scenarios come from standard input too", async () => {
  const { status, out } = await faultline(["run", "-"], '{"id":"nothing","ops":[]}\n');
  expect([status, out]).toEqual([0, expect.stringContaining("faultline run - --id nothing")]);
});

test("a closed descriptor, a descriptor that never was, a negative length: what Linux says", async () => {
  const ops = [
    { op: "open", fd: "f", file: "a", flags: ["O_RDWR"] },
    { op: "mmap", map: "m", len: 4096, prot: "rw", flags: ["private", "anon"] },
    { op: "pread", fd: "f", pos: 0, iov: [["m", 0, -1]] },
    { op: "preadv", fd: "f", pos: 0, iov: [["m", 0, -1]] },
    { op: "pread", fd: "f", pos: -1, iov: [["m", 0, 1]] },
    { op: "ftruncate", fd: "f", len: -1 },
    { op: "close", fd: "f" },
    { op: "pwrite", fd: "f", pos: 0, iov: [["m", 0, 1]] },
    { op: "close", fd: "f" },
    { op: "fsync", fd: "g" },
  ];
  const scenario = { id: "wrong", files: [{ name: "a", size: 4096 }], ops };
  const { status, out } = await faultline(["run", "-"], JSON.stringify(scenario));
  expect(status).toBe(0);
  const errors = [...out.matchAll(/^ {2}(\w+)\(.*-1 (E\w+)$/gm)].map(([, op, errno]) => `${op} ${errno}`);
  expect(errors).toEqual([
    "pread EFAULT",
    "preadv EINVAL",
    "pread EINVAL",
    "ftruncate EINVAL",
    "pwrite EBADF",
    "close EBADF",
    "fsync EBADF",
  ]);
});

describe("one line on stderr and exit 2", () => {
  const bad = (line: string): string => `${folder({ "bad.jsonl": `{"id":"good","ops":[]}\n${line}\n` })}/bad.jsonl`;
  test.each<[string, () => string[], string | RegExp]>([
    ["no file", () => [], "FILE is missing; see `faultline run --help`"],
    ["a file that is not there", () => ["nowhere.jsonl"], "nowhere.jsonl does not exist"],
    ["a folder", () => [folder({})], /is a folder; give the path of a file of scenarios in it$/],
    ["an empty file", () => [`${folder({ "e.jsonl": "" })}/e.jsonl`], /e\.jsonl: holds no scenario/],
    ["broken JSON", () => [bad('{"id":')], /bad\.jsonl:2: not JSON: /],
    ["not an object", () => [bad("[1]")], /bad\.jsonl:2: expected an object$/],
    ["a missing field", () => [bad('{"id":"x"}')], /bad\.jsonl:2: ops: is missing$/],
    [
      "an unknown operation",
      () => [bad('{"id":"x","ops":[{"op":"opn"}]}')],
      /:2: ops\[0\]\.op: there is no operation "opn"$/,
    ],
    [
      "an unknown field",
      () => [bad('{"id":"x","ops":[{"op":"barrier","x":1}]}')],
      /ops\[0\]\.x: there is no such field$/,
    ],
    [
      "a fraction",
      () => [bad('{"id":"x","ops":[{"op":"ftruncate","fd":"f","len":1.5}]}')],
      /len: expected a whole number, got 1\.5$/,
    ],
    ["an id used twice", () => [bad('{"id":"good","ops":[]}')], /:2: id: "good" is used twice$/],
    [
      "an id that is not there",
      () => [STORIES, "--id", "cros-read"],
      /holds no scenario "cros-read"; there are cross-read, /,
    ],
    [
      "an unknown revision",
      () => [STORIES, "--kernel", "9.9"],
      /^faultline run: there is no revision "9\.9"; there are 5\.10, .*6\.12/,
    ],
    ["a bad seed", () => [STORIES, "--seed=-1"], '--seed must be a whole number of 0 or more, not "-1"'],
    ["a value that looks like an option", () => [STORIES, "--seed", "-1"], "--seed needs a value; write --seed=-1 for"],
    ["a bad schedule", () => [STORIES, "--schedule", "x1"], /--schedule: a schedule begins with .*; got "x1"$/],
    ["a bad part of a schedule", () => [STORIES, "--schedule", "p1.y"], '--schedule: "y" is not a part of a schedule'],
    ["seed and schedule", () => [STORIES, "--seed", "1", "--schedule", "c"], "two ways to say who runs when"],
    ["pct without a seed", () => [STORIES, "--pct", "3"], "--pct needs a --seed"],
    ["a bad budget", () => [STORIES, "--budget", "evict"], "--budget must look like evict=2,disk-error=1"],
    ["an unknown trace", () => [STORIES, "--trace", "xml"], "--trace must be one of none, text, lanes, json, perfetto"],
    ["a trace of several for a tool", () => [STORIES, "--trace", "json"], "--trace json is for one scenario and "],
    ["lanes without threads", () => [STORIES, ...SELF, "--trace", "lanes"], "--trace lanes shows threads"],
    [
      "an unknown option",
      () => [STORIES, "--frobnicate"],
      "there is no option --frobnicate; see `faultline run --help`",
    ],
    ["an argument too many", () => [STORIES, "more"], '"more" is one argument too many'],
  ])("%s", async (_, args, message) => {
    const { status, out, err } = await faultline(["run", ...args()]);
    expect([status, out]).toEqual([2, ""]);
    expect(err).toMatch(/^faultline run: .*\n$/);
    expect(err.trimEnd()).toEqual(
      typeof message === "string" ? expect.stringContaining(message) : expect.stringMatching(message),
    );
  });

  test("an unknown command", async () => {
    const { status, err } = await faultline(["rum"]);
    expect([status, err]).toEqual([
      2,
      expect.stringMatching(/^faultline: there is no command "rum"; there are .*run.*\n$/),
    ]);
  });
});

test("the replay of a replay is the same", async () => {
  const { out } = await run(...CROSS, "--seed", "11");
  expect(await replay(out)).toBe(out);
});
