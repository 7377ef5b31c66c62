// Does each wrong cure fail where the museum says it does, does the fix pass the same scenario, and does
// docs/museum.md tell the story that the code tells?
import { readFileSync } from "node:fs";
import {
  CURES,
  type Gfs2Revision,
  Machine,
  O_CREAT,
  O_RDWR,
  REVISIONS,
  sysMmap,
  sysOpen,
  sysPwrite64,
} from "@faultline/fs";
import { FifoChooser, verdictReport } from "@faultline/kernel";
import { MAP_ANONYMOUS, MAP_POPULATE, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "@faultline/mm";
import { parseScenarios, runScenario, type Scenario, type ScenarioRun } from "@faultline/scenario";
import { describe, expect, test } from "vitest";

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
const scenarios = new Map(parseScenarios(read("scenarios/cures.jsonl"), "cures.jsonl").map((each) => [each.id, each]));
const story = read("docs/museum.md");

/** Where each cure fails, how, and what the fix gives there. `found` is a verdict, or what a call returned. */
const DEFEATS: readonly { cure: string; id: string; found: string; fix: string }[] = [
  { cure: "cure:first-byte", id: "cure-straddle", found: "livelock", fix: "16384" },
  { cure: "cure:all-or-nothing", id: "cure-half-a-buffer", found: "EFAULT", fix: "16384" },
  { cure: "cure:prefault-and-hope", id: "cure-taken-away", found: "bug", fix: "16384" },
  { cure: "cure:prefault-and-hope", id: "cure-direct-onto-itself", found: "bug", fix: "4096" },
  { cure: "cure:hold-references", id: "cure-written-back", found: "EFAULT", fix: "16384" },
  { cure: "cure:keep-glock", id: "cure-same-file", found: "bug", fix: "4096" },
  { cure: "cure:keep-glock", id: "cure-two-files", found: "deadlock", fix: "4096" },
  { cure: "cure:trylock-sigbus", id: "cure-three-threads", found: "deadlock", fix: "8192" },
  { cure: "cure:trylock-sigbus", id: "cure-first-page-only", found: "4096", fix: "16384" },
  { cure: "cure:trylock-sigbus", id: "cure-direct-onto-itself", found: "livelock", fix: "4096" },
];

function run(id: string, kernel: string): ScenarioRun {
  const done = runScenario(scenarios.get(id) as Scenario, { kernel: REVISIONS[kernel] });
  expect(done.leftovers()).toEqual([]);
  return done;
}

/** The verdict; if the run completed, what its read or write returned. */
function outcome(id: string, { verdict, recording }: ScenarioRun): string {
  if (verdict.kind !== "completed") return verdict.kind;
  const { ops, threads } = scenarios.get(id) as Scenario;
  const last = threads.length === 0 ? ops : (threads.at(-1) as Scenario["ops"]);
  const results = threads.length === 0 ? recording.results : recording.threads?.at(-1);
  const { ret, errno } = results?.[last.findLastIndex(({ op }) => op === "pread" || op === "pwrite")] ?? {};
  return errno ?? String(ret);
}

describe.each(DEFEATS)("$id", ({ cure, id, found, fix }) => {
  test(`defeats ${cure}`, () => expect(outcome(id, run(id, cure))).toBe(found));
  test.each(["6.1", "6.12", "7.2"])("does not defeat %s", (kernel) => expect(outcome(id, run(id, kernel))).toBe(fix));
  test("is told in docs/museum.md, with what comes of it", () => {
    const row = story.split("\n").find((line) => line.includes(`--id ${id} --kernel ${cure}\``)) ?? "";
    expect(row.split("|")[2].toLowerCase()).toMatch(new RegExp(`(^ | returns )${found.toLowerCase()}\\b`));
    if (row.includes("; 6.12 returns")) expect(row).toContain(`; 6.12 returns ${fix} `);
  });
});

test("a trylock does not help against mmap_lock: the ring goes through both", () => {
  const { verdict } = run("cure-three-threads", "cure:trylock-sigbus");
  const report = verdictReport(verdict).join("\n");
  expect(report).toMatch(/holds mmap_lock \(read\)\n.*wants glock a \(PR\)/);
  expect(report).toMatch(/glock a \(EX\)\n.*wants mmap_lock \(read\)/);
});

/** Every allocation of a page is a choice, so a chooser can count them. */
class PageCounter extends FifoChooser {
  pages = 0;
  override choose(): number {
    this.pages++;
    return 0;
  }
}

describe("the bounce buffer", () => {
  test.each([...scenarios.keys()])("does everything right in %s", (id) => {
    const [fix, cure] = ["6.12", "cure:bounce-buffer"].map((kernel) => run(id, kernel));
    expect(cure.verdict.kind).toBe("completed");
    const values = ({ recording: { results, threads, post, final } }: ScenarioRun): unknown =>
      JSON.parse(JSON.stringify([results, threads, post, final]), (key, value) =>
        key === "minflt" || key === "majflt" ? undefined : value,
      );
    expect(values(cure)).toEqual(values(fix));
  });

  test("allocates a page for every page of a write whose buffer is there, where the fix allocates none", () => {
    const pagesOf = (kernel: Gfs2Revision): number => {
      const counter = new PageCounter();
      const machine = new Machine({ kernel, chooser: counter, environment: { "alloc-fail": 1 } });
      const task = machine.task("writer");
      const fd = machine.call(task, sysOpen(task, "a", O_RDWR | O_CREAT));
      const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
      const prot = PROT_READ | PROT_WRITE;
      const buffer = machine.call(task, sysMmap(task, { address: 0, length: 65536, prot, flags }));
      const write = (): number => machine.call(task, sysPwrite64(task, fd, buffer, 65536, 0));
      expect(write()).toBe(65536);
      const before = counter.pages;
      expect(write()).toBe(65536);
      return counter.pages - before;
    };
    expect(["6.12", "cure:bounce-buffer"].map((name) => pagesOf(REVISIONS[name]))).toEqual([0, 16]);
  });
});

test("docs/museum.md tells every story in the words of the code", () => {
  const flat = story.replace(/\s+/g, " ");
  for (const { name, title, story } of CURES) {
    expect(flat).toContain(`## ${name} `);
    for (const words of [title, ...Object.values(story)]) expect(flat).toContain(words);
  }
});

test("every scenario of the museum is in its table", () => {
  const used = new Set([...DEFEATS.map(({ id }) => id), "cure-every-byte-twice"]);
  expect([...scenarios.keys()].filter((id) => !used.has(id))).toEqual([]);
});
