// Several nodes on one disk: what the others see, in which order a lock moves, and the deadlocks that need two
// nodes. Each deadlock comes with the revision that it cannot happen on.
import { deadlockReport, EAGAIN, err, type MayFault, PAGE_SIZE, type Verdict } from "@faultline/kernel";
import { FAULTS_ENABLED, MAP_SHARED } from "@faultline/mm";
import { describe, expect, test } from "vitest";
import { genericFileReadIter } from "./cache/generic-read-iter.ts";
import type { Gfs2Revision } from "./index.ts";
import { GFS2_5_10, GFS2_6_12, Machine, O_DIRECT, O_RDWR, sysPread64 } from "./index.ts";
import { type Process, Rig } from "./testing/cluster-rig.ts";
import { IOCB_NOIO } from "./vfs/kiocb.ts";

const KB16 = "x".repeat(4 * PAGE_SIZE);

/** A rig with a process on each of two nodes, and a file of 16 KiB that both have open. */
function pair(kernel: Gfs2Revision = GFS2_6_12): { rig: Rig; n1: Process; n2: Process; f1: number; f2: number } {
  const rig = new Rig({ nodes: 2, kernel });
  const [n1, n2] = [rig.process("n1", 1), rig.process("n2", 2)];
  const f1 = n1.does(n1.open("f"));
  const f2 = n2.does(n2.open("f"));
  n1.does(n1.write(f1, KB16, 0));
  n1.does(n1.sleeps(1000));
  return { rig, n1, n2, f1, f2 };
}

/** Events of locks and of the cache, by what they say of the order in which a lock moves. */
const MOVES = /dlm_|demote_rq|state_change|promote|page_cache|page_mkwrite /;

