// Does conform notice each kind of difference, does it say where, and does it refuse what is not a pair of
// scenarios and recordings? The recordings here are of the model itself, so that they are equal until something
// in them is changed.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { REVISIONS } from "@faultline/fs";
import { parseScenarios, type Recording, runScenario, type Scenario } from "@faultline/scenario";
import { describe, expect, test } from "vitest";
import { faultline, folder, offered, STORIES } from "../testing/terminal.ts";

const SHORT = ["self-w-shared-evicted-disjoint", "cross-read"];
const scenarios = parseScenarios(readFileSync(STORIES, "utf8"), STORIES).filter(({ id }) => SHORT.includes(id));
const jsonl = (values: readonly object[]): string => values.map((value) => `${JSON.stringify(value)}\n`).join("");
const record = (scenario: Scenario, kernel: string): Recording =>
  runScenario(scenario, { kernel: REVISIONS[kernel], traced: true }).recording;
const RECORDED = new Map(["5.10", "6.12"].map((kernel) => [kernel, scenarios.map((each) => record(each, kernel))]));
const recordings = (kernel: string): Recording[] => [...(RECORDED.get(kernel) as Recording[])];
const META = JSON.stringify({ release: "6.12.0", cpus: 1, probes_missing: [] });

/** A folder of recordings, and what conform says of it. */
async function conform(
  lines: readonly object[],
  ...more: string[]
): Promise<{ status: number; out: string; last: string }> {
  const path = folder({ "s.jsonl": jsonl(scenarios), "r/some.jsonl": jsonl(lines), "r/meta.json": META });
  const { status, out, err } = await faultline([
    "conform",
    `${path}/s.jsonl`,
    `${path}/r`,
    "--kernel",
    "6.12",
    ...more,
  ]);
  expect(err).toBe("");
  return { status, out, last: out.trimEnd().split("\n").at(-1) as string };
}

/** A recording that can be changed. */
interface Draft {
  results: object[];
  final: Record<string, object>;
  trace: { op: number; events: unknown[][] }[];
}

/** The recordings with something changed in the first of them. */
function changed(change: (recording: Draft) => void): object[] {
  const all = JSON.parse(JSON.stringify(recordings("6.12")));
  change(all[0]);
  return all;
}

test.each(["5.10", "6.12"])(
  "a recording of the model itself is equal, with findings and without: %s",
  async (kernel) => {
    const path = folder({ "s.jsonl": jsonl(scenarios), "r.jsonl": jsonl(recordings(kernel)) });
    const { status, out } = await faultline(["conform", `${path}/s.jsonl`, `${path}/r.jsonl`, "--kernel", kernel]);
    expect([status, out.trimEnd().split("\n").at(-1)]).toEqual([0, "2 passed, 0 failed"]);
  },
);

test("extra fields and another order are fine", async () => {
  const lines = recordings("6.12").map((recording) => ({ ...recording, ms: 12, klog: ["words"], future: { a: 1 } }));
  expect((await conform(lines.reverse())).last).toBe("2 passed, 0 failed");
});

