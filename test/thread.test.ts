// Is what was said in the thread about the fourth series true here? docs/thread.md says what to run and what that
// gives: every row is made and compared. Claims about functions are tests of their own.
import { readFileSync } from "node:fs";
import { GFS2_6_12, Machine, REVISIONS, sysMmap } from "@faultline/fs";
import { type MayFault, PAGE_SIZE, RetryGuard } from "@faultline/kernel";
import {
  copyFromUserInatomic,
  doMunmap,
  faultInReadable,
  faultInSafeWriteable,
  faultInSubpageWriteable,
  faultInUserPages,
  faultInWriteable,
  GRANULE_SIZE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MM_5_18,
  MM_LATEST,
  type MmRevision,
  PROT_READ,
  PROT_WRITE,
  pageAddress,
  ptePfn,
  setPoison,
} from "@faultline/mm";
import {
  type OpResult,
  parseScenarios,
  patternByte,
  type RecordedEvent,
  runScenario,
  type Scenario,
  type ScenarioRun,
} from "@faultline/scenario";
import { describe, expect, test } from "vitest";

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
const scenarios = new Map(
  parseScenarios(read("scenarios/thread.jsonl"), "thread.jsonl").map((each) => [each.id, each]),
);
const page = read("docs/thread.md");
const sections = page.split(/^## /m).slice(1);
const rows = [...page.matchAll(/^\| `run --id (\S+) --kernel (\S+)` +\| `([^`]+)`/gm)].map(([, id, kernel, see]) => ({
  id,
  kernel,
  see,
}));

function run(id: string, kernel: string): ScenarioRun {
  const done = runScenario(scenarios.get(id) as Scenario, { kernel: REVISIONS[kernel], traced: true });
  expect(done.leftovers()).toEqual([]);
  return done;
}

/** "16384, EFAULT · faults in 32768, 4096 x2", or how the run ended. */
function summary(id: string, { verdict, recording }: ScenarioRun): string {
  if (verdict.kind !== "completed") return verdict.kind.toUpperCase();
  const { ops, threads, post } = scenarios.get(id) as Scenario;
  const results = [recording.results, ...(recording.threads ?? []), recording.post ?? []];
  const returned = [ops, ...threads, post].flatMap((list, i) =>
    list.flatMap(({ op }, j) => returnedBy(op, results[i][j])),
  );
  const sizes = recording.trace.flatMap(({ op, thread, post: isPost, events }) => {
    const list = isPost === true ? post : thread === undefined ? ops : threads[thread];
    return MOVES.test(list[op].op) ? faultIns(events) : [];
  });
  return returned.join(", ") + (sizes.length === 0 ? "" : ` · faults in ${runLengths(sizes)}`);
}

const MOVES = /^p?(read|write)$/;

function returnedBy(op: string, { ret, errno, sig }: OpResult): string[] {
  if (sig !== undefined) return [sig];
  return MOVES.test(op) ? [errno ?? String(ret)] : [];
}

/** The sizes that gfs2 itself asks for; iomap's own look at each page is left out. */
function faultIns(events: readonly RecordedEvent[]): number[] {
  const sizes: number[] = [];
  let inIomap = false;
  for (const event of events) {
    if (event[0] === "iomap_write") inIomap = event.length === 1;
    if (event[1] === "ret" || inIomap) continue;
    if (event[0] === "fault_in_readable" || event[0] === "fault_in_safe_w") sizes.push(Number(event[3]));
  }
  return sizes;
}

function runLengths(values: readonly number[]): string {
  const parts: { value: number; times: number }[] = [];
  for (const value of values) {
    const last = parts.at(-1);
    if (last?.value === value) last.times++;
    else parts.push({ value, times: 1 });
  }
  return parts.map(({ value, times }) => (times === 1 ? value : `${value} x${times}`)).join(", ");
}

describe("docs/thread.md", () => {
  test.each(rows)("$id on $kernel: $see", ({ id, kernel, see }) => expect(summary(id, run(id, kernel))).toBe(see));

  test("has a section with something to run for each of the nineteen claims, and runs every scenario", () => {
    const wanted = Array.from({ length: 19 }, (_, i) => `S${i + 1}`);
    expect(sections.map((section) => section.split(" ")[0])).toEqual(wanted);
    for (const section of sections) expect(section).toMatch(/^\| `(run --id|test -t)/m);
    expect(new Set(rows.map(({ id }) => id))).toEqual(new Set(scenarios.keys()));
    const rowCount = page.match(/^\| `run --id/gm)?.length;
    expect(rows.length).toBe(rowCount);
  });

  test("names only tests that are here", () => {
    const here = new Set([...read("test/thread.test.ts").matchAll(/^test\("(S\d+):/gm)].map((match) => match[1]));
    const named = [...page.matchAll(/^\| `test -t (S\d+)`/gm)].map((match) => match[1]);
    expect(new Set(named)).toEqual(here);
  });
});

/** A task with `pages` pages of memory, of which those behind the first `good` do not exist. */
class Stage {
  readonly machine: Machine;
  readonly task: ReturnType<Machine["task"]>;
  readonly memory: number;

  constructor(pages: number, good: number, mm: MmRevision = MM_LATEST) {
    this.machine = new Machine({ kernel: { ...GFS2_6_12, mm }, memory: 1 << 20 });
    this.task = this.machine.task("caller");
    this.memory = this.call(sysMmap(this.task, { ...ANONYMOUS, length: pages * PAGE_SIZE }));
    if (good < pages) this.unmap(good, pages - good);
  }

  call<T>(body: MayFault<T>): T {
    return this.machine.call(this.task, body);
  }

  unmap(first: number, count: number): void {
    const { task, memory } = this;
    expect(this.call(doMunmap(task, memory + first * PAGE_SIZE, count * PAGE_SIZE))).toBe(0);
  }

  /** Somewhere in the kernel's memory. */
  get scratch(): number {
    return pageAddress(this.task.mm.mem.tryAllocPage(true));
  }

  /** Make the granule at an offset fail. */
  poison(offset: number): void {
    const { mem, pgd } = this.task.mm;
    const frame = ptePfn(pgd.get(Math.floor((this.memory + offset) / PAGE_SIZE)));
    setPoison(mem, pageAddress(frame) + (offset % PAGE_SIZE), GRANULE_SIZE, true);
  }
}

const ANONYMOUS = { address: 0, prot: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS };

test("S2: what is missing, for all, some and no pages", () => {
  const left = (good: number): number => {
    const stage = new Stage(4, good);
    return stage.call(faultInReadable(stage.task, stage.memory, 4 * PAGE_SIZE));
  };
  expect([4, 2, 0].map(left)).toEqual([0, 2 * PAGE_SIZE, 4 * PAGE_SIZE]);
});

test("S3: a hole in front of a good page", () => {
  const stage = new Stage(2, 2);
  stage.unmap(0, 1);
  const { task, memory } = stage;
  expect(stage.call(faultInSafeWriteable(task, memory, 2 * PAGE_SIZE))).toBe(2 * PAGE_SIZE);
  // Counted as done, hole and all: a caller who then copies from the beginning gets nowhere.
  expect(stage.call(faultInUserPages(task, memory, 2 * PAGE_SIZE, true))).toBe(2 * PAGE_SIZE);
});

test("S4: a resident page costs the reading helper nothing and the writing one a walk", () => {
  const { recording } = run("s4-reading-is-cheaper", "6.12");
  const handled = (op: number): number =>
    (recording.trace.find((trace) => trace.op === op)?.events ?? []).filter(
      ([name, next]) => name === "mm_fault" && next !== "ret",
    ).length;
  expect([handled(3), handled(5)]).toEqual([0, 3]);
});

test("S7: a poisoned granule is not missing, and yet cannot be copied", () => {
  const stage = new Stage(1, 1);
  const { task, memory } = stage;
  expect(stage.call(faultInWriteable(task, memory, PAGE_SIZE))).toBe(0);
  stage.poison(PAGE_SIZE - GRANULE_SIZE);
  expect(stage.call(faultInReadable(task, memory, PAGE_SIZE))).toBe(0);
  expect(copyFromUserInatomic(task, stage.scratch, memory, PAGE_SIZE)).toBe(GRANULE_SIZE);
});

test("S13: two writers that fault in the middle do not mix", () => {
  const { recording } = run("s13-pipe-fault", "6.12");
  const sums = recording.post?.filter(({ sum }) => sum !== undefined).map(({ sum }) => sum);
  const bytes = (seed: number): number[] =>
    Array.from({ length: PAGE_SIZE }, (_, i) => patternByte(seed, PAGE_SIZE / 2 + i));
  const fnv = (values: readonly number[]): string =>
    values
      .reduce((hash, byte) => Math.imul(hash ^ byte, 16777619) >>> 0, 2166136261)
      .toString(16)
      .padStart(8, "0");
  expect(new Set(sums)).toEqual(new Set([fnv(bytes(1)), fnv(bytes(2))]));
});

test("S14: fault-in and copy count alike, wherever the hole begins", () => {
  const stage = new Stage(3, 2);
  const { task, memory, scratch } = stage;
  for (const size of [1, PAGE_SIZE, 2 * PAGE_SIZE, 2 * PAGE_SIZE + 1, 3 * PAGE_SIZE]) {
    const left = stage.call(faultInReadable(task, memory, size));
    expect(copyFromUserInatomic(task, scratch, memory, size)).toBe(left);
  }
});

test("S16: pages faulted in for writing are our own, and nobody has written them", () => {
  const { recording } = run("s16-nothing-is-written", "6.12");
  const [pagemap, mapped, file] = recording.results.slice(-3);
  expect(pagemap.pages).toBe("A*4");
  expect(mapped.sum).toBe(file.sum);
});

test("S17: some callers need every byte", () => {
  const stage = new Stage(2, 2);
  const { task, memory } = stage;
  expect(stage.call(faultInWriteable(task, memory, 2 * PAGE_SIZE))).toBe(0);
  stage.poison(PAGE_SIZE + 160);
  expect(stage.call(faultInWriteable(task, memory, 2 * PAGE_SIZE))).toBe(0);
  expect(stage.call(faultInSubpageWriteable(task, memory, 2 * PAGE_SIZE))).toBe(PAGE_SIZE - 160);
});

test("S18: restoring the FPU's registers from a frame that runs into a hole", () => {
  /** Copy with faults disabled until it works, or until nothing more can be faulted in. */
  function* restoreFpregs({ task, memory, scratch }: Stage): MayFault<string> {
    const guard = new RetryGuard("restore_fpregs_from_user");
    while (copyFromUserInatomic(task, scratch, memory, 2 * PAGE_SIZE) > 0) {
      if ((yield* faultInSafeWriteable(task, memory, 2 * PAGE_SIZE)) > 0) return "gives up";
      guard.again("the second page is not there");
    }
    return "restored";
  }
  const end = (mm: MmRevision): string => {
    const stage = new Stage(2, 1, mm);
    stage.machine.start(stage.task, restoreFpregs(stage));
    const { verdict } = stage.machine.run();
    return verdict.kind === "completed" ? String(stage.task.result) : verdict.kind;
  };
  expect(end(MM_LATEST)).toBe("gives up");
  // 5.18 to 6.14: some progress is reported as complete.
  expect(end(MM_5_18)).toBe("livelock");
});
