// The lock manager alone: which modes go together, who gets a lock when, who is told that others wait, and what
// becomes of conversions that wait for each other, of slow messages, and of the locks of a node that went down.
import { EAGAIN, EDEADLK, err, RandomChooser, World } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import { Dlm, type DlmOptions } from "./dlm.ts";
import { DLM_LKF_NOQUEUE, DLM_LKF_NOQUEUEBAST, DLM_LKF_QUECVT, type Lkb } from "./lkb.ts";
import {
  DLM_LOCK_CR as CR,
  DLM_LOCK_CW as CW,
  dlmModesCompat,
  DLM_LOCK_EX as EX,
  DLM_LOCK_NL as NL,
  DLM_LOCK_PR as PR,
  DLM_LOCK_PW as PW,
} from "./modes.ts";

const NAMES = ["NL", "CR", "CW", "PR", "PW", "EX"];

test("which modes go together", () => {
  const rows = NAMES.map(
    (name, mode) => `${name}: ${NAMES.filter((_, other) => dlmModesCompat(mode, other)).join(" ")}`,
  );
  expect(rows).toEqual([
    "NL: NL CR CW PR PW EX",
    "CR: NL CR CW PR PW",
    "CW: NL CR CW",
    "PR: NL CR PR",
    "PW: NL CR",
    "EX: NL",
  ]);
});

/** Nodes with a lock each on one resource; `log` says what they hear. */
class Cluster {
  readonly world: World;
  readonly dlm: Dlm;
  readonly log: string[] = [];
  readonly locks: Lkb[] = [];

  constructor(nodes: number, options: DlmOptions = { latency: 0 }, world: World = new World()) {
    this.world = world;
    this.dlm = new Dlm(world, options);
    for (let i = 1; i <= nodes; i++) {
      const blockingAst = (mode: number): void => void this.log.push(`${i} told ${NAMES[mode]}`);
      this.locks.push(this.dlm.open(this.dlm.join(), "r", { blockingAst, heldBackBy: () => [] }));
    }
  }

  /** Node `i` (from 1) asks. */
  ask(i: number, mode: number, flags = 0): void {
    this.dlm.lock(this.locks[i - 1], mode, flags, (status) =>
      this.log.push(`${i} ${status === 0 ? `has ${NAMES[mode]}` : status}`),
    );
  }

  /** What happened since the last look. */
  heard(): string[] {
    return this.log.splice(0);
  }

  get granted(): string {
    return this.locks.map(({ granted }) => NAMES[granted] ?? "-").join(" ");
  }
}

describe("requests", () => {
  test("compatible ones are granted at once; the first that is not waits, and those in its way are told once", () => {
    const cluster = new Cluster(4);
    cluster.ask(1, PR);
    cluster.ask(2, PR);
    cluster.ask(3, EX);
    cluster.ask(4, EX);
    expect(cluster.heard()).toEqual(["1 has PR", "2 has PR", "1 told EX", "2 told EX"]);
    cluster.ask(1, NL);
    expect(cluster.heard()).toEqual(["1 has NL"]);
    cluster.ask(2, NL);
    expect(cluster.heard()).toEqual(["2 has NL", "3 has EX", "3 told EX"]);
    cluster.ask(3, NL);
    expect(cluster.heard()).toEqual(["3 has NL", "4 has EX"]);
  });

  test("a compatible one does not overtake one that waits", () => {
    const cluster = new Cluster(3);
    cluster.ask(1, PR);
    cluster.ask(2, EX);
    cluster.ask(3, PR);
    expect(cluster.granted).toBe("PR - -");
    cluster.ask(1, NL);
    expect(cluster.granted).toBe("NL EX -");
    cluster.ask(2, PR);
    expect(cluster.granted).toBe("NL PR PR");
  });

  test("one that does not want to wait fails, and tells others only if it says so", () => {
    const cluster = new Cluster(2);
    cluster.ask(1, EX);
    cluster.heard();
    cluster.ask(2, PR, DLM_LKF_NOQUEUE);
    expect(cluster.heard()).toEqual([`2 ${err(EAGAIN)}`]);
    cluster.ask(2, PR, DLM_LKF_NOQUEUE | DLM_LKF_NOQUEUEBAST);
    expect(cluster.heard()).toEqual(["1 told PR", `2 ${err(EAGAIN)}`]);
    cluster.ask(2, PR);
    expect(cluster.heard(), "told already").toEqual([]);
  });

  test("a holder that is told of a weaker wish first is told again of a stronger one", () => {
    const cluster = new Cluster(3);
    cluster.ask(1, EX);
    cluster.ask(2, CW);
    cluster.ask(3, EX);
    expect(cluster.heard()).toEqual(["1 has EX", "1 told CW", "1 told EX"]);
  });

  test("a holder of PR is told of CW, although PR is the higher number", () => {
    const cluster = new Cluster(4);
    cluster.ask(1, EX);
    cluster.ask(2, PR);
    cluster.ask(3, CW);
    cluster.ask(4, PR);
    cluster.heard();
    cluster.ask(1, PR);
    expect(cluster.heard()).toEqual(["1 has PR", "2 has PR", "1 told CW", "2 told CW"]);
  });
});

