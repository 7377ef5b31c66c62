// Who gets a glock and when: the contract of the queue, table by table. An object that only notes what happens
// to it stands for the inode; where another node is needed, the lock manager is the test itself.
import { type Chooser, ECHILD, EIO, err, type MaySleep, Mutex, mutexLock } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import { bugOf, GlockBench, ManualManager } from "../testing/glock-bench.ts";
import { GLF_DEMOTE, GLF_PENDING_DEMOTE } from "./glock.ts";
import { gfs2GlockCb } from "./glock-demote.ts";
import {
  gfs2GlockDq,
  gfs2GlockNq,
  gfs2GlockPoll,
  gfs2GlockTryNq,
  gfs2GlockWait,
  gfs2HolderAllowDemote,
  gfs2HolderDisallowDemote,
  gfs2HolderQueued,
} from "./glock-queue.ts";
import {
  LM_ST_DEFERRED as DF,
  LM_ST_EXCLUSIVE as EX,
  GL_ASYNC,
  GL_EXACT,
  GL_NOBLOCK,
  GL_NOCACHE,
  GL_NOPID,
  GL_SKIP,
  GLR_TRYFAILED,
  LM_FLAG_ANY,
  LM_FLAG_NODE_SCOPE,
  LM_FLAG_NOEXP,
  LM_FLAG_TRY,
  LM_FLAG_TRY_1CB,
  LM_OUT_CANCELED,
  LM_OUT_ERROR,
  LM_ST_SHARED as SH,
  LM_ST_UNLOCKED as UN,
} from "./lm.ts";

const SCOPE = LM_FLAG_NODE_SCOPE;

describe("may a second holder on one node join the first?", () => {
  test.each([
    { desc: "SH and SH", held: SH, wants: SH, flags: [0, 0], want: true },
    { desc: "DF and DF", held: DF, wants: DF, flags: [0, 0], want: true },
    { desc: "SH and DF", held: SH, wants: DF, flags: [0, 0], want: false },
    { desc: "DF and SH", held: DF, wants: SH, flags: [0, 0], want: false },
    { desc: "EX and EX", held: EX, wants: EX, flags: [0, 0], want: false },
    { desc: "EX and EX, both of node scope", held: EX, wants: EX, flags: [SCOPE, SCOPE], want: true },
    { desc: "EX and EX, only the first of node scope", held: EX, wants: EX, flags: [SCOPE, 0], want: false },
    { desc: "EX and EX, only the second of node scope", held: EX, wants: EX, flags: [0, SCOPE], want: false },
    { desc: "EX and SH", held: EX, wants: SH, flags: [0, 0], want: false },
    { desc: "EX and DF", held: EX, wants: DF, flags: [0, 0], want: false },
    { desc: "SH and EX", held: SH, wants: EX, flags: [0, 0], want: false },
    { desc: "SH and EX of node scope", held: SH, wants: EX, flags: [SCOPE, SCOPE], want: false },
    { desc: "SH, and any state", held: SH, wants: DF, flags: [0, LM_FLAG_ANY], want: false },
  ])("$desc: $want", ({ held, wants, flags, want }) => {
    const bench = new GlockBench();
    const first = bench.asks("first", held, flags[0]);
    const second = bench.asks("second", wants, flags[1]);
    expect(first.got).toBe(0);
    expect(second.got).toBe(want ? 0 : null);
    first.release();
    expect(second.got).toBe(0);
  });
});

