// What does user space get when an access fails, what does the kernel get, and what can a handler repair?
import { downRead, downWrite, type MayFault, PAGE_SIZE, PREEMPT, upRead, upWrite } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import {
  copyFromUser,
  copyToUser,
  doMmap,
  doMprotect,
  faultInReadable,
  faultInSafeWriteable,
  getUserPagesUnlocked,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_GROWSDOWN,
  MAP_PRIVATE,
  MAP_SHARED,
  MM_5_10,
  MM_5_18,
  MM_6_1,
  MM_LATEST,
  type MmRevision,
  PROT_NONE,
  PROT_READ,
  pagefaultDisable,
  SIGBUS,
  SIGKILL,
  SIGSEGV,
  type SigInfo,
  TASK_SIZE,
  UserTask,
  userStore,
} from "./index.ts";
import { MemoryFile } from "./testing/memory-file.ts";
import { Rig, RW } from "./testing/rig.ts";

const AT = 0x200000;

describe("signals", () => {
  test("only user mode gets them: the kernel's copy falls short, silently", () => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: PAGE_SIZE });
    let handled = 0;
    rig.task.sigaction.set(SIGSEGV, function* () {
      handled++;
      return false;
    });
    expect(rig.run(copyToUser(rig.task, AT + 4000, rig.buffer, 200))).toBe(104);
    expect(rig.run(faultInReadable(rig.task, AT + PAGE_SIZE, 10))).toBe(10);
    expect(handled).toBe(0);
    expect(rig.events(0)).not.toContain("signal_deliver");
    expect(rig.store(AT + PAGE_SIZE, 1)).toBe("SIGSEGV");
    expect(handled).toBe(1);
  });

  test.each([
    { desc: "mprotect", prot: PROT_READ, repair: (task: UserTask) => doMprotect(task, AT, PAGE_SIZE, RW) },
    { desc: "mmap", prot: -1, repair: (task: UserTask) => mapAt(task) },
  ])("a handler repairs the mapping with $desc, and the access is made again", ({ prot, repair }) => {
    const rig = new Rig();
    if (prot >= 0) rig.mmap({ address: AT, length: PAGE_SIZE, prot });
    const seen: SigInfo[] = [];
    rig.task.sigaction.set(SIGSEGV, function* (task, info): MayFault<boolean> {
      seen.push(info);
      return (yield* repair(task)) >= 0;
    });
    expect([rig.store(AT + 5, 42), rig.load(AT + 5)]).toEqual(["", 42]);
    expect(seen).toEqual([{ signo: SIGSEGV, address: AT + 5 }]);
    rig.check();
  });

  test("a store of many pages goes on after each repair, from the byte that failed", () => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: 3 * PAGE_SIZE, prot: PROT_READ });
    const seen: number[] = [];
    rig.task.sigaction.set(SIGSEGV, function* (task, { address }): MayFault<boolean> {
      seen.push(address);
      return (yield* doMprotect(task, address - (address % PAGE_SIZE), PAGE_SIZE, RW)) === 0;
    });
    expect(rig.run(userStore(rig.task, AT + 10, rig.buffer, 3 * PAGE_SIZE - 20))).toEqual({ left: 0, signal: 0 });
    expect(seen).toEqual([AT + 10, AT + PAGE_SIZE, AT + 2 * PAGE_SIZE]);
  });

  test("a handler of SIGBUS may make the file longer", () => {
    const rig = new Rig();
    const file = new MemoryFile(rig.mem, PAGE_SIZE, { room: 4 * PAGE_SIZE });
    rig.mmap({ address: AT, length: 2 * PAGE_SIZE, flags: MAP_SHARED | MAP_FIXED, backing: file.backing });
    rig.task.sigaction.set(SIGBUS, function* (task): MayFault<boolean> {
      return (yield* file.truncate(task, 2 * PAGE_SIZE)) === 0;
    });
    expect([rig.store(AT + PAGE_SIZE, 1), rig.load(AT + PAGE_SIZE)]).toEqual(["", 1]);
  });

  test("SIGKILL has no handler: no memory ends the access", () => {
    const rig = new Rig({ memory: 10 * PAGE_SIZE });
    rig.mmap({ address: AT, length: 20 * PAGE_SIZE });
    let handled = 0;
    rig.task.sigaction.set(SIGKILL, function* () {
      handled++;
      return true;
    });
    const free = rig.mem.freePages;
    for (let i = 0; i < 20; i++) expect(rig.store(AT + i * PAGE_SIZE, 1)).toBe(i < free ? "" : "SIGKILL");
    expect(handled).toBe(0);
    rig.check();
  });

  test("a handler that repairs nothing and asks for another try is a livelock", () => {
    const rig = new Rig();
    rig.task.sigaction.set(SIGSEGV, function* () {
      return true;
    });
    rig.task.world.start(rig.task, userStore(rig.task, AT, rig.buffer, 1));
    expect(rig.world.run().verdict.kind).toBe("livelock");
  });

  test.each([0, 4096, TASK_SIZE - 1, TASK_SIZE, 2 ** 47, 2 ** 63, -1])("address %s, where nothing is", (address) => {
    const rig = new Rig();
    expect(rig.store(address, 1)).toBe("SIGSEGV");
    expect(rig.run(copyFromUser(rig.task, rig.buffer, address, 1))).toBe(1);
  });

  function mapAt(task: UserTask): MayFault<number> {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    return doMmap(task, { address: AT, length: PAGE_SIZE, prot: RW, flags });
  }
});