describe("conversions", () => {
  test.each([
    { desc: "up, alone", from: PR, to: EX },
    { desc: "down", from: EX, to: PR },
    { desc: "across", from: CW, to: PR },
    { desc: "to another compatible one", from: CR, to: PW },
  ])("granted at once: $desc", ({ from, to }) => {
    const cluster = new Cluster(1);
    cluster.ask(1, from);
    cluster.ask(1, to, DLM_LKF_QUECVT);
    expect(cluster.granted).toBe(NAMES[to]);
  });

  test("they go before new requests", () => {
    const cluster = new Cluster(3);
    cluster.ask(1, PR);
    cluster.ask(2, PR);
    cluster.ask(3, EX);
    cluster.ask(1, EX, DLM_LKF_QUECVT);
    cluster.ask(2, NL);
    expect(cluster.granted).toBe("EX NL -");
  });

  test("with QUECVT one waits behind the others even if it could go; without, it need not", () => {
    for (const [flags, granted] of [
      [DLM_LKF_QUECVT, "PR PR NL"],
      [0, "PR PR CR"],
    ] as const) {
      const cluster = new Cluster(3);
      cluster.ask(3, NL);
      cluster.ask(1, PR);
      cluster.ask(2, PR);
      cluster.ask(1, EX, DLM_LKF_QUECVT);
      cluster.ask(3, CR, flags);
      expect(cluster.granted).toBe(granted);
    }
  });

  test("two that wait for each other: the second is refused, and the first goes on when it has let go", () => {
    const cluster = new Cluster(2);
    cluster.ask(1, PR);
    cluster.ask(2, PR);
    cluster.ask(1, EX, DLM_LKF_QUECVT);
    cluster.heard();
    cluster.ask(2, EX, DLM_LKF_QUECVT);
    expect(cluster.heard()).toEqual([`2 ${err(EDEADLK)}`]);
    expect(cluster.dlm.stats.deadlocks).toBe(1);
    cluster.ask(2, NL);
    expect(cluster.heard()).toEqual(["2 has NL", "1 has EX"]);
    cluster.ask(2, EX, DLM_LKF_QUECVT);
    expect(cluster.heard()).toEqual(["1 told EX"]);
    cluster.ask(1, NL);
    expect(cluster.granted).toBe("NL EX");
  });

  test("the one in the way need not be the first in line", () => {
    const cluster = new Cluster(3);
    cluster.ask(1, PR);
    cluster.ask(2, NL);
    cluster.ask(2, EX, DLM_LKF_QUECVT);
    cluster.heard();
    cluster.ask(1, EX, DLM_LKF_QUECVT);
    expect(cluster.heard()).toEqual([`1 ${err(EDEADLK)}`]);
  });
});

