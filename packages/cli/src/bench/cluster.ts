// fs on a cluster: many tasks on many nodes that all use one file. What an operation costs must not grow with those
// who take part.

import {
  type FsTask,
  GFS2_6_12,
  Machine,
  O_CREAT,
  O_RDWR,
  sysMmap,
  sysOpen,
  sysPread64,
  sysPwrite64,
} from "@faultline/fs";
import { type MayFault, PAGE_SIZE } from "@faultline/kernel";
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "@faultline/mm";
import type { Workload } from "./workload.ts";

/** Pages of the file. */
const PAGES = 16;
/** Operations of each task: it writes a page and reads another one. */
const ROUNDS = 2;

/** Tasks that are about to use one file, the same number on each node. */
export class Cluster {
  readonly #machine: Machine;
  readonly #tasks: number;
  #finished = 0;

  constructor(nodes: number, tasks: number) {
    const memory = (64 + Math.ceil(tasks / nodes) * 8) * PAGE_SIZE;
    this.#machine = new Machine({ kernel: GFS2_6_12, nodes, memory });
    this.#tasks = tasks;
    for (let index = 0; index < tasks; index++) {
      const task = this.#machine.task(`task ${index}`, this.#machine.nodes[index % nodes]);
      this.#machine.start(task, this.#body(task, index));
    }
  }

  *#body(task: FsTask, index: number): MayFault<void> {
    const fd = yield* sysOpen(task, "shared", O_RDWR | O_CREAT);
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const buffer = yield* sysMmap(task, { address: 0, length: PAGE_SIZE, prot: PROT_READ | PROT_WRITE, flags });
    for (let round = 0; round < ROUNDS; round++) {
      const call = round % 2 === 0 ? sysPwrite64 : sysPread64;
      const ret = yield* call(task, fd, buffer, PAGE_SIZE, ((index + round) % PAGES) * PAGE_SIZE);
      if (ret < 0) throw new Error(`operation ${round} of task ${index}: ${ret}`);
    }
    this.#finished++;
  }

  /** Let them. Returns: how often a task was resumed for each operation. Throws when they do not all finish. */
  run(): number {
    const { verdict, steps } = this.#machine.run();
    if (verdict.kind !== "completed" || this.#finished !== this.#tasks)
      throw new Error(`${this.#finished} of ${this.#tasks} finished: ${verdict.kind}`);
    return steps / (this.#tasks * ROUNDS);
  }
}

export function clusterWorkloads(scale: number): Workload[] {
  const many = Math.floor(1000 * scale);
  const few = 10;
  return [
    {
      name: "64 nodes, 1,000 tasks on one file / 2 nodes, 10 tasks",
      goal: 3,
      prepare: () => {
        let crowd: Cluster;
        let pairs: Cluster[];
        return {
          times: many * ROUNDS,
          reset: () => {
            crowd = new Cluster(64, many);
            pairs = Array.from({ length: many / few }, () => new Cluster(2, few));
          },
          run: () => void crowd.run(),
          theirs: () => {
            for (const pair of pairs) pair.run();
          },
        };
      },
    },
  ];
}
