// Tasks that insert messages into a shared hash table by compare-and-swap (Flanagan and Godefroid, "Dynamic
// Partial-Order Reduction for Model Checking Software", POPL 2005). Up to 11 tasks never collide; from the
// twelfth on each collides with one other three times: 8^(n-11) traces.

import { type MaySleep, PREEMPT, type Task } from "@faultline/kernel";
import { Cell } from "../cell.ts";
import type { Program } from "../program.ts";

const SIZE = 128;
const MESSAGES = 4;

type Slot = Cell<number>;

function* insertAtomically(task: Task, slot: Slot, message: number): MaySleep<boolean> {
  yield PREEMPT;
  return slot.compareAndSwap(task, 0, message);
}

function* insertInTwoSteps(task: Task, slot: Slot, message: number): MaySleep<boolean> {
  if ((yield* slot.read(task)) !== 0) return false;
  yield* slot.write(task, message);
  return true;
}

function withInsert(name: string, n: number, insert: typeof insertAtomically): Program {
  const labels = Array.from({ length: SIZE }, (_, i) => `table[${i}]`);
  function* indexer(task: Task, id: number, table: readonly Slot[]): MaySleep<void> {
    for (let m = 1; m <= MESSAGES; m++) {
      const message = m * 11 + id;
      let slot = (message * 7) % SIZE;
      while (!(yield* insert(task, table[slot], message))) slot = (slot + 1) % SIZE;
    }
  }
  return {
    name,
    revision: `n=${n}`,
    start(world) {
      const table = labels.map((label) => new Cell(world, 0, label));
      for (let id = 0; id < n; id++) world.spawn(`indexer-${id}`, (task) => indexer(task, id, table));
      return {
        invariant() {
          const stored = table.filter((slot) => slot.value !== 0).length;
          return stored === n * MESSAGES ? null : `${n * MESSAGES - stored} messages are lost`;
        },
      };
    },
  };
}

export function indexer(n: number): Program {
  return {
    ...withInsert("indexer", n, insertAtomically),
    mutants: [withInsert("insertion in two steps", n, insertInTwoSteps)],
  };
}
