// What does mprotect change, what does it refuse, and how far has it come when it does?
import { EACCES, EINVAL, ENOMEM, PAGE_SIZE } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import {
  dupMm,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_GROWSDOWN,
  MAP_PRIVATE,
  MAP_SHARED,
  MM_5_18,
  MM_LATEST,
  type MmStruct,
  PROT_GROWSDOWN,
  PROT_GROWSUP,
  PROT_NONE,
  PROT_READ,
  PROT_SEM,
  PROT_WRITE,
  TASK_SIZE,
  UserTask,
  VM_MAYWRITE,
} from "./index.ts";
import { MemoryFile } from "./testing/memory-file.ts";
import { Rig, RW } from "./testing/rig.ts";

const P = PAGE_SIZE;
const AT = 0x200000;

/** Areas as "start-end:access", in pages from AT. */
function areas(rig: Rig): string {
  return [...rig.mm.vmas.values()]
    .map(({ start, end, flags }) => `${(start - AT) / P}-${(end - AT) / P}:${flags & 7}`)
    .join(" ");
}

describe("areas are cut, and heal", () => {
  test.each([
    { desc: "all of it", from: 0, count: 6, want: "0-6:1" },
    { desc: "the start", from: 0, count: 2, want: "0-2:1 2-6:3" },
    { desc: "the end", from: 4, count: 2, want: "0-4:3 4-6:1" },
    { desc: "the middle", from: 2, count: 2, want: "0-2:3 2-4:1 4-6:3" },
  ])("$desc", ({ from, count, want }) => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: 6 * P });
    rig.store(AT, 1);
    expect(rig.mprotect(AT + from * P, count * P, PROT_READ)).toBe(0);
    expect(areas(rig)).toBe(want);
    rig.check();
    expect(rig.mprotect(AT + from * P, count * P, RW)).toBe(0);
    expect(areas(rig)).toBe("0-6:3");
    rig.check();
  });

  test("a border moves without an area more, even when no area more is allowed", () => {
    const rig = new Rig({ limits: { maxMapCount: 2 } });
    rig.mmap({ address: AT, length: 6 * P });
    expect(rig.mprotect(AT, 2 * P, PROT_READ)).toBe(0);
    expect(rig.mprotect(AT + 2 * P, P, PROT_READ)).toBe(0);
    expect(areas(rig)).toBe("0-3:1 3-6:3");
    expect(rig.mprotect(AT + 2 * P, P, RW)).toBe(0);
    expect(areas(rig)).toBe("0-2:1 2-6:3");
    expect(rig.mprotect(AT + 4 * P, P, PROT_READ)).toBe(-ENOMEM);
    expect(areas(rig)).toBe("0-2:1 2-6:3");
    rig.check();
  });
});

describe("what stores may do afterwards", () => {
  test.each([
    { revision: MM_5_18, faults: 1 },
    // Since 6.0 a page that is known to be our own needs no fault to become writable again.
    { revision: MM_LATEST, faults: 0 },
  ])("read-only and back: $faults faults in $revision.name", ({ revision, faults }) => {
    const rig = new Rig({ revision });
    rig.mmap({ address: AT, length: P });
    rig.store(AT, 7);
    rig.mprotect(AT, P, PROT_READ);
    expect([rig.load(AT), rig.store(AT, 1)]).toEqual([7, "SIGSEGV"]);
    rig.mprotect(AT, P, RW);
    const [before] = rig.faults();
    expect([rig.store(AT, 8), rig.faults()[0] - before, rig.load(AT)]).toEqual(["", faults, 8]);
    rig.check();
  });

  test("PROT_NONE hides a page and keeps what it holds", () => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: P });
    rig.store(AT, 7);
    rig.mprotect(AT, P, PROT_NONE);
    expect([rig.load(AT), rig.store(AT, 1), rig.pagemap(AT, P)]).toEqual(["SIGSEGV", "SIGSEGV", "A"]);
    rig.mprotect(AT, P, PROT_READ);
    expect(rig.load(AT)).toBe(7);
    rig.check();
  });

  test("a page shared with a child stays read-only until it is copied", () => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: P });
    rig.store(AT, 7);
    const copy = rig.run(dupMm(rig.task)) as MmStruct;
    const child = new UserTask(rig.world, "child", copy);
    rig.mprotect(AT, P, PROT_READ);
    rig.mprotect(AT, P, RW);
    rig.store(AT, 8);
    expect([rig.load(AT), rig.load(AT, child)]).toEqual([8, 7]);
    rig.check([rig.mm, copy]);
  });

  test("a clean shared page still asks its file; a dirty one has asked", () => {
    const rig = new Rig();
    const file = new MemoryFile(rig.mem, 2 * P, { around: false });
    rig.mmap({ address: AT, length: 2 * P, flags: MAP_SHARED | MAP_FIXED, backing: file.backing });
    rig.load(AT);
    rig.store(AT + P, 1);
    file.calls.length = 0;
    rig.mprotect(AT, 2 * P, PROT_READ);
    rig.mprotect(AT, 2 * P, RW);
    rig.store(AT + P, 2);
    expect(file.calls).toEqual([]);
    rig.store(AT, 2);
    expect(file.calls).toEqual(["mkwrite 0", "balance"]);
    rig.check();
  });
});