describe("does a cached state do, or must it change?", () => {
  const cases = [
    { desc: "EX for EX", cached: EX, wants: EX, flags: 0, state: EX, deeds: [] },
    { desc: "EX for SH", cached: EX, wants: SH, flags: 0, state: EX, deeds: [] },
    { desc: "EX for DF", cached: EX, wants: DF, flags: 0, state: EX, deeds: [] },
    { desc: "EX for exactly SH", cached: EX, wants: SH, flags: GL_EXACT, state: SH, deeds: ["sync"] },
    {
      desc: "EX for exactly DF",
      cached: EX,
      wants: DF,
      flags: GL_EXACT,
      state: DF,
      deeds: ["sync", "invalidate data"],
    },
    { desc: "EX for exactly EX", cached: EX, wants: EX, flags: GL_EXACT, state: EX, deeds: [] },
    { desc: "SH for SH", cached: SH, wants: SH, flags: 0, state: SH, deeds: [] },
    { desc: "SH for DF", cached: SH, wants: DF, flags: 0, state: DF, deeds: ["sync", "invalidate data"] },
    { desc: "SH for any, DF named", cached: SH, wants: DF, flags: LM_FLAG_ANY, state: SH, deeds: [] },
    {
      desc: "SH for any, but exactly DF",
      cached: SH,
      wants: DF,
      flags: LM_FLAG_ANY | GL_EXACT,
      state: DF,
      deeds: ["sync", "invalidate data"],
    },
    { desc: "SH for EX: what is cached stays", cached: SH, wants: EX, flags: 0, state: EX, deeds: ["sync"] },
    { desc: "DF for SH", cached: DF, wants: SH, flags: 0, state: SH, deeds: ["sync"] },
    { desc: "DF for any, SH named", cached: DF, wants: SH, flags: LM_FLAG_ANY, state: DF, deeds: [] },
    { desc: "DF for EX", cached: DF, wants: EX, flags: 0, state: EX, deeds: ["sync"] },
    { desc: "UN for any, SH named", cached: UN, wants: SH, flags: LM_FLAG_ANY, state: SH, deeds: ["sync"] },
    { desc: "UN for EX", cached: UN, wants: EX, flags: 0, state: EX, deeds: ["sync"] },
  ];
  test.each(cases)("$desc", ({ cached, wants, flags, state, deeds }) => {
    const bench = new GlockBench();
    bench.cache(cached);
    bench.deeds.length = 0;
    const request = bench.asks("task", wants, flags);
    expect(request.got).toBe(0);
    expect(bench.glock.state).toBe(state);
    expect(bench.deeds).toEqual(deeds);
    request.release();
    expect(bench.glock.state, "it stays cached").toBe(state);
    expect(bench.glock.queue.length).toBe(0);
  });

  test("letting go of GL_NOCACHE takes the state along, and everything cached", () => {
    const bench = new GlockBench();
    const request = bench.asks("task", SH, GL_NOCACHE);
    bench.deeds.length = 0;
    request.release();
    expect(bench.glock.state).toBe(UN);
    expect(bench.deeds).toEqual(["sync", "invalidate all"]);
  });
});

describe("strict order", () => {
  test("a request that would go with the holders waits behind one that does not", () => {
    const bench = new GlockBench();
    const reader = bench.asks("reader", SH);
    const writer = bench.asks("writer", EX);
    const late = bench.asks("late reader", SH);
    expect([reader.got, writer.got, late.got]).toEqual([0, null, null]);
    reader.release();
    expect([writer.got, late.got]).toEqual([0, null]);
    writer.release();
    expect(late.got).toBe(0);
  });

  test("all that go together are granted together, up to the first that does not", () => {
    const bench = new GlockBench();
    const writer = bench.asks("writer", EX);
    const readers = [1, 2, 3].map((i) => bench.asks(`reader ${i}`, SH));
    const second = bench.asks("second writer", EX);
    const last = bench.asks("last reader", SH);
    writer.release();
    expect(readers.map(({ got }) => got)).toEqual([0, 0, 0]);
    expect([second.got, last.got]).toEqual([null, null]);
    for (const reader of readers.toReversed()) reader.release();
    expect([second.got, last.got]).toEqual([0, null]);
  });

  test("holders may leave in any order", () => {
    const bench = new GlockBench();
    const readers = [1, 2, 3, 4].map((i) => bench.asks(`reader ${i}`, SH));
    const writer = bench.asks("writer", EX);
    for (const i of [1, 3, 0]) {
      readers[i].release();
      expect(writer.got).toBe(null);
    }
    readers[2].release();
    expect(writer.got).toBe(0);
  });
});

