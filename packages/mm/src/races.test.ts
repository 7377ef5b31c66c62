// What if somebody else changes memory while a fault handler sleeps? One story a test, in the order that hurts.
import { PAGE_SIZE, type Pfn, PREEMPT, type TaskBody } from "@faultline/kernel";
import { expect, test } from "vitest";
import {
  doMunmap,
  getPage,
  leaveLockToRequest,
  lockPage,
  lruCacheDel,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PTE_RW,
  putPage,
  reclaimer,
  shrinkPage,
  trylockPage,
  UserTask,
  unlockPage,
  unmapMappingPages,
  userLoad,
  userStore,
} from "./index.ts";
import { PageBit, PageWait } from "./page-lock.ts";
import { MemoryFile, type MemoryFileOptions } from "./testing/memory-file.ts";
import { Rig, RW } from "./testing/rig.ts";

const AT = 0x200000;

function mapped(options: MemoryFileOptions = {}, flags = MAP_SHARED, prot = RW): { rig: Rig; file: MemoryFile } {
  const rig = new Rig();
  const file = new MemoryFile(rig.mem, 4 * PAGE_SIZE, { around: false, ...options });
  rig.mmap({ address: AT, length: 4 * PAGE_SIZE, flags: flags | MAP_FIXED, prot, backing: file.backing });
  return { rig, file };
}

/** Run two tasks of one address space; the first begins. Returns what they return. */
function both(rig: Rig, first: (task: UserTask) => TaskBody, second: (task: UserTask) => TaskBody): unknown[] {
  const other = new UserTask(rig.world, "other", rig.mm);
  rig.world.start(rig.task, first(rig.task));
  rig.world.start(other, second(other));
  expect(rig.world.run().verdict.kind).toBe("completed");
  rig.check();
  return [rig.task.result, other.result];
}

/** Take a page away under its lock, as truncate does. */
function remove(task: UserTask, file: MemoryFile, frame: Pfn): void {
  unmapMappingPages(task, file.mapping, 0, 1, true);
  lruCacheDel(file.mem, frame);
  file.mapping.remove(frame);
}

test("a store to a shared page waits for the page lock while the page is truncated: it must not come back", () => {
  const { rig, file } = mapped({ mkwrite: false }, MAP_SHARED, PROT_READ);
  rig.load(AT);
  rig.mprotect(AT, 4 * PAGE_SIZE, RW);
  const frame = file.mapping.find(0);
  // mprotect has made the entry writable, since nobody asks to be told: take that back.
  rig.mm.pgd.set(AT / PAGE_SIZE, rig.mm.pgd.get(AT / PAGE_SIZE) & ~PTE_RW);
  getPage(rig.mem, frame);
  expect(trylockPage(rig.task, rig.mem, frame)).toBe(true);
  const [stored] = both(
    rig,
    (task) => userStore(task, AT, rig.buffer, 1),
    function* (task) {
      remove(task, file, frame);
      unlockPage(rig.mem, frame);
      putPage(rig.mem, frame);
    },
  );
  // The store went to a new page of the file.
  expect(stored).toEqual({ left: 0, signal: 0 });
  expect(file.mapping.find(0)).not.toBe(0);
});

test("page_mkwrite sleeps, and the entry is gone when it is done: the store is made again", () => {
  const { rig, file } = mapped({ latency: 10 });
  rig.load(AT);
  const frame = file.mapping.find(0);
  const [stored] = both(
    rig,
    function* (task) {
      yield* lockPage(task, rig.mem, frame);
      yield PREEMPT;
      unmapMappingPages(task, file.mapping, 0, 1, false);
      unlockPage(rig.mem, frame);
    },
    (task) => userStore(task, AT, rig.buffer, 1),
  );
  expect([stored, rig.pagemap(AT, PAGE_SIZE)]).toEqual([undefined, "F"]);
});

test.each([
  { desc: "the task that locked it", left: false, want: ["other"] },
  { desc: "no task while a request has it", left: true, want: [] },
])("a locked page is waited for: $desc", ({ left, want }) => {
  const { rig, file } = mapped();
  rig.load(AT);
  const frame = file.mapping.find(0);
  const other = new UserTask(rig.world, "other", rig.mm);
  rig.world.start(other, (function* () {})());
  expect(trylockPage(other, rig.mem, frame)).toBe(true);
  if (left) leaveLockToRequest(rig.mem, frame);
  const waits = new PageBit(rig.mem, frame, PageWait.Lock);
  expect(waits.holders(rig.task).map(({ comm }) => comm)).toEqual(want);
});

test("the area is unmapped while a read is waited for without mmap_lock", () => {
  const { rig } = mapped({ latency: 10 });
  const [loaded] = both(
    rig,
    (task) => userLoad(task, rig.buffer, AT, 1),
    (task) => doMunmap(task, AT, PAGE_SIZE),
  );
  expect(loaded).toEqual({ left: 1, signal: 11 });
});

test("the file is truncated while a read is waited for", () => {
  for (const flags of [MAP_SHARED, MAP_PRIVATE]) {
    const { rig, file } = mapped({ latency: 10 }, flags);
    const [stored] = both(
      rig,
      (task) => userStore(task, AT, rig.buffer, 1),
      (task) => file.truncate(task, 0),
    );
    expect(stored).toEqual({ left: 1, signal: 7 });
  }
});

test("two threads fault the same file page in: one read, one page", () => {
  const { rig, file } = mapped({ latency: 10 });
  both(
    rig,
    (task) => userLoad(task, rig.buffer, AT, 1),
    (task) => userStore(task, AT + 1, rig.buffer, 1),
  );
  expect(file.calls.filter((call) => call.startsWith("read"))).toEqual(["read 0"]);
  expect(rig.pagemap(AT, PAGE_SIZE)).toBe("F");
});

test("reclaim writes a page back while a thread stores to it again: the page stays", () => {
  const { rig, file } = mapped({ latency: 10 });
  rig.store(AT, 1);
  const frame = file.mapping.find(0);
  rig.mem.u8[rig.buffer] = 2;
  const [freed] = both(
    rig,
    (task) => shrinkPage(task, rig.mem, frame),
    (task) => userStore(task, AT, rig.buffer, 1),
  );
  expect([freed, file.byteAt(0), rig.load(AT)]).toEqual([false, 2, 2]);
  expect(file.mapping.find(0)).toBe(frame);
});

test("a page is freed while reclaim writes it back", () => {
  const { rig, file } = mapped({ latency: 10 });
  rig.store(AT, 1);
  const frame = file.mapping.find(0);
  const [freed] = both(
    rig,
    (task) => shrinkPage(task, rig.mem, frame),
    (task) => file.truncate(task, 0),
  );
  expect([freed, file.mapping.find(0), rig.mem.refcount[frame]]).toEqual([false, 0, 0]);
});

test("a daemon that takes every page back as soon as it is there does not stop a reader for good", () => {
  const { rig, file } = mapped();
  const daemon = new UserTask(rig.world, "kswapd", rig.mm, { daemon: true });
  rig.world.start(daemon, reclaimer(daemon, rig.mem, 50));
  expect(rig.run(userLoad(rig.task, rig.buffer, AT, 4 * PAGE_SIZE))).toEqual({ left: 0, signal: 0 });
  expect(file.byteAt(5)).toBe(rig.mem.u8[rig.buffer + 5]);
  rig.check();
});
