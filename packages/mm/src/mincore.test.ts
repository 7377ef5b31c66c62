// What can be seen from outside: which pages are resident, and what the page tables hold?
import { EINVAL, ENOMEM, PAGE_SIZE } from "@faultline/kernel";
import { expect, test } from "vitest";
import { doMincore, MAP_FIXED, MAP_SHARED, PROT_NONE, pagemapEntry, TASK_SIZE } from "./index.ts";
import { MemoryFile } from "./testing/memory-file.ts";
import { Rig } from "./testing/rig.ts";

const P = PAGE_SIZE;
const AT = 0x200000;

function mincore(rig: Rig, at: number, length: number): [number, number[]] {
  const vec: number[] = [];
  return [rig.run(doMincore(rig.task, at, length, vec)), vec];
}

test("a page is resident if touching it needs no I/O: mapped, or in the file's cache", () => {
  const rig = new Rig();
  const file = new MemoryFile(rig.mem, 4 * P, { around: false });
  rig.mmap({ address: AT, length: 4 * P, flags: MAP_SHARED | MAP_FIXED, backing: file.backing });
  rig.mmap({ address: AT + 4 * P, length: 2 * P });
  rig.load(AT + P);
  rig.store(AT + 4 * P, 1);
  const second = rig.mmap({ length: 4 * P, flags: MAP_SHARED, backing: file.backing });
  expect(mincore(rig, AT, 6 * P)).toEqual([0, [0, 1, 0, 0, 1, 0]]);
  expect(mincore(rig, second, 4 * P - 1)).toEqual([0, [0, 1, 0, 0]]);
  rig.mprotect(AT + 4 * P, P, PROT_NONE);
  expect(mincore(rig, AT + 4 * P, P)).toEqual([0, [1]]);
});

test.each([
  { desc: "misaligned", at: AT + 1, length: P, want: -EINVAL },
  { desc: "a gap: what comes before it is told", at: AT, length: 4 * P, want: -ENOMEM, vec: [0, 0] },
  { desc: "nothing", at: AT, length: 0, want: 0 },
  { desc: "beyond user space", at: AT, length: TASK_SIZE, want: -ENOMEM },
  { desc: "negative", at: AT, length: -P, want: -ENOMEM },
  { desc: "a kernel address", at: 2 ** 63, length: P, want: -ENOMEM },
  { desc: "NaN", at: Number.NaN, length: P, want: -EINVAL },
])("$desc", ({ at, length, want, vec = [] }) => {
  const rig = new Rig();
  rig.mmap({ address: AT, length: 2 * P });
  expect(mincore(rig, at, length)).toEqual([want, vec]);
  expect(rig.mm.mmapLock.isFree()).toBe(true);
});

test("pagemap tells present, file or not, and mapped once", () => {
  const rig = new Rig();
  const file = new MemoryFile(rig.mem, P);
  rig.mmap({ address: AT, length: 3 * P });
  rig.load(AT);
  rig.store(AT + P, 1);
  const shared = rig.mmap({ length: P, flags: MAP_SHARED, backing: file.backing });
  rig.load(shared);
  const entries = [AT, AT + P, AT + 2 * P, shared, 5].map((at) => pagemapEntry(rig.task, at));
  expect(entries.map(({ present, file: isFile, exclusive }) => [present, isFile, exclusive])).toEqual([
    [true, false, false],
    [true, false, true],
    [false, false, false],
    [true, true, true],
    [false, false, false],
  ]);
});
