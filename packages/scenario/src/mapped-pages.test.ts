// What recorded events say of the page table, before and after another thread has unmapped the page.
import { Machine, REVISIONS, sysMmap } from "@faultline/fs";
import { doMunmap, MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE, userStore } from "@faultline/mm";
import { expect, test } from "vitest";
import { outlookOfMapping } from "./mapped-pages.ts";
import { Names } from "./maps.ts";
import type { Progress } from "./progress.ts";
import type { RecordedEvent } from "./result.ts";

const LENGTH = 4 * 4096;

/** What is said of a lane that has got the first `at` events, with page 1 of its map there and then gone. */
function outlooks(list: readonly RecordedEvent[], at: number): unknown[] {
  const machine = new Machine({ kernel: REVISIONS["7.2"] });
  const task = machine.task("writer");
  const names = new Names();
  const { base } = Object.assign(names.declareMap("m"), { file: "a" });
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  machine.call(task, sysMmap(task, { address: base, length: LENGTH, prot: PROT_READ | PROT_WRITE, flags }));
  machine.call(task, userStore(task, base + 4096, 4096, 1));
  const expected = { events: list, without: new Set<string>(), updates: [], cut: false };
  const progress = { task, expected, got: list.slice(0, at) } as unknown as Progress;
  const before = outlookOfMapping(progress, names);
  expect(machine.call(task, doMunmap(task, base, LENGTH))).toBe(0);
  return [before, outlookOfMapping(progress, names)];
}

const LOOK: RecordedEvent = ["fault_in_readable", "m", 4096, 4096, "ret", 0];
const BEGIN: RecordedEvent = ["write_begin", "ret", 0];

/** A store to a protected page, of which the file is asked; and what its lock is let go for next. */
const asked = (result: string): readonly RecordedEvent[] => [
  ["mm_fault", "m", 4096, "w"],
  ["gfs2_mkwrite", 1],
  ["glock_nq", "a", "EX"],
  ["glock_dq", "a", "EX"],
  ["gfs2_mkwrite", "ret", "LOCKED"],
  ["mm_fault", "ret", result],
  ["glock_dq", "a", "PR"],
];

test.each<{ desc: string; list: readonly RecordedEvent[]; at: number; want: unknown[] }>([
  { desc: "looked at without a fault", list: [LOOK], at: 0, want: ["now", "later"] },
  { desc: "copied without a fault", list: [LOOK, BEGIN, ["write_end", "ret", 1]], at: 2, want: ["now", "later"] },
  {
    desc: "gone before it is copied",
    list: [LOOK, BEGIN, ["pf_kernel", "m", 4096, "r"]],
    at: 2,
    want: ["later", null],
  },
  {
    desc: "gone in the middle of the copy",
    list: [["fault_in_readable", "m", 4096, 4096, "ret", 0], BEGIN, ["pf_kernel", "m", 5000, "r"]],
    at: 2,
    want: ["now", "later"],
  },
  { desc: "gone when it is touched", list: [["pf_user", "m", 4096, "w"]], at: 0, want: ["later", null] },
  { desc: "there, and protected", list: [["pf_user", "m", 4096, "wp"]], at: 0, want: [null, null] },
  { desc: "looked at with a fault", list: [["fault_in_readable", "m", 4096, 4096]], at: 0, want: [null, null] },
  {
    desc: "asked for",
    list: [
      ["mm_fault", "m", 4096, "w"],
      ["gfs2_fault", 1],
    ],
    at: 0,
    want: ["later", null],
  },
  {
    desc: "to be stored to once more",
    list: [
      ["fixup_user_fault", "m", 4096, "flags", 1],
      ["mm_fault", "m", 4096, "w"],
      ["gfs2_mkwrite", 1],
    ],
    at: 0,
    want: ["later", null],
  },
  { desc: "gone when the file lets it be stored to", list: asked("NOPAGE"), at: 3, want: ["later", null] },
  { desc: "there when the file lets it be stored to", list: asked("COMPLETED"), at: 3, want: [null, null] },
  { desc: "forgotten when the fault is over", list: asked("NOPAGE"), at: 6, want: [null, null] },
  { desc: "found mapped by others", list: [["mm_fault", "m", 4096, "r", "ret", "0"]], at: 0, want: ["now", "later"] },
  {
    desc: "next to one that is not there",
    list: [["fault_in_readable", "m", 4096, 8192, "ret", 0]],
    at: 0,
    want: ["later", "later"],
  },
])("a page is $desc", ({ list, at, want }) => {
  expect(outlooks(list, at)).toEqual(want);
});
