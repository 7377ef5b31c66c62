// The patch under discussion in July 2021: what does its fault_in_user_pages return, exactly? It counts bytes
// done, and it counts gaps and raw memory as done, which is one of the reasons why it was not merged so.
import { PAGE_SIZE } from "@faultline/kernel";
import { expect, test } from "vitest";
import { faultInUserPages, MAP_SHARED, MM_5_10, PROT_NONE, PROT_READ, VM_IO, VM_PFNMAP, VM_SHARED } from "./index.ts";
import { MemoryFile } from "./testing/memory-file.ts";
import { Rig, type RigOptions } from "./testing/rig.ts";

const AT = 0x100000;

/** Areas of a page each, one letter a page: `w` writable, `r` read-only, `n` no access, `i` VM_IO, `p` VM_PFNMAP, `.` a gap. */
function areas(layout: string, options: RigOptions = {}): Rig {
  const rig = new Rig({ revision: MM_5_10, ...options });
  for (const [i, letter] of [...layout].entries()) {
    const page = { address: AT + i * PAGE_SIZE, length: PAGE_SIZE };
    if (letter === "w") rig.mmap(page);
    if (letter === "r") rig.mmap({ ...page, prot: PROT_READ });
    if (letter === "n") rig.mmap({ ...page, prot: PROT_NONE });
    if (letter === "i") rig.mmap({ ...page, vmFlags: { add: VM_IO } });
    if (letter === "p") rig.mmap({ ...page, vmFlags: { add: VM_PFNMAP } });
  }
  return rig;
}

test.each([
  { desc: "all writable", layout: "www", from: 0, size: 3 * PAGE_SIZE, want: 3 * PAGE_SIZE, mapped: "AAA" },
  { desc: "never more than asked for", layout: "ww", from: 10, size: 100, want: 100, mapped: "A." },
  {
    desc: "first page unmapped, nothing above within the range",
    layout: ".",
    from: 0,
    size: PAGE_SIZE,
    want: 0,
    mapped: ".",
  },
  {
    desc: "first page unmapped, and the next area begins behind the range",
    layout: ".w",
    from: 0,
    size: PAGE_SIZE,
    want: 0,
    mapped: "..",
  },
  {
    desc: "first page unmapped, a later one inside: the gap counts",
    layout: ".w",
    from: 0,
    size: 2 * PAGE_SIZE,
    want: 2 * PAGE_SIZE,
    mapped: ".A",
  },
  {
    desc: "a gap in the middle counts",
    layout: "w.w",
    from: 5,
    size: 3 * PAGE_SIZE - 5,
    want: 3 * PAGE_SIZE - 5,
    mapped: "A.A",
  },
  { desc: "a gap at the end does not", layout: "w..", from: 0, size: 3 * PAGE_SIZE, want: PAGE_SIZE, mapped: "A.." },
  {
    desc: "good pages, then a read-only area",
    layout: "wwr",
    from: 100,
    size: 3 * PAGE_SIZE - 100,
    want: 2 * PAGE_SIZE - 100,
    mapped: "AA.",
  },
  { desc: "good pages, then PROT_NONE", layout: "wn", from: 0, size: 2 * PAGE_SIZE, want: PAGE_SIZE, mapped: "A." },
  { desc: "the first page fails and the start is inside it", layout: "n", from: 100, size: 50, want: 0, mapped: "." },
  {
    desc: "raw memory counts, all of it",
    layout: "pp",
    from: 0,
    size: 2 * PAGE_SIZE,
    want: 2 * PAGE_SIZE,
    mapped: "..",
  },
  {
    desc: "raw memory in the middle counts",
    layout: "wiw",
    from: 0,
    size: 3 * PAGE_SIZE,
    want: 3 * PAGE_SIZE,
    mapped: "A.A",
  },
  { desc: "nothing asked", layout: "w", from: 0, size: 0, want: 0, mapped: "." },
  {
    desc: "nothing asked, but the start is inside a page: it is faulted in all the same",
    layout: "w",
    from: 8,
    size: 0,
    want: 0,
    mapped: "A",
  },
])("$desc", ({ layout, from, size, want, mapped }) => {
  const rig = areas(layout);
  expect(rig.run(faultInUserPages(rig.task, AT + from, size, true))).toBe(want);
  expect(rig.pagemap(AT, layout.length * PAGE_SIZE)).toBe(mapped);
  expect(rig.mm.mmapLock.isFree()).toBe(true);
  rig.check();
});

test("for reading, read-only areas are good", () => {
  const rig = areas("rw.");
  expect(rig.run(faultInUserPages(rig.task, AT, 3 * PAGE_SIZE, false))).toBe(2 * PAGE_SIZE);
  expect(rig.pagemap(AT, 2 * PAGE_SIZE)).toBe("aa");
});

test("a range that wraps is not looked at", () => {
  const rig = areas("w");
  expect(rig.run(faultInUserPages(rig.task, AT, 2 ** 64, true))).toBe(0);
  expect(rig.pagemap(AT, PAGE_SIZE)).toBe(".");
  expect(rig.run(faultInUserPages(rig.task, AT, 2 ** 60, true))).toBe(PAGE_SIZE);
});

test("a file's end: the pages before it, and no more", () => {
  const rig = new Rig({ revision: MM_5_10 });
  const file = new MemoryFile(rig.mem, 2 * PAGE_SIZE);
  rig.mmap({ address: AT, length: 4 * PAGE_SIZE, flags: MAP_SHARED | 0x10, backing: file.backing });
  expect(rig.run(faultInUserPages(rig.task, AT + 1, 4 * PAGE_SIZE - 1, true))).toBe(2 * PAGE_SIZE - 1);
  expect((rig.mm.vmas.lookup(AT)?.flags ?? 0) & VM_SHARED).toBe(VM_SHARED);
});

test("no memory, and a fatal signal: what was done so far", () => {
  const poor = areas("w".repeat(20), { memory: 12 * PAGE_SIZE });
  const free = poor.mem.freePages;
  expect(poor.run(faultInUserPages(poor.task, AT, 20 * PAGE_SIZE, true))).toBe(free * PAGE_SIZE);
  poor.check();
  const doomed = areas("ww");
  doomed.task.fatalSignal = true;
  expect(doomed.run(faultInUserPages(doomed.task, AT, 2 * PAGE_SIZE, true))).toBe(0);
});

test("a slow file makes the walk drop mmap_lock and come back", () => {
  const rig = new Rig({ revision: MM_5_10 });
  const file = new MemoryFile(rig.mem, 4 * PAGE_SIZE, { latency: 10, around: false });
  rig.mmap({ address: AT, length: 4 * PAGE_SIZE, flags: MAP_SHARED | 0x10, backing: file.backing });
  rig.mmap({ address: AT + 4 * PAGE_SIZE, length: PAGE_SIZE });
  expect(rig.run(faultInUserPages(rig.task, AT, 5 * PAGE_SIZE, true))).toBe(5 * PAGE_SIZE);
  expect(rig.pagemap(AT, 5 * PAGE_SIZE)).toBe("FFFFA");
  expect(rig.mm.mmapLock.isFree()).toBe(true);
  rig.check();
});