describe("requests that do not wait", () => {
  test.each([
    { desc: "a try fails", flags: LM_FLAG_TRY, want: GLR_TRYFAILED },
    { desc: "GL_NOBLOCK fails", flags: GL_NOBLOCK, want: err(ECHILD) },
  ])("behind a holder in the way $desc", ({ flags, want }) => {
    const bench = new GlockBench();
    const first = bench.asks("first", EX);
    expect(first.got).toBe(0);
    expect(bench.asks("second", SH, flags).got).toBe(want);
    expect(bench.glock.queue.length).toBe(1);
  });

  test("GL_NOBLOCK with nobody in the way", () => {
    const bench = new GlockBench();
    bench.cache(EX);
    expect(bench.asks("task", SH, GL_NOBLOCK).got).toBe(0);
  });

  test.each([LM_FLAG_TRY, LM_FLAG_TRY_1CB])(
    "a try (%#) whose state another node has fails, and asks for no queue",
    (flag) => {
      const lm = new ManualManager();
      const bench = new GlockBench({ lm });
      const request = bench.asks("task", EX, flag);
      expect(lm.asked.map(({ state, flags }) => [state, flags])).toEqual([[EX, flag]]);
      lm.asked[0].reply(UN);
      bench.run();
      expect(request.got).toBe(GLR_TRYFAILED);
      expect(bench.glock.queue.length).toBe(0);
    },
  );

  test("a try that comes while the state changes for others fails if it would have to wait", () => {
    const lm = new ManualManager();
    const bench = new GlockBench({ lm });
    const first = bench.asks("first", EX);
    expect(bench.asks("try", SH, LM_FLAG_TRY).got).toBe(GLR_TRYFAILED);
    lm.asked[0].reply(EX);
    bench.run();
    expect(first.got).toBe(0);
  });

  // Not in the queue yet, and cached already: the long way, and the short one.
  test.each([UN, EX])("lockdep learns an order from who would wait, not from a try (state %i)", (cached) => {
    const orderAfter = (flag: number): string[] => {
      const bench = new GlockBench();
      if (cached !== UN) bench.cache(cached);
      const task = bench.task("task");
      const mutex = new Mutex(bench.world, "outer");
      bench.world.runSync(task, mutexLock(task, mutex));
      expect(bench.world.runSync(task, gfs2GlockNq(task, bench.holder(EX, flag)))).toBe(0);
      return bench.world.lockdep!.edges.map(({ from, to }) => `${from} > ${to}`);
    };
    expect([orderAfter(0), orderAfter(LM_FLAG_TRY)]).toEqual([["outer > glock:inode"], []]);
  });

  test("GL_ASYNC: asked, polled, waited for", () => {
    const lm = new ManualManager();
    const bench = new GlockBench({ lm });
    const holder = bench.holder(EX, GL_ASYNC);
    const task = bench.task("task");
    expect(bench.world.runSync(task, gfs2GlockNq(task, holder))).toBe(0);
    expect(gfs2GlockPoll(holder)).toBe(false);
    lm.asked[0].reply(EX);
    bench.run();
    expect(gfs2GlockPoll(holder)).toBe(true);
    expect(gfs2HolderQueued(holder)).toBe(true);
    expect(bench.world.runSync(task, gfs2GlockWait(task, holder))).toBe(0);
    expect(task.held.length).toBe(1);
    gfs2GlockDq(task, holder);
    expect(task.held.length).toBe(0);
  });

  test("the shortcut takes only what is there", () => {
    const bench = new GlockBench();
    const task = bench.task("task");
    expect(gfs2GlockTryNq(task, bench.holder(SH))).toBe(false);
    bench.cache(EX);
    const holder = bench.holder(SH);
    expect(gfs2GlockTryNq(task, holder)).toBe(true);
    expect(gfs2GlockTryNq(bench.task("other"), bench.holder(SH))).toBe(false);
    gfs2GlockDq(task, holder);
  });
});

describe("what the lock manager may answer", () => {
  test("an error: -EIO for all that wait", () => {
    const lm = new ManualManager();
    const bench = new GlockBench({ lm });
    const first = bench.asks("first", EX);
    const second = bench.asks("second", SH);
    lm.asked[0].reply(UN | LM_OUT_ERROR);
    bench.run();
    expect([first.got, second.got]).toEqual([err(EIO), err(EIO)]);
  });

  test("a conversion that would deadlock: back to UN, dropping what is cached, and again", () => {
    const lm = new ManualManager();
    const bench = new GlockBench({ lm });
    const reader = bench.asks("reader", SH);
    lm.asked[0].reply(SH);
    bench.run();
    reader.release();
    bench.deeds.length = 0;
    const writer = bench.asks("writer", EX);
    lm.asked[1].reply(SH);
    bench.run();
    expect(lm.asked.map(({ state }) => state)).toEqual([SH, EX, UN]);
    lm.asked[2].reply(UN);
    bench.run();
    expect(lm.asked.map(({ state }) => state)).toEqual([SH, EX, UN, EX]);
    lm.asked[3].reply(EX);
    bench.run();
    expect(writer.got).toBe(0);
    expect(bench.deeds).toEqual(["sync", "sync", "invalidate all", "sync", "instantiate"]);
    expect(bench.glock.holdTime, "it was taken away twice").toBe(150_000);
  });

  test("a request that was given up: the next in line is asked for first", () => {
    const lm = new ManualManager();
    const bench = new GlockBench({ lm });
    const writer = bench.asks("writer", EX);
    const reader = bench.asks("reader", SH);
    lm.asked[0].reply(UN | LM_OUT_CANCELED);
    bench.run();
    expect(lm.asked.map(({ state }) => state)).toEqual([EX, SH]);
    lm.asked[1].reply(SH);
    bench.run();
    expect([writer.got, reader.got]).toEqual([null, 0]);
  });
});