describe("a lock moves", () => {
  test("node 2 reads what node 1 wrote: 1 writes back and keeps its pages, 2 reads from disk", () => {
    const { rig, n1, n2, f2 } = pair();
    const [first, second] = rig.machine.nodes.map(({ sbd }) => [...sbd.inodes()][0]);
    expect([first.mapping.nrDirty, rig.onDisk("f")]).toEqual([4, ""]);
    const from = rig.tracer.count;
    expect(n2.does(n2.read(f2, 4 * PAGE_SIZE, 0))).toBe(KB16);
    expect(rig.onDisk("f")).toBe(KB16);
    expect([first.mapping.nrDirty, first.mapping.pages.next(0, 4)]).toEqual([0, 0]);
    expect(second.size).toBe(4 * PAGE_SIZE);
    const { pid } = n2.task;
    const events = rig
      .events(MOVES, from)
      .map((line) => line.replace(/^task (\d+)/, (_, by) => (by === `${pid}` ? "2" : "-")));
    expect(
      events
        .map((line) =>
          line
            .replace(/lock=lock inode 1 /, "")
            .replace(/ino=1 /, "")
            .replace(/ pfn=\d+/, ""),
        )
        .slice(0, 13),
    ).toEqual([
      "- dlm_lock_start node=2 dlmMode=PR",
      "- dlm_bast node=1 dlmMode=PR",
      "- gfs2_demote_rq glockState=PR remote=1",
      "- dlm_lock_start node=1 dlmMode=PR",
      "- dlm_ast node=1 dlmMode=PR ret=0",
      "- gfs2_glock_state_change glockState=PR target=PR",
      "- dlm_ast node=2 dlmMode=PR ret=0",
      "- gfs2_glock_state_change glockState=PR target=PR",
      "- gfs2_promote glockState=PR",
      "2 mm_filemap_add_to_page_cache pgoff=0",
      "2 mm_filemap_add_to_page_cache pgoff=1",
      "2 mm_filemap_add_to_page_cache pgoff=2",
      "2 mm_filemap_add_to_page_cache pgoff=3",
    ]);
    expect([...n1.task.root.lockSpace.glocks()].map(({ stats }) => stats.demotes)).toEqual([1]);
  });

  test("then node 1 writes again: 2 drops its pages first, 1 keeps those it had", () => {
    const { rig, n1, n2, f1, f2 } = pair();
    n2.does(n2.read(f2, 4 * PAGE_SIZE, 0));
    const from = rig.tracer.count;
    n1.does(n1.write(f1, "y", 0));
    expect(
      rig
        .events(MOVES, from)
        .map((line) => line.replace(/^task \d+ /, "").replace(/lock=lock inode 1 |ino=1 | pfn=\d+/g, "")),
    ).toEqual([
      "dlm_lock_start node=1 dlmMode=EX",
      "dlm_bast node=2 dlmMode=EX",
      "gfs2_demote_rq glockState=NL remote=1",
      ...[0, 1, 2, 3].map((page) => `mm_filemap_delete_from_page_cache pgoff=${page}`),
      "dlm_lock_start node=2 dlmMode=NL",
      "dlm_ast node=1 dlmMode=EX ret=0",
      "gfs2_glock_state_change glockState=EX target=EX",
      "gfs2_promote glockState=EX",
    ]);
    expect(n2.does(n2.read(f2, 2, 0))).toBe("yx");
  });

  test("node 2 reads directly: node 1 drops its pages, too", () => {
    const { rig, n2 } = pair();
    const direct = n2.does(n2.open("f", O_RDWR | O_DIRECT));
    expect(n2.does(n2.read(direct, PAGE_SIZE, 0))).toBe(KB16.slice(0, PAGE_SIZE));
    const [first] = rig.machine.nodes.map(({ sbd }) => [...sbd.inodes()][0]);
    expect(first.mapping.pages.next(0, 4)).toBe(4);
  });

  test("a store through a mapping asks for the lock again after another node has read", () => {
    const { rig, n1, n2, f1, f2 } = pair();
    const map = n1.does(n1.mmap(f1, PAGE_SIZE, MAP_SHARED));
    n1.does(n1.store(map, "mapped"));
    expect(n2.does(n2.read(f2, 6, 0))).toBe("mapped");
    const from = rig.tracer.count;
    n1.does(n1.store(map, "again!"));
    expect(rig.events(/page_mkwrite /, from).length).toBe(1);
    expect(n2.does(n2.read(f2, 6, 0))).toBe("again!");
    expect(n2.does(n2.read(f2, 6, 0))).toBe("again!");
    n2.does(n2.write(f2, "theirs", 0));
    expect(n1.does(n1.load(map, 6)), "its entry in the page table is gone, too").toBe("theirs");
  });

  test("size, tail and holes are read again: files that grow, shrink and move into the dinode", () => {
    const rig = new Rig({ nodes: 2 });
    const [n1, n2] = [rig.process("n1", 1), rig.process("n2", 2)];
    const f1 = n1.does(n1.open("small"));
    const f2 = n2.does(n2.open("small"));
    n1.does(n1.write(f1, "abc", 0));
    expect(n2.does(n2.read(f2, 100, 0))).toBe("abc");
    n2.does(n2.write(f2, "DEF", 3));
    expect(n1.does(n1.read(f1, 100, 0))).toBe("abcDEF");
    n1.does(n1.write(f1, "far", 3 * PAGE_SIZE));
    expect(n2.does(n2.read(f2, 4 * PAGE_SIZE, 0))).toBe(`abcDEF${"\0".repeat(3 * PAGE_SIZE - 6)}far`);
    expect(n2.does(n2.read(f2, 100, 3 * PAGE_SIZE))).toBe("far");
  });

  test("two that both read and then both write: one conversion is refused, nobody hangs", () => {
    const { rig, n1, n2, f1, f2 } = pair();
    n2.does(n2.read(f2, 1, 0));
    n1.does(n1.read(f1, 1, 0));
    rig.completes([n1, n1.write(f1, "1", 0)], [n2, n2.write(f2, "2", 1)]);
    expect(n1.does(n1.read(f1, 3, 0))).toBe("12x");
    expect(rig.machine.dlm?.stats.deadlocks).toBe(1);
  });
});

/** A file that a task reads, and the mapping of another one that it reads into. */
interface Plan {
  readonly process: Process;
  readonly fd: number;
  readonly map: number;
}

/** Files a and b, one page each; on each node a task that is about to read one into a mapping of the other. */
function crossed(kernel: Gfs2Revision, flags: number): { rig: Rig; a: Plan; b: Plan } {
  const rig = new Rig({ nodes: 2, kernel });
  const maker = rig.process("maker");
  for (const name of ["a", "b"]) maker.does(maker.write(maker.does(maker.open(name)), name.repeat(PAGE_SIZE), 0));
  const plan = (comm: string, node: number, from: string, into: string): Plan => {
    const process = rig.process(comm, node);
    const fd = process.does(process.open(from, O_RDWR | flags));
    return { process, fd, map: process.does(process.mmap(process.does(process.open(into)), PAGE_SIZE)) };
  };
  return { rig, a: plan("task A", 1, "a", "b"), b: plan("task B", 2, "b", "a") };
}

function* reads({ process, fd, map }: Plan): MayFault<number> {
  return yield* sysPread64(process.task, fd, map, PAGE_SIZE, 0);
}