describe("messages", () => {
  test("take their time between nodes, and none on the node that is master", () => {
    const cluster = new Cluster(2, { latency: 30 });
    cluster.ask(1, EX);
    expect(cluster.heard()).toEqual(["1 has EX"]);
    cluster.ask(2, PR);
    expect(cluster.heard()).toEqual([]);
    cluster.world.expireTimer();
    expect([cluster.world.now, cluster.heard()]).toEqual([30, ["1 told PR"]]);
    cluster.ask(1, PR);
    cluster.world.expireTimer();
    expect([cluster.world.now, cluster.heard()]).toEqual([60, ["1 has PR", "2 has PR"]]);
    expect(cluster.dlm.stats).toEqual({ requests: 3, messages: 2, basts: 1, deadlocks: 0 });
  });

  test("arrive in order, whatever the environment does to each", () => {
    for (let seed = 0; seed < 30; seed++) {
      const world = new World({ chooser: new RandomChooser(seed), environment: { "dlm-delay": 100 } });
      const { dlm } = new Cluster(2, { latency: 10 }, world);
      const order: number[] = [];
      for (let i = 0; i < 8; i++) {
        const owner = { blockingAst: () => {}, heldBackBy: () => [] };
        dlm.open(1, `r${i}`, owner);
        dlm.lock(dlm.open(2, `r${i}`, owner), PR, 0, () => void order.push(i));
      }
      while (world.expireTimer());
      expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    }
  });

  test("a node that has let go meanwhile is not told that others wait", () => {
    const cluster = new Cluster(2, { latency: 10 });
    cluster.ask(2, NL);
    cluster.ask(1, EX);
    while (cluster.world.expireTimer());
    cluster.heard();
    cluster.ask(2, EX, DLM_LKF_QUECVT);
    cluster.ask(1, NL);
    while (cluster.world.expireTimer());
    expect(cluster.heard()).toEqual(["1 has NL", "2 has EX"]);
  });
});

describe("a node goes down", () => {
  test("its locks are free when its journal is recovered, and not before", () => {
    const cluster = new Cluster(2, { latency: 0, recovery: 1000 });
    cluster.ask(2, NL);
    cluster.ask(1, EX);
    cluster.ask(2, EX);
    cluster.heard();
    cluster.dlm.leave(1, () => cluster.log.push(`recovered, 2 has ${NAMES[cluster.locks[1].granted]}`));
    expect(cluster.heard()).toEqual([]);
    cluster.world.expireTimer();
    expect([cluster.world.now, cluster.heard()]).toEqual([1000, ["recovered, 2 has NL", "2 has EX"]]);
  });

  test("requests to it as master wait for the next master; its own are forgotten", () => {
    const cluster = new Cluster(3, { latency: 10, recovery: 1000 });
    cluster.ask(1, PR);
    cluster.ask(2, PR);
    while (cluster.world.expireTimer());
    cluster.heard();
    cluster.ask(3, EX);
    cluster.ask(1, EX, DLM_LKF_QUECVT);
    cluster.dlm.leave(1, () => {});
    while (cluster.world.expireTimer());
    expect(cluster.heard()).toEqual(["2 told EX"]);
    cluster.ask(2, NL);
    while (cluster.world.expireTimer());
    expect(cluster.heard()).toEqual(["2 has NL", "3 has EX"]);
  });

  test("when nobody is left, whoever comes next is master", () => {
    const cluster = new Cluster(2, { latency: 10, recovery: 1000 });
    cluster.ask(1, EX);
    cluster.dlm.leave(1, () => {});
    while (cluster.world.expireTimer());
    cluster.heard();
    cluster.ask(2, EX);
    expect(cluster.heard()).toEqual(["2 has EX"]);
  });
});