describe("another node asks because the environment chooses so", () => {
  class Asking implements Chooser {
    readonly preemptive = false;
    readonly counts: number[] = [];
    answer = 0;

    choose(_choice: string, count: number): number {
      this.counts.push(count);
      return this.answer;
    }

    pickTask(): number {
      return 0;
    }
  }

  test.each([
    {
      desc: "EX for writing, EX",
      cached: EX,
      answer: 1,
      wants: EX,
      counts: 3,
      deeds: ["sync", "invalidate all", "sync"],
    },
    {
      desc: "EX for writing, SH",
      cached: EX,
      answer: 1,
      wants: SH,
      counts: 3,
      deeds: ["sync", "invalidate all", "sync"],
    },
    { desc: "EX for reading, SH", cached: EX, answer: 2, wants: SH, counts: 3, deeds: ["sync"] },
    {
      desc: "SH for writing, SH",
      cached: SH,
      answer: 1,
      wants: SH,
      counts: 2,
      deeds: ["sync", "invalidate all", "sync"],
    },
    { desc: "not", cached: EX, answer: 0, wants: SH, counts: 3, deeds: [] },
  ])("for a cached $desc wanted here", ({ cached, answer, wants, counts, deeds }) => {
    const chooser = new Asking();
    const bench = new GlockBench({ chooser });
    bench.cache(cached);
    expect(chooser.counts).toEqual([]);
    bench.deeds.length = 0;
    chooser.answer = answer;
    const request = bench.asks("task", wants, GL_SKIP);
    expect(request.got).toBe(0);
    expect(chooser.counts).toEqual([counts]);
    expect(bench.deeds).toEqual(deeds);
    expect(bench.glock.queue.length).toBe(1);
    request.release();
  });

  test("the shortcut does not pass the question over", () => {
    const bench = new GlockBench({ chooser: new Asking() });
    bench.cache(EX);
    expect(gfs2GlockTryNq(bench.task("task"), bench.holder(SH))).toBe(false);
  });
});