describe("errors", () => {
  test("a gap: -ENOMEM, and what lies before it is changed", () => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: 2 * P });
    rig.mmap({ address: AT + 3 * P, length: P });
    expect(rig.mprotect(AT, 4 * P, PROT_READ)).toBe(-ENOMEM);
    expect(areas(rig)).toBe("0-2:1 3-4:3");
    expect(rig.mprotect(AT + 2 * P, 2 * P, PROT_READ)).toBe(-ENOMEM);
    // The range may reach beyond user space: the first gap ends it.
    expect(rig.mprotect(AT + 3 * P, 2 ** 50, PROT_NONE)).toBe(-ENOMEM);
    expect(areas(rig)).toBe("0-2:1 3-4:0");
    rig.check();
  });

  test("a file that may not be written: -EACCES, and what lies before it is changed", () => {
    const rig = new Rig();
    const file = new MemoryFile(rig.mem, P);
    rig.mmap({ address: AT, length: P, prot: PROT_READ });
    const flags = MAP_SHARED | MAP_FIXED;
    const vmFlags = { remove: VM_MAYWRITE };
    rig.mmap({ address: AT + P, length: P, prot: PROT_READ, flags, backing: file.backing, vmFlags });
    expect(rig.mprotect(AT, 2 * P, RW)).toBe(-EACCES);
    expect(areas(rig)).toBe("0-1:3 1-2:1");
  });

  test("more private writable memory than is allowed", () => {
    const rig = new Rig({ limits: { data: P } });
    rig.mmap({ address: AT, length: 2 * P, prot: PROT_READ });
    expect([rig.mprotect(AT, 2 * P, RW), rig.mprotect(AT, P, RW)]).toEqual([-ENOMEM, 0]);
    rig.check();
  });

  test.each([
    { desc: "misaligned", at: AT + 1, length: P, prot: PROT_READ, want: -EINVAL },
    { desc: "no length", at: AT, length: 0, prot: PROT_READ, want: 0 },
    { desc: "no length and misaligned", at: AT + 1, length: 0, prot: PROT_READ, want: -EINVAL },
    { desc: "no length and unknown protection", at: AT, length: 0, prot: 64, want: 0 },
    { desc: "unknown protection", at: AT, length: P, prot: 64, want: -EINVAL },
    { desc: "a wrap", at: AT, length: -P, prot: PROT_READ, want: -ENOMEM },
    { desc: "a negative address", at: -P, length: P, prot: PROT_READ, want: -ENOMEM },
    { desc: "a kernel address", at: 2 ** 63, length: P, prot: PROT_READ, want: -ENOMEM },
    { desc: "beyond user space", at: TASK_SIZE, length: P, prot: PROT_READ, want: -ENOMEM },
    { desc: "NaN", at: AT, length: Number.NaN, prot: PROT_READ, want: -EINVAL },
    { desc: "half a byte", at: AT, length: 0.5, prot: PROT_READ, want: -EINVAL },
    { desc: "PROT_SEM", at: AT, length: P, prot: RW | PROT_SEM, want: 0 },
    { desc: "both directions", at: AT, length: P, prot: PROT_GROWSDOWN | PROT_GROWSUP, want: -EINVAL },
    { desc: "PROT_GROWSDOWN on what is no stack", at: AT, length: P, prot: PROT_GROWSDOWN, want: -EINVAL },
  ])("$desc", ({ at, length, prot, want }) => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: 2 * P });
    expect(rig.mprotect(at, length, prot)).toBe(want);
    expect(areas(rig)).toBe("0-2:3");
    rig.check();
  });

  test("PROT_GROWSDOWN takes the stack from its start", () => {
    const rig = new Rig();
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN;
    rig.mmap({ address: AT, length: 6 * P, flags });
    expect(rig.mprotect(AT + 3 * P, P, PROT_READ | PROT_GROWSDOWN)).toBe(0);
    expect(areas(rig)).toBe("0-4:1 4-6:3");
    expect(rig.mprotect(AT, P, PROT_WRITE)).toBe(0);
  });
});
