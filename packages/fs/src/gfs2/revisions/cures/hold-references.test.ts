// If references to a buffer's pages held back the lock of the file behind it, the deadlock of two nodes would come back.
import { deadlockReport, type MayFault, PAGE_SIZE, type Verdict } from "@faultline/kernel";
import { expect, test } from "vitest";
import { GFS2_6_12, type Gfs2Revision, sysPwrite64 } from "../../../index.ts";
import { type Process, Rig } from "../../../testing/cluster-rig.ts";
import { CURE_HOLD_REFERENCES } from "./hold-references.ts";

/** On each of two nodes a task writes one of two files from a mapping of the other. */
function crossedWrites(kernel: Gfs2Revision): Verdict {
  const rig = new Rig({ nodes: 2, kernel });
  const maker = rig.process("maker");
  for (const name of ["a", "b"]) maker.does(maker.write(maker.does(maker.open(name)), name.repeat(PAGE_SIZE), 0));
  const writes = (comm: string, node: number, to: string, from: string): [Process, MayFault<unknown>] => {
    const process = rig.process(comm, node);
    const fd = process.does(process.open(to));
    const map = process.does(process.mmap(process.does(process.open(from)), PAGE_SIZE));
    return [process, sysPwrite64(process.task, fd, map, PAGE_SIZE, 0)];
  };
  const [one, other] = [writes("task A", 1, "a", "b"), writes("task B", 2, "b", "a")];
  return rig.run(one, other);
}

test("if references pinned the lock, two nodes would hang on each other's, without a fault under any lock", () => {
  const verdict = crossedWrites({ ...CURE_HOLD_REFERENCES, referencesPin: true });
  expect(verdict.kind).toBe("deadlock");
  if (verdict.kind !== "deadlock") return;
  const { blocked, cycle } = deadlockReport(verdict.blocked);
  expect(cycle.length).toBe(2);
  expect(blocked.map(({ comm, holds, wants }) => [comm, ...holds, wants])).toEqual([
    ["task A", "i_rwsem a (write)", "pages of b", "glock a (EX)"],
    ["task B", "i_rwsem b (write)", "pages of a", "glock b (EX)"],
  ]);
});

test("they do not, and it completes; 6.12 keeps none and completes either way", () => {
  for (const kernel of [CURE_HOLD_REFERENCES, GFS2_6_12, { ...GFS2_6_12, referencesPin: true }])
    expect(crossedWrites(kernel).kind).toBe("completed");
});