describe("another node asks", () => {
  /** A glock in a state, with nobody using it. */
  function cached(state: number): { bench: GlockBench; lm: ManualManager } {
    const lm = new ManualManager();
    const bench = new GlockBench({ lm });
    const request = bench.asks("task", state);
    lm.asked[0].reply(state);
    bench.run();
    request.release();
    bench.deeds.length = 0;
    lm.asked.length = 0;
    return { bench, lm };
  }

  test.each([
    { desc: "EX to SH keeps what is clean", from: EX, to: SH, deeds: ["sync"] },
    { desc: "EX to DF drops the data", from: EX, to: DF, deeds: ["sync", "invalidate data"] },
    { desc: "EX to UN drops all", from: EX, to: UN, deeds: ["sync", "invalidate all"] },
    { desc: "SH to DF drops the data", from: SH, to: DF, deeds: ["sync", "invalidate data"] },
    { desc: "SH to UN drops all", from: SH, to: UN, deeds: ["sync", "invalidate all"] },
    { desc: "DF to UN drops all", from: DF, to: UN, deeds: ["sync", "invalidate all"] },
  ])("$desc", ({ from, to, deeds }) => {
    const { bench, lm } = cached(from);
    gfs2GlockCb(bench.glock, to);
    expect(bench.glock.flags & GLF_DEMOTE, "unused: no hold time").not.toBe(0);
    bench.asks("idle", UN, GL_SKIP);
    expect(lm.asked.map(({ state }) => state)).toEqual([to]);
    expect(bench.deeds).toEqual(deeds);
  });

  test("two that want different states take it altogether", () => {
    const { bench } = cached(EX);
    gfs2GlockCb(bench.glock, SH);
    gfs2GlockCb(bench.glock, DF);
    expect(bench.glock.demoteState).toBe(UN);
  });

  test("a holder keeps it; then it goes before waiters of this node are served", () => {
    const { bench, lm } = cached(EX);
    const holder = bench.asks("holder", SH);
    bench.glock.lastChange = -1_000_000;
    gfs2GlockCb(bench.glock, UN);
    const waiter = bench.asks("waiter", SH);
    expect([holder.got, waiter.got, lm.asked.length]).toEqual([0, null, 0]);
    holder.release();
    expect(lm.asked.map(({ state }) => state)).toEqual([UN]);
    lm.asked[0].reply(UN);
    bench.run();
    expect(lm.asked.map(({ state }) => state)).toEqual([UN, SH]);
    lm.asked[1].reply(SH);
    bench.run();
    expect(waiter.got).toBe(0);
    expect(bench.deeds.at(-1), "what was dropped is read again").toBe("instantiate");
  });

  test("in use, it stays for its hold time", () => {
    const { bench, lm } = cached(EX);
    const holder = bench.asks("holder", EX);
    const since = bench.glock.lastChange;
    gfs2GlockCb(bench.glock, UN);
    expect(bench.glock.flags & (GLF_DEMOTE | GLF_PENDING_DEMOTE)).toBe(GLF_PENDING_DEMOTE);
    holder.release();
    expect(lm.asked.length).toBe(0);
    const next = bench.asks("next", EX);
    expect(next.got, "those who come within that time may use it").toBe(0);
    next.release();
    while (lm.asked.length === 0 && bench.world.expireTimer()) bench.run();
    bench.asks("idle", UN, GL_SKIP | GL_NOBLOCK);
    expect(bench.world.now - since).toBeGreaterThanOrEqual(200_000);
    expect(lm.asked.map(({ state }) => state)).toEqual([UN]);
  });

  test("only locks of inodes have a hold time", () => {
    const lm = new ManualManager();
    const bench = new GlockBench({ type: "meta", lm });
    const holder = bench.asks("holder", EX);
    lm.asked[0].reply(EX);
    bench.run();
    gfs2GlockCb(bench.glock, UN);
    expect(bench.glock.flags & (GLF_DEMOTE | GLF_PENDING_DEMOTE)).toBe(GLF_DEMOTE);
    holder.release();
    expect(lm.asked.map(({ state }) => state)).toEqual([EX, UN]);
  });

  test("a write-back that fails keeps the lock: the node withdraws, and its requests fail", () => {
    const { bench, lm } = cached(EX);
    bench.syncStatus = err(EIO);
    gfs2GlockCb(bench.glock, UN);
    bench.asks("idle", UN, GL_SKIP | GL_NOBLOCK);
    expect(bench.deeds).toEqual(["sync", "withdraw"]);
    expect(lm.asked).toEqual([]);
    expect(bench.asks("task", SH).got).toBe(err(EIO));
    bench.syncStatus = 0;
    expect(bench.asks("NOEXP", EX, LM_FLAG_NOEXP).got, "what cleans up may go on").toBe(0);
  });
});