describe("a stack grows when it is touched below its start", () => {
  const TOP = 0x7f0000000000;

  function stack(revision: MmRevision = MM_LATEST, limit = 64 * PAGE_SIZE): Rig {
    const rig = new Rig({ revision, limits: { stack: limit } });
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED;
    expect(rig.mmap({ address: TOP - PAGE_SIZE, length: PAGE_SIZE, flags })).toBe(TOP - PAGE_SIZE);
    return rig;
  }

  test.each([MM_5_10, MM_LATEST])("in user mode and in the kernel's copies ($name)", (revision) => {
    const rig = stack(revision);
    expect(rig.store(TOP - 5 * PAGE_SIZE, 1)).toBe("");
    expect(rig.mm.totalVm).toBe(5 * PAGE_SIZE);
    expect(rig.run(copyToUser(rig.task, TOP - 7 * PAGE_SIZE, rig.buffer, 10))).toBe(0);
    expect(rig.run(faultInReadable(rig.task, TOP - 8 * PAGE_SIZE, 10))).toBe(0);
    expect(rig.pagemap(TOP - 8 * PAGE_SIZE, 8 * PAGE_SIZE)).toBe("aA.A....");
    expect(rig.mm.mmapLock.isFree()).toBe(true);
    rig.check();
  });

  test("up to its limit, and no further", () => {
    const rig = stack();
    expect(rig.store(TOP - 64 * PAGE_SIZE, 1)).toBe("");
    expect(rig.store(TOP - 65 * PAGE_SIZE, 1)).toBe("SIGSEGV");
    expect(rig.mm.totalVm).toBe(64 * PAGE_SIZE);
    rig.check();
  });

  test.each([
    { desc: "another area keeps its distance", below: { prot: RW }, distance: 256, want: "SIGSEGV" },
    { desc: "at the distance of the gap it may", below: { prot: RW }, distance: 257, want: "" },
    { desc: "what nobody can touch needs no distance", below: { prot: PROT_NONE }, distance: 3, want: "" },
  ])("$desc", ({ below, distance, want }) => {
    const rig = stack();
    rig.mmap({ address: TOP - (distance + 2) * PAGE_SIZE, length: PAGE_SIZE, ...below });
    expect(rig.store(TOP - 2 * PAGE_SIZE, 1)).toBe(want);
    rig.check();
  });

  test("the address space limit counts", () => {
    const rig = new Rig({ limits: { addressSpace: 3 * PAGE_SIZE } });
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED;
    rig.mmap({ address: TOP - PAGE_SIZE, length: PAGE_SIZE, flags });
    expect([rig.store(TOP - 3 * PAGE_SIZE, 1), rig.store(TOP - 4 * PAGE_SIZE, 1)]).toEqual(["", "SIGSEGV"]);
  });

  test.each([
    { revision: MM_5_10, grows: true },
    { revision: MM_5_18, grows: true },
    // Back-ported to the 6.1 that was recorded.
    { revision: MM_6_1, grows: false },
    { revision: MM_LATEST, grows: false },
  ])("get_user_pages and fault_in_safe_writeable: until 6.4 ($revision.name: $grows)", ({ revision, grows }) => {
    const rig = stack(revision);
    const got = rig.run(getUserPagesUnlocked(rig.task, TOP - 3 * PAGE_SIZE, 1, 1, []));
    expect(got === 1).toBe(grows);
    // The walk of 5.16 finds the stack's area, but beyond its range.
    const safe = grows && revision !== MM_5_10;
    expect(rig.run(faultInSafeWriteable(rig.task, TOP - 6 * PAGE_SIZE, 10)) === 0).toBe(safe);
    rig.check([rig.mm], grows ? [[rig.mm.pgd.get((TOP - 3 * PAGE_SIZE) / PAGE_SIZE) >>> 12, 1]] : []);
  });

  test("since 6.5 growing takes mmap_lock for writing: it waits for readers", () => {
    for (const [revision, waits] of [
      [MM_5_10, false],
      [MM_LATEST, true],
    ] as const) {
      const rig = stack(revision);
      const order: string[] = [];
      const reader = new UserTask(rig.world, "reader", rig.mm);
      rig.world.start(
        reader,
        (function* () {
          yield* downRead(reader, rig.mm.mmapLock);
          yield PREEMPT;
          yield PREEMPT;
          order.push("reader done");
          upRead(reader, rig.mm.mmapLock);
        })(),
      );
      rig.world.start(
        rig.task,
        (function* () {
          yield* userStore(rig.task, TOP - 2 * PAGE_SIZE, rig.buffer, 1);
          order.push("grown");
        })(),
      );
      expect(rig.world.run().verdict.kind).toBe("completed");
      expect(order).toEqual(waits ? ["reader done", "grown"] : ["grown", "reader done"]);
    }
  });
});