describe("a changed value is found in its tier, and in no other", () => {
  /** The events of the write. */
  const write = ({ trace }: Draft): unknown[][] => trace.find(({ op }) => op === 2)?.events ?? [];
  const field = ({ results }: Draft, op: number, values: object): object => Object.assign(results[op], values);

  test.each<[string, string, (draft: Draft) => void, RegExp]>([
    ["results", "a return value", (r) => field(r, 2, { ret: 8191 }), /results +ops\[2\] pwrite: ret .*8191.*8192/],
    ["results", "a sum", (r) => field(r, 4, { sum: "00000000" }), /results +ops\[4\] sum: sum .*00000000.*349b07c5/],
    ["results", "a size afterwards", (r) => Object.assign(r.final.a, { size: 1 }), /file a: size/],
    ["results", "the verdict", (r) => Object.assign(r, { hang: true }), /verdict.*hangs.*completes/],
    [
      "protocol",
      "a lock",
      (r) =>
        write(r).splice(
          write(r).findIndex(([name]) => name === "glock_dq"),
          1,
        ),
      /\n {3}> {3,}glock_dq a PR\n/,
    ],
    ["memory", "a fault", (r) => field(r, 2, { majflt: 2 }), /memory +ops\[2\] pwrite: majflt .*2.*1/],
    ["memory", "how a page was found", (r) => field(r, 3, { pages: "F*15,.*17" }), /ops\[3\] pagemap: pages/],
  ])("%s: %s", async (tier, _, change, words) => {
    const lines = changed(change);
    const all = await conform(lines);
    expect([all.status, all.last]).toEqual([1, "1 passed, 1 failed"]);
    expect(all.out).toMatch(words);
    const tiers = ["results", "protocol", "memory"];
    const lasts = await Promise.all(tiers.map(async (each) => (await conform(lines, "--tier", each)).last));
    const found = tiers.filter((_, i) => lasts[i] === "1 passed, 1 failed");
    // All events are compared in the memory tier, those of the protocol too.
    expect(found).toEqual(tier === "protocol" ? ["protocol", "memory"] : [tier]);
  });
});

test("a difference of events shows both sides around the first one, and a line that replays it", async () => {
  const lines = changed(({ trace }) => {
    trace[1].events = trace[1].events.filter(([name]) => name !== "glock_dq");
  });
  const { out } = await conform(lines, "--tier", "protocol");
  expect(out).toMatch(/^ {3}> {3,}glock_dq a PR$/m);
  expect(out).toMatch(/^ {5}\.\.\. \d+ equal$/m);
  const [line] = offered(out);
  expect((await faultline(line)).out).toContain("COMPLETED");
});

test("--show says how many are told", async () => {
  const lines = recordings("6.12").map((recording) => ({ ...recording, hang: true }));
  expect((await conform(lines, "--show", "1")).out).toMatch(
    /^1\. [\s\S]*\n1 more that differ; --show 2 tells them all\n/,
  );
  expect((await conform(lines, "--show", "0")).out).not.toMatch(/^1\./);
});

test("what a kernel could not record is not missed: as meta.json says, or as is known of the kernel", async () => {
  const populate = parseScenarios(
    JSON.stringify({
      id: "populate",
      ops: [
        { op: "mmap", map: "m", len: 8192, prot: "rw", flags: ["private", "anon"] },
        { op: "madvise", map: "m", off: 0, len: 8192, advice: "POPULATE_WRITE" },
      ],
    }),
    "populate",
  );
  const recording = JSON.parse(JSON.stringify(record(populate[0], "6.12")));
  for (const trace of recording.trace) trace.events = trace.events.filter(([name]: string[]) => name !== "populate");
  const files = { "s.jsonl": jsonl(populate), "r/r.jsonl": jsonl([recording]) };
  const probes = ["faultin_vma_page_range", "faultin_page_range"];
  const blind = folder({ ...files, "r/meta.json": JSON.stringify({ release: "6.12", probes_missing: probes }) });
  const seeing = folder(files);
  const status = async (path: string, recorded: string): Promise<number> =>
    (await faultline(["conform", `${path}/s.jsonl`, `${path}/${recorded}`, "--kernel", "6.12"])).status;
  expect([await status(blind, "r"), await status(blind, "r/r.jsonl"), await status(seeing, "r")]).toEqual([0, 0, 1]);
});

test("scenarios and recordings are matched by id across files; a file of scenarios nobody recorded is left alone", async () => {
  const [self, read] = recordings("6.12");
  const path = folder({
    "scenarios/1.jsonl": jsonl(scenarios.slice(0, 1)),
    "scenarios/2.jsonl": jsonl(scenarios.slice(1)),
    "scenarios/3.jsonl": jsonl([{ id: "unasked", ops: [] }]),
    "recordings/a.jsonl": jsonl([read]),
    "recordings/b.jsonl": jsonl([self]),
    "recordings/unstable.json": "{}",
  });
  const { status, out } = await faultline(["conform", `${path}/scenarios`, `${path}/recordings`, "--kernel", "6.12"]);
  expect([status, out.trimEnd().split("\n").at(-1)]).toEqual([0, "2 passed, 0 failed"]);
});

