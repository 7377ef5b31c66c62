// No node ever reads what another one has overwritten: random histories of whole-page writes and reads, buffered,
// direct and through mappings, on two or three nodes under random schedules. Each write has a value of its own;
// a read may give a value only if no later write of that page was over before the read began.
import { type MayFault, PAGE_SIZE, RandomChooser } from "@faultline/kernel";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { O_CREAT, O_DIRECT, O_RDWR } from "./index.ts";
import { Rig } from "./testing/cluster-rig.ts";

const PAGES = 2;

interface Act {
  readonly write: boolean;
  readonly how: "buffered" | "direct" | "mapped";
  readonly page: number;
}

/** A write, from when it began to when it was over; infinite while it is not. */
interface Write {
  readonly value: number;
  readonly began: number;
  over: number;
}

const act = fc.record({
  write: fc.boolean(),
  how: fc.constantFrom("buffered" as const, "direct" as const, "mapped" as const),
  page: fc.nat(PAGES - 1),
});

/** Run the acts of each task, and say which read was stale; "" when none was. */
function staleRead(tasks: readonly (readonly Act[])[], nodes: number, seed: number): string {
  const rig = new Rig({ nodes, memory: 2 << 20, chooser: new RandomChooser(seed), dlm: { latency: 0 } });
  const writes: Write[][] = Array.from({ length: PAGES }, () => [{ value: 0, began: -1, over: 0 }]);
  const maker = rig.process("maker");
  const made = maker.does(maker.open("f", O_RDWR | O_CREAT));
  maker.does(maker.write(made, "0".repeat(PAGES * PAGE_SIZE), 0));
  let clock = 0;
  let value = 0;
  let stale = "";
  const bodies = tasks.map((acts, index) => {
    const process = rig.process(`task ${index}`, (index % nodes) + 1);
    const body = function* (): MayFault<void> {
      const fds = {
        buffered: yield* process.open("f"),
        direct: yield* process.open("f", O_RDWR | O_DIRECT),
        mapped: 0,
      };
      const map = yield* process.mmap(fds.buffered, PAGES * PAGE_SIZE);
      for (const { write, how, page } of acts) {
        const pos = page * PAGE_SIZE;
        const began = ++clock;
        if (write) {
          const entry: Write = { value: ++value, began, over: Number.POSITIVE_INFINITY };
          writes[page].push(entry);
          const text = String.fromCharCode(48 + value).repeat(how === "mapped" ? 1 : PAGE_SIZE);
          if (how === "mapped") yield* process.store(map + pos, text);
          else yield* process.write(fds[how], text, pos);
          entry.over = ++clock;
        } else {
          const text =
            how === "mapped" ? yield* process.load(map + pos, 1) : yield* process.read(fds[how], 1 * PAGE_SIZE, pos);
          const got = text.charCodeAt(0) - 48;
          const from = writes[page].find((each) => each.value === got);
          const overwritten = writes[page].some(
            (later) => from !== undefined && later.began > from.over && later.over < began,
          );
          if (from === undefined || overwritten) stale ||= `task ${index} read ${got} of page ${page} (${how})`;
        }
      }
    };
    return [process, body()] as const;
  });
  rig.completes(...bodies);
  return stale;
}

test("no read gives what was overwritten before it began, on any node", () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(act, { minLength: 1, maxLength: 5 }), { minLength: 2, maxLength: 4 }),
      fc.constantFrom(2, 3),
      fc.nat(1_000_000),
      (tasks, nodes, seed) => {
        expect(staleRead(tasks, nodes, seed)).toBe("");
      },
    ),
    { numRuns: 60, seed: 4 },
  );
});
