// Who notes the time of a change, and takes the lock for it? What a truncation has just noted is not noted again, and
// whether a direct write notes it depends on the kernel.
import { Tracer } from "@faultline/kernel";
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "@faultline/mm";
import { expect, test } from "vitest";
import { Machine, O_DIRECT, O_RDWR, REVISIONS, sysFtruncate, sysMmap, sysOpen, sysPwrite64 } from "../index.ts";

/** How often a write of a page notes the time, on a file of two pages that was made longer ago than a tick. */
function updates(kernel: string, flags: number, resize?: number): number {
  const trace = new Tracer(1 << 12);
  const machine = new Machine({ kernel: REVISIONS[kernel], trace });
  machine.file("a", 8192);
  const task = machine.task("writer");
  machine.world.elapse(20_000);
  const length = 4096;
  const buffer = machine.call(
    task,
    sysMmap(task, { length, prot: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS }),
  );
  const fd = machine.call(task, sysOpen(task, "a", O_RDWR | flags));
  if (resize !== undefined) expect(machine.call(task, sysFtruncate(task, fd, resize))).toBe(0);
  expect(machine.call(task, sysPwrite64(task, fd, buffer, length, 0))).toBe(length);
  return [...trace.events(0)].filter(({ name }) => name === "gfs2_update_time").length;
}

test.each([4096, 12288])("a file that was just made this long: %s", (resize) => {
  expect([updates("6.12", 0), updates("6.12", 0, resize)]).toEqual([1, 0]);
});

test.each(["5.10", "6.1", "6.12", "7.2"])("direct writes on %s", (kernel) => {
  expect(updates(kernel, O_DIRECT)).toBe(kernel === "5.10" || kernel === "6.1" ? 1 : 0);
});