describe("mmap_lock", () => {
  test("a fault waits while somebody changes the areas", () => {
    const rig = new Rig();
    rig.mmap({ address: AT, length: PAGE_SIZE });
    const writer = new UserTask(rig.world, "writer", rig.mm);
    let stored = false;
    rig.world.start(
      writer,
      (function* () {
        yield* downWrite(writer, rig.mm.mmapLock);
        yield PREEMPT;
        expect(stored).toBe(false);
        upWrite(writer, rig.mm.mmapLock);
      })(),
    );
    rig.world.start(
      rig.task,
      (function* () {
        yield* userStore(rig.task, AT, rig.buffer, 1);
        stored = true;
      })(),
    );
    expect([rig.world.run().verdict.kind, stored]).toEqual(["completed", true]);
  });

  test("lockdep learns that user memory was touched with a lock held, resident or not", () => {
    const rig = new Rig({ lockdep: true });
    rig.mmap({ address: AT, length: PAGE_SIZE });
    rig.store(AT, 1);
    const other = new UserTask(rig.world, "other", rig.mm);
    rig.run(
      (function* () {
        yield* downRead(rig.task, other.mm.mmapLock);
        expect(yield* copyFromUser(rig.task, rig.buffer, AT, 1)).toBe(0);
        upRead(rig.task, other.mm.mmapLock);
      })(),
    );
    const edges = rig.world.lockdep?.edges.map(({ from, to }) => `${from} > ${to}`);
    expect(edges).toContain("mmap_lock > may_fault");
    // A fault takes mmap_lock, so this closes a ring: a writer in between would hang both.
    expect(rig.world.lockdep?.cycles.length).toBe(1);
  });

  test("a handler that runs while page faults are disabled is a bug", () => {
    const rig = new Rig();
    pagefaultDisable(rig.task);
    rig.world.start(rig.task, userStore(rig.task, AT, rig.buffer, 1));
    expect(rig.world.run().verdict.kind).toBe("bug");
  });
});
