// Many tasks on many nodes that all use one file: what a cluster costs for each operation.

import { type MayFault, PAGE_SIZE } from "@faultline/kernel";
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "@faultline/mm";
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
} from "../index.ts";

/** Pages of the file. */
const PAGES = 16;

/**
 * Let so many tasks write and read a page of one file, in turns, each so many times.
 *
 * Returns: how often a task was resumed for each operation. Throws when they do not all finish.
 */
export function clusterRun(nodes: number, tasks: number, rounds: number): number {
  const machine = new Machine({
    kernel: GFS2_6_12,
    nodes,
    memory: 64 * PAGE_SIZE + Math.ceil(tasks / nodes) * 8 * PAGE_SIZE,
  });
  const finished: number[] = [];
  const body = function* (task: FsTask, index: number): MayFault<void> {
    const fd = yield* sysOpen(task, "shared", O_RDWR | O_CREAT);
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const buffer = yield* sysMmap(task, { address: 0, length: PAGE_SIZE, prot: PROT_READ | PROT_WRITE, flags });
    for (let round = 0; round < rounds; round++) {
      const pos = ((index + round) % PAGES) * PAGE_SIZE;
      const ret =
        round % 2 === 0
          ? yield* sysPwrite64(task, fd, buffer, PAGE_SIZE, pos)
          : yield* sysPread64(task, fd, buffer, PAGE_SIZE, pos);
      if (ret < 0) throw new Error(`operation ${round} of task ${index}: ${ret}`);
    }
    finished.push(index);
  };
  for (let index = 0; index < tasks; index++) {
    const task = machine.task(`task ${index}`, machine.nodes[index % nodes]);
    machine.start(task, body(task, index));
  }
  const { verdict, steps } = machine.run();
  if (verdict.kind !== "completed" || finished.length !== tasks)
    throw new Error(`${finished.length} of ${tasks} finished: ${verdict.kind}`);
  return steps / (tasks * rounds);
}