test("packed files are unpacked, files without a last newline and with CRLF are read", async () => {
  const path = folder({ "r/r.jsonl": jsonl(recordings("6.12")).replaceAll("\n", "\r\n").trimEnd() });
  writeFileSync(`${path}/s.jsonl.gz`, gzipSync(jsonl(scenarios)));
  const { status, err } = await faultline(["conform", `${path}/s.jsonl.gz`, `${path}/r`, "--kernel", "6.12"]);
  expect([status, err]).toEqual([0, ""]);
  writeFileSync(`${path}/s.jsonl.gz`, gzipSync(jsonl(scenarios)).subarray(0, 200));
  const cut = await faultline(["conform", `${path}/s.jsonl.gz`, `${path}/r`, "--kernel", "6.12"]);
  expect([cut.status, cut.err]).toEqual([
    2,
    expect.stringMatching(/s\.jsonl\.gz cannot be read: unexpected end of file\n$/),
  ]);
});

test("a file is what it holds, not what it is called: packed or not, with a byte order mark or without", async () => {
  const path = folder({ "s.jsonl.gz": jsonl(scenarios), "bom.jsonl": `\uFEFF${jsonl(recordings("6.12"))}` });
  writeFileSync(`${path}/r.jsonl`, gzipSync(jsonl(recordings("6.12"))));
  for (const name of ["r.jsonl", "bom.jsonl"]) {
    const { status, err } = await faultline(["conform", `${path}/s.jsonl.gz`, `${path}/${name}`, "--kernel", "6.12"]);
    expect([status, err]).toEqual([0, ""]);
  }
  writeFileSync(`${path}/s.jsonl`, gzipSync(jsonl(scenarios)));
  const { status } = await faultline(["run", `${path}/s.jsonl`, "--id", SHORT[0], "--kernel", "6.12"]);
  expect(status, "what conform offers to run can be run").toBe(0);
});