describe("two nodes, two files: each holds what the other's fault wants", () => {
  test("5.10 hangs, and the report goes from node to node", () => {
    const { rig, a, b } = crossed(GFS2_5_10, O_DIRECT);
    const verdict = rig.run([a.process, reads(a)], [b.process, reads(b)]);
    expect(verdict.kind).toBe("deadlock");
    if (verdict.kind !== "deadlock") return;
    const { blocked, cycle } = deadlockReport(verdict.blocked);
    expect(cycle).toEqual([0, 1]);
    expect(blocked.map(({ comm, holds, wants }) => [comm, ...holds, wants])).toEqual([
      ["task A", "glock a (CW)", "mmap_lock (read)", "glock b (PR)"],
      ["task B", "glock b (CW)", "mmap_lock (read)", "glock a (PR)"],
    ]);
    for (const { frames } of blocked) {
      expect(frames).toContain("gfs2_fault");
      expect(frames).toContain("gfs2_file_read_iter");
    }
  });

  test("6.12 completes", () => {
    const { rig, a, b } = crossed(GFS2_6_12, O_DIRECT);
    rig.completes([a.process, reads(a)], [b.process, reads(b)]);
    for (const [near, far] of [
      [a, b],
      [b, a],
    ]) {
      const seen = near.process.does(near.process.load(near.map, PAGE_SIZE));
      expect(far.process.does(far.process.read(far.fd, PAGE_SIZE, 0)), "both nodes see the same").toBe(seen);
    }
  });
});

/**
 * As 5.10 was before a repair of 2022 was carried back: the first pass of a read, without the lock, takes faults. And
 * as that repair has it, references to pages keep the lock on their node.
 */
const FAULTING_LOCKLESS: Gfs2Revision = {
  ...GFS2_5_10,
  name: "5.10, lockless read with faults",
  referencesPin: true,
  *bufferedRead(task, iocb, to) {
    iocb.flags |= IOCB_NOIO;
    const ret = yield* genericFileReadIter(task, iocb, to, FAULTS_ENABLED);
    iocb.flags &= ~IOCB_NOIO;
    return ret === err(EAGAIN) ? yield* GFS2_5_10.bufferedRead(task, iocb, to) : ret;
  },
};

describe("a read without the lock, whose page references keep the lock on its node while it faults", () => {
  /** B reads b directly into a; some time later A reads page 0 of a, which is cached, into b. */
  function pinned(kernel: Gfs2Revision, later: number): { rig: Rig; verdict: Verdict } {
    const { rig, a, b } = crossed(kernel, 0);
    a.process.does(a.process.read(a.fd, PAGE_SIZE, 0));
    const direct = { ...b, fd: b.process.does(b.process.open("b", O_RDWR | O_DIRECT)) };
    const late = function* (): MayFault<void> {
      yield* a.process.sleeps(later);
      yield* reads(a);
    };
    return { rig, verdict: rig.run([b.process, reads(direct)], [a.process, late()]) };
  }
  const moments = Array.from({ length: 16 }, (_, i) => i * 20);

  test("faults enabled: at some moments it hangs, although task A holds no lock of file a", () => {
    const hangs = moments
      .map((later) => pinned(FAULTING_LOCKLESS, later).verdict)
      .filter(({ kind }) => kind === "deadlock");
    expect(hangs.length).toBeGreaterThan(0);
    const [verdict] = hangs;
    if (verdict.kind !== "deadlock") return;
    const { blocked, cycle } = deadlockReport(verdict.blocked);
    expect(cycle.length).toBe(2);
    expect(blocked.map(({ comm, holds, wants }) => [comm, ...holds, wants])).toEqual([
      ["task B", "glock b (CW)", "mmap_lock (read)", "glock a (EX)"],
      ["task A", "pages of a", "mmap_lock (read)", "glock b (PR)"],
    ]);
  });

  test("faults enabled, and references pin nothing, as in real kernels: it completes", () => {
    const kernel = { ...FAULTING_LOCKLESS, referencesPin: false };
    expect(moments.map((later) => pinned(kernel, later).verdict.kind)).toEqual(moments.map(() => "completed"));
  });

  test("6.12 completes at all of them, whatever references do", () => {
    for (const kernel of [GFS2_6_12, { ...GFS2_6_12, referencesPin: true }]) {
      expect(moments.map((later) => pinned(kernel, later).verdict.kind)).toEqual(moments.map(() => "completed"));
    }
  });
});

test("nodes are checked", () => {
  expect(() => new Machine({ kernel: GFS2_6_12, nodes: 0 })).toThrow(RangeError);
  expect(() => new Machine({ kernel: GFS2_6_12, nodes: ["a", "a"] })).toThrow(/nodes/);
  expect(new Machine({ kernel: GFS2_6_12, nodes: ["red", "blue"] }).nodes.map(({ name }) => name)).toEqual([
    "red",
    "blue",
  ]);
});