describe("one task, twice in one queue", () => {
  test.each([
    { desc: "SH over SH", first: [SH, 0], second: [SH, 0], want: true },
    { desc: "SH over EX", first: [EX, 0], second: [SH, 0], want: true },
    { desc: "node scope", first: [EX, SCOPE], second: [EX, SCOPE], want: true },
    { desc: "a try", first: [EX, 0], second: [SH, LM_FLAG_TRY], want: true },
    { desc: "the first belongs to nobody", first: [SH, GL_NOPID], second: [SH, 0], want: false },
    { desc: "the second belongs to nobody", first: [SH, 0], second: [SH, GL_NOPID], want: true },
  ])("$desc: BUG $want", ({ first, second, want }) => {
    const bench = new GlockBench();
    const task = bench.task("task");
    const nq = (at: readonly number[]): MaySleep<number> => gfs2GlockNq(task, bench.holder(at[0], at[1]));
    expect(bench.world.runSync(task, nq(first))).toBe(0);
    const bug = bugOf(() => bench.world.runSync(task, nq(second)));
    expect(bug !== null).toBe(want);
    if (bug === null) return;
    expect(bug.message).toContain("kernel BUG at fs/gfs2/glock.c");
    expect(bug.dump.slice(0, 2)).toEqual(["original: test", `pid: ${task.pid}`]);
    expect(bug.dump.some((line) => line.startsWith("G: "))).toBe(true);
  });

  test("one that waits is one, too: of GL_NOPID as well", () => {
    const bench = new GlockBench({ lm: new ManualManager() });
    const task = bench.task("task");
    bench.world.runSync(task, gfs2GlockNq(task, bench.holder(EX, GL_ASYNC | GL_NOPID)));
    expect(bugOf(() => bench.world.runSync(task, gfs2GlockNq(task, bench.holder(EX, GL_ASYNC))))).not.toBe(null);
  });

  test("file locks may be taken twice", () => {
    const bench = new GlockBench({ type: "flock" });
    const task = bench.task("task");
    for (let i = 0; i < 2; i++) expect(bench.world.runSync(task, gfs2GlockNq(task, bench.holder(SH)))).toBe(0);
  });

  test("a holder that may be taken away does not count (5.16)", () => {
    const bench = new GlockBench();
    const task = bench.task("task");
    const weak = bench.holder(SH);
    bench.world.runSync(task, gfs2GlockNq(task, weak));
    gfs2HolderAllowDemote(weak);
    expect(bench.world.runSync(task, gfs2GlockNq(task, bench.holder(SH)))).toBe(0);
  });
});

describe("holders that may be taken away (5.16)", () => {
  test.each([
    { desc: "SH stays for SH", weak: SH, wants: SH, kept: true },
    { desc: "SH goes for EX", weak: SH, wants: EX, kept: false },
    { desc: "SH goes for DF", weak: SH, wants: DF, kept: false },
    { desc: "EX goes for SH", weak: EX, wants: SH, kept: false },
    { desc: "EX goes for EX", weak: EX, wants: EX, kept: false },
    { desc: "DF stays for DF", weak: DF, wants: DF, kept: true },
  ])("asked for on this node: $desc", ({ weak, wants, kept }) => {
    const bench = new GlockBench();
    const first = bench.asks("faulting", weak);
    gfs2HolderAllowDemote(first.holder);
    expect(bench.asks("other", wants).got).toBe(0);
    expect(gfs2HolderQueued(first.holder)).toBe(kept);
    expect(first.task.held.length).toBe(kept ? 1 : 0);
  });

  test.each([
    { desc: "UN takes SH", weak: SH, to: UN, kept: false },
    { desc: "SH leaves SH", weak: SH, to: SH, kept: true },
    { desc: "SH takes EX", weak: EX, to: SH, kept: false },
    { desc: "DF leaves DF", weak: DF, to: DF, kept: true },
  ])("asked for by another node: $desc", ({ weak, to, kept }) => {
    const bench = new GlockBench();
    const first = bench.asks("faulting", weak);
    gfs2HolderAllowDemote(first.holder);
    gfs2GlockCb(bench.glock, to);
    expect(gfs2HolderQueued(first.holder)).toBe(kept);
  });

  test("while one that cannot be taken away is left, none goes; when it leaves, all go", () => {
    const bench = new GlockBench();
    const weak = bench.asks("faulting", SH);
    const strong = bench.asks("reading", SH);
    gfs2HolderAllowDemote(weak.holder);
    gfs2GlockCb(bench.glock, UN);
    expect(gfs2HolderQueued(weak.holder)).toBe(true);
    strong.release();
    expect(gfs2HolderQueued(weak.holder)).toBe(false);
  });

  test("once disallowed, it counts again", () => {
    const bench = new GlockBench();
    const first = bench.asks("faulting", SH);
    gfs2HolderAllowDemote(first.holder);
    gfs2HolderDisallowDemote(first.holder);
    expect(bench.asks("other", EX).got).toBe(null);
    expect(gfs2HolderQueued(first.holder)).toBe(true);
  });
});

test("what the queue counts", () => {
  const bench = new GlockBench();
  bench.cache(EX);
  for (let i = 0; i < 3; i++) bench.asks("task", SH).release();
  expect(bench.glock.stats).toEqual({ queued: 4, immediate: 3, stateChanges: 1, demotes: 0 });
});