describe("one line on stderr and exit 2", () => {
  const good = (): Recording[] => recordings("6.12");
  const text = (): string => jsonl(good());
  test.each<[string, () => Record<string, string>, RegExp]>([
    ["empty", () => ({ "r.jsonl": "" }), /r\.jsonl: holds no recording; one JSON object a line is expected$/],
    ["cut in the middle of a line", () => ({ "r.jsonl": text().slice(0, -20) }), /r\.jsonl:2: not JSON: /],
    [
      "cut between two lines",
      () => ({ "r.jsonl": jsonl(good().slice(0, 1)) }),
      /jsonl:2: id: .* holds no recording of "cross-read"$/,
    ],
    ["not JSON", () => ({ "r.jsonl": `${text()}nonsense\n` }), /r\.jsonl:3: not JSON: /],
    [
      "not a recording",
      () => ({ "r.jsonl": '{"id":"cross-read"}\n' }),
      /r\.jsonl:1: not a recording: results: is missing$/,
    ],
    [
      "a wrong field",
      () => ({ "r.jsonl": jsonl([{ ...good()[0], results: [{ ret: "8" }] }]) }),
      /:1: not a recording: results\[0\]\.ret: expected number, got "8"$/,
    ],
    [
      "events that are none",
      () => ({ "r.jsonl": jsonl([{ ...good()[0], trace: [{ op: 0, events: [["repeat", 9, 9, []]] }] }]) }),
      /:1: not a recording: trace\[0\]\.events: expected /,
    ],
    [
      "of an unknown scenario",
      () => ({ "r.jsonl": jsonl([{ ...good()[0], id: "other" }]) }),
      /r\.jsonl:1: id: .* holds no scenario "other"$/,
    ],
    [
      "twice",
      () => ({ "r.jsonl": jsonl([good()[0], good()[0]]) }),
      /r\.jsonl:2: id: "self-.*" is recorded twice, first at .*r\.jsonl:1$/,
    ],
    [
      "of a longer scenario",
      () => ({ "r.jsonl": jsonl([{ ...good()[0], results: Array(9).fill({ ret: 0 }) }]) }),
      /:1: results: expected at most 6 of scenario "self-.*", got 9$/,
    ],
    ["bytes", () => ({ "r.jsonl": "\u0001\u001b[2J" }), /r\.jsonl:1: not JSON: [^\p{Cc}]*$/u],
    ["nothing, packed", () => ({ "r.jsonl.gz": "" }), /r\.jsonl\.gz: holds no recording; /],
    ["a meta.json that is a folder", () => ({ "r.jsonl": text(), "meta.json/x": "" }), /meta\.json is no file; /],
    ["a broken meta.json", () => ({ "r.jsonl": text(), "meta.json": "{}" }), /meta\.json: release: is missing$/],
    ["a folder without recordings", () => ({ "meta.json": META }), /is a folder without a \.jsonl file of recordings$/],
    ["a folder of folders", () => ({ "6.12/r.jsonl": text() }), /; give one of its folders, such as .*6\.12$/],
  ])("recordings: %s", async (_, files, message) => {
    const path = folder({ "s.jsonl": jsonl(scenarios) });
    const { status, out, err } = await faultline(["conform", `${path}/s.jsonl`, folder(files()), "--kernel", "6.12"]);
    expect([status, out]).toEqual([2, ""]);
    expect(err).toMatch(/^faultline conform: .*\n$/);
    expect(err.trimEnd()).toMatch(message);
  });

  test.each<[string, () => string[], RegExp]>([
    ["no recording", () => [STORIES], /RECORDING is missing/],
    ["no kernel", () => [STORIES, STORIES], /--kernel is missing; there are 5\.10, /],
    [
      "an unknown kernel",
      () => [STORIES, STORIES, "--kernel", "4.4"],
      /there is no revision "4\.4"; there are 5\.10, /,
    ],
    [
      "an unknown tier",
      () => [STORIES, STORIES, "--kernel", "6.12", "--tier", "locks"],
      /--tier must be of results, protocol, memory, not "locks"$/,
    ],
    [
      "a file that is not there",
      () => ["nowhere", STORIES, "--kernel", "6.12"],
      /nowhere does not exist; give a \.jsonl file of scenarios or a folder of them$/,
    ],
    [
      "recordings that are not there",
      () => [STORIES, "nowhere", "--kernel", "6.12"],
      /nowhere does not exist; give a \.jsonl file of recordings/,
    ],
    [
      "scenarios with an id twice",
      () => [folder({ "a.jsonl": jsonl(scenarios), "b.jsonl": jsonl(scenarios) }), STORIES, "--kernel", "6.12"],
      /b\.jsonl:1: id: "self-.*" is used twice, first at .*a\.jsonl:1$/,
    ],
    [
      "the arguments the other way round",
      () => [folder({ "r.jsonl": jsonl(good()) }), STORIES, "--kernel", "6.12"],
      /r\.jsonl:1: /,
    ],
  ])("%s", async (_, args, message) => {
    const { status, out, err } = await faultline(["conform", ...args()]);
    expect([status, out]).toEqual([2, ""]);
    expect(err).toMatch(/^faultline conform: .*\n$/);
    expect(err.trimEnd()).toMatch(message);
  });
});

test("a recording without threads is searched for, too: what is read ahead depends on when the disk was done", {
  timeout: 60_000,
}, async () => {
  const at = (path: string): string => fileURLToPath(new URL(`../../../../test/conformance/${path}`, import.meta.url));
  const theme = "13-populate.jsonl.gz";
  const given = [at(`scenarios/${theme}`), at(`recordings/6.12/${theme}`), "--kernel", "6.12", "--jobs", "1"];
  const { status, out } = await faultline(["conform", ...given]);
  expect(out).toMatch(/^21 passed, 0 failed$/m);
  expect(status).toBe(0);
});
