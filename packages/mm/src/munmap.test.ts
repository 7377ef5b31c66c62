// What is left when memory is unmapped: areas, page tables, frames?
import { EINVAL, ENOMEM, PAGE_SIZE } from "@faultline/kernel";
import { expect, test } from "vitest";
import { exitMmap, MAP_FIXED, MAP_SHARED, mmput, TASK_SIZE, UserTask } from "./index.ts";
import { MemoryFile } from "./testing/memory-file.ts";
import { Rig } from "./testing/rig.ts";

const P = PAGE_SIZE;
const AT = 0x200000;

function areas(rig: Rig): string {
  return [...rig.mm.vmas.values()].map(({ start, end }) => `${(start - AT) / P}-${(end - AT) / P}`).join(" ");
}

test.each([
  { desc: "all", from: 0, count: 6, want: "" },
  { desc: "the start", from: 0, count: 2, want: "2-6" },
  { desc: "the end", from: 4, count: 2, want: "0-4" },
  { desc: "the middle", from: 2, count: 2, want: "0-2 4-6" },
  { desc: "more than there is", from: -2, count: 20, want: "" },
  { desc: "what is not there", from: 10, count: 5, want: "0-6" },
])("unmap $desc", ({ from, count, want }) => {
  const rig = new Rig();
  rig.mmap({ address: AT, length: 6 * P });
  for (let i = 0; i < 6; i++) rig.store(AT + i * P, 1);
  expect(rig.munmap(AT + from * P, count * P)).toBe(0);
  expect(areas(rig)).toBe(want);
  rig.check();
});

test("over several areas and gaps, a length that is not whole pages", () => {
  const rig = new Rig();
  for (const i of [0, 1, 3, 5]) rig.mmap({ address: AT + i * P, length: P, prot: 1 + (i % 3) });
  expect(rig.munmap(AT + P, 3 * P + 1)).toBe(0);
  expect(areas(rig)).toBe("0-1 5-6");
  rig.check();
});

test.each([
  { desc: "misaligned", at: AT + 1, length: P },
  { desc: "nothing", at: AT, length: 0 },
  { desc: "negative", at: AT, length: -P },
  { desc: "beyond the end", at: AT, length: TASK_SIZE },
  { desc: "a kernel address", at: 2 ** 63, length: P },
  { desc: "a negative address", at: -P, length: P },
  { desc: "NaN", at: Number.NaN, length: P },
  { desc: "half a page", at: AT, length: 0.5 },
])("$desc is -EINVAL", ({ at, length }) => {
  const rig = new Rig();
  rig.mmap({ address: AT, length: P });
  expect(rig.munmap(at, length)).toBe(-EINVAL);
  expect(areas(rig)).toBe("0-1");
});

test("a hole in the only area needs room for one more", () => {
  const rig = new Rig({ limits: { maxMapCount: 1 } });
  rig.mmap({ address: AT, length: 6 * P });
  expect(rig.munmap(AT + 2 * P, P)).toBe(-ENOMEM);
  expect(rig.munmap(AT, P)).toBe(0);
  expect(areas(rig)).toBe("1-6");
  rig.check();
});

test("page tables go when no area needs them, even if it was unmapped page by page", () => {
  const rig = new Rig();
  const pages = 600;
  rig.mmap({ address: AT, length: pages * P });
  rig.mmap({ address: 0x7f0000000000, length: P });
  for (let i = 0; i < pages; i += 100) rig.store(AT + i * P, 1);
  rig.store(0x7f0000000000, 1);
  const tables = rig.mm.pgd.tables;
  for (let i = 0; i < pages; i++) rig.munmap(AT + i * P, P);
  expect(rig.mm.pgd.tables).toBeLessThan(tables);
  rig.munmap(0x7f0000000000, P);
  expect(rig.mm.pgd.tables).toBe(0);
  rig.check();
});

test("a dirty entry makes its page dirty on the way out", () => {
  const rig = new Rig();
  const file = new MemoryFile(rig.mem, P, { mkwrite: false });
  rig.mmap({ address: AT, length: P, flags: MAP_SHARED | MAP_FIXED, backing: file.backing });
  rig.load(AT);
  rig.store(AT, 99);
  rig.munmap(AT, P);
  expect(file.mapping.iMmap.size).toBe(0);
  rig.run(file.mapping.ops.writepage(rig.task, file.mapping, lockOf(rig, file)));
  expect(file.disk[0]).toBe(99);
});

test("the last task that lets go of an address space unmaps it", () => {
  const rig = new Rig();
  rig.mmap({ address: AT, length: P });
  rig.store(AT, 1);
  const free = rig.mem.freePages;
  const thread = new UserTask(rig.world, "thread", rig.mm);
  mmput(thread);
  expect(rig.mem.freePages).toBe(free);
  mmput(rig.task);
  expect([rig.mem.freePages, rig.mm.vmas.size, rig.mm.totalVm, rig.mm.pgd.tables]).toEqual([free + 1, 0, 0, 0]);
  expect(() => mmput(rig.task)).toThrow("let go of more often");
  rig.check();
});

test("exit leaves nothing", () => {
  const rig = new Rig();
  rig.mmap({ address: AT, length: 4 * P });
  rig.mmap({ length: 4 * P, flags: MAP_SHARED | 0x20 });
  rig.store(AT, 1);
  exitMmap(rig.task);
  expect([rig.mm.vmas.size, rig.mm.totalVm]).toEqual([0, 0]);
  rig.check();
});

function lockOf(rig: Rig, file: MemoryFile) {
  const frame = file.mapping.find(0);
  rig.mem.flags[frame] |= 1;
  return frame;
}
