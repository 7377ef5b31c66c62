// An iterator among other things: tasks that take its memory away, locks that a fault may need, explorers that want to
// know what a copy touches, and another kernel's world in the same process.
import { MAY_FAULT, Mutex, mutexLock, mutexUnlock, type Pfn, RandomChooser, type Sleep } from "@faultline/kernel";
import {
  doMunmap,
  FAULTS_DISABLED,
  FAULTS_ENABLED,
  MM_5_10,
  MM_LATEST,
  pageAddress,
  pagefaultDisable,
  pagefaultEnable,
  UserTask,
} from "@faultline/mm";
import { expect, test } from "vitest";
import {
  copyFromIter,
  copyPageFromIterAtomic,
  copyPageToIter,
  FolioQueue,
  faultInIovIterReadable,
  folioqAppend,
  folioqExtend,
  ITER_DEST,
  ITER_SOURCE,
  iovIterBvec,
  iovIterFolioQueue,
  iovIterInit,
  iovIterKvec,
  iovIterUbuf,
  iovIterZero,
  UIO_5_10,
  UIO_LATEST,
} from "./index.ts";
import { allocFrames, BASE, makeRig, mapPages, physicalBytes, physicalOf, run, userByte } from "./rig.ts";

test("even full success of fault-in promises nothing: the page may be gone when the copy comes", () => {
  const rig = makeRig();
  const frame = allocFrames(rig, 1, 0xee);
  mapPages(rig, "ww");
  const i = iovIterUbuf(ITER_SOURCE, BASE + 4000, 200);
  expect(run(rig, faultInIovIterReadable(rig.task, i, 200))).toBe(0);
  expect(run(rig, doMunmap(rig.task, BASE + 4096, 4096))).toBe(0);
  expect(copyPageFromIterAtomic(rig.task, frame, 0, 200, i)).toBe(96);
  expect([i.count, i.iovOffset]).toEqual([104, 96]);
});

test("memory that is unmapped while a copy sleeps in a fault ends it there, whatever the order of events", () => {
  const ends = new Set<number>();
  for (let seed = 0; seed < 60; seed++) {
    const rig = makeRig({ chooser: new RandomChooser(seed) });
    const frame = allocFrames(rig, 2, 1);
    mapPages(rig, "w..");
    const i = iovIterUbuf(ITER_DEST, BASE + 96, 8192);
    let done = -1;
    rig.world.start(
      rig.task,
      (function* () {
        done = yield* copyPageToIter(rig.task, frame, 0, 8192, i, FAULTS_ENABLED);
      })(),
    );
    const other = new UserTask(rig.world, "other", rig.task.mm);
    rig.world.start(other, doMunmap(other, BASE + 4096, 8192));
    expect(rig.world.run().verdict.kind).toBe("completed");
    expect([i.iovOffset, i.count]).toEqual([done, 8192 - done]);
    ends.add(done);
  }
  for (const done of ends) expect([4000, 8096, 8192]).toContain(done);
  expect(ends.size).toBeGreaterThan(1);
});

test("copies that may fault say so to lockdep, resident or not; those that cannot do not", () => {
  const rig = makeRig({ lockdep: true });
  const { task, world } = rig;
  const frame = allocFrames(rig, 1);
  mapPages(rig, "w");
  const edges = (lock: Mutex): string[] =>
    world.lockdep?.edges.filter(({ from }) => from === lock.lockClass).map(({ to }) => to) ?? [];
  const under = (name: string, body: () => Generator<Sleep, unknown, void>): string[] => {
    const lock = new Mutex(world, name);
    run(
      rig,
      (function* () {
        yield* mutexLock(task, lock);
        yield* body();
        mutexUnlock(task, lock);
      })(),
    );
    return edges(lock);
  };
  const user = (): ReturnType<typeof iovIterUbuf> => iovIterUbuf(ITER_DEST, BASE, 100);
  const kernel = iovIterKvec(ITER_DEST, [{ base: 8192, len: 100 }], 100);
  const enabled = FAULTS_ENABLED as never;
  expect(under("a", () => copyPageToIter(task, frame, 0, 9, user(), enabled))).toEqual([MAY_FAULT]);
  expect(under("b", () => iovIterZero(task, 9, user(), enabled))).toEqual([MAY_FAULT]);
  expect(under("c", () => copyPageToIter(task, frame, 0, 9, user(), FAULTS_DISABLED as never))).toEqual([]);
  expect(under("d", () => copyPageToIter(task, frame, 0, 9, kernel, enabled))).toEqual([]);
});

test("with page faults disabled by the counter alone, a copy falls short and nothing faults", () => {
  const rig = makeRig();
  const frame = allocFrames(rig, 1);
  mapPages(rig, "w.");
  pagefaultDisable(rig.task);
  const i = iovIterUbuf(ITER_DEST, BASE + 4000, 200);
  expect(run(rig, copyPageToIter(rig.task, frame, 0, 200, i, FAULTS_ENABLED))).toBe(96);
  pagefaultEnable(rig.task);
  expect(physicalOf(rig, BASE + 4096)).toBe(0);
  expect(run(rig, copyPageToIter(rig.task, frame, 96, 104, i, FAULTS_ENABLED))).toBe(104);
});

test("explorers learn which pages a copy between kernel pages reads and writes", () => {
  const rig = makeRig();
  const { task, mem, world } = rig;
  const [from, to] = [allocFrames(rig, 2), allocFrames(rig, 3)];
  const log: string[] = [];
  const names = new Map(
    [from, from + 1, to, to + 1, to + 2].map((page, n) => [
      mem.bytesId(page as Pfn),
      ["f0", "f1", "t0", "t1", "t2"][n],
    ]),
  );
  world.accesses = {
    beginStep: () => undefined,
    read: (object) => log.push(`r ${names.get(object)}`),
    write: (object) => log.push(`w ${names.get(object)}`),
    acquire: () => undefined,
    release: () => undefined,
  } as NonNullable<typeof world.accesses>;
  const source = iovIterBvec(ITER_SOURCE, [{ page: from, offset: 4000, len: 200 }], 200);
  copyPageFromIterAtomic(task, to, 4090, 200, source);
  expect(log.splice(0)).toEqual(["r f0", "r f1", "w t0", "w t1"]);
  const dest = iovIterKvec(ITER_DEST, [{ base: pageAddress(to), len: 8193 }], 8193);
  run(rig, iovIterZero(task, 8193, dest, FAULTS_DISABLED));
  expect(log).toEqual(["w t0", "w t1", "w t2"]);
});

test("two kernels' worlds side by side do not see each other", () => {
  const rigs = [
    { rig: makeRig({ revision: MM_5_10, traced: true }), uio: UIO_5_10 },
    { rig: makeRig({ revision: MM_LATEST, traced: true }), uio: UIO_LATEST },
  ].map(({ rig, uio }) => {
    const frame = allocFrames(rig, 1);
    mapPages(rig, "w-");
    rig.trace.clear();
    return { rig, frame, i: iovIterInit(ITER_SOURCE, [{ base: BASE + 4000, len: 200 }], 200, uio) };
  });
  for (const { rig, frame, i } of rigs) expect(copyPageFromIterAtomic(rig.task, frame, 0, 50, i)).toBe(50);
  for (const { rig, frame, i } of rigs) expect(copyPageFromIterAtomic(rig.task, frame, 50, 150, i)).toBe(46);
  for (const { rig, frame } of rigs) {
    const want = Array.from({ length: 96 }, (_, n) => userByte(BASE + 4000 + n));
    expect([...physicalBytes(rig, pageAddress(frame), 96)]).toEqual(want);
  }
  expect(rigs.map(({ rig }) => rig.trace.count)).toEqual([2, 2]);
});

test("a queue of folios that ends early ends the copy; what is linked later goes on", () => {
  const rig = makeRig();
  const [frame, first] = [allocFrames(rig, 2), allocFrames(rig, 2)];
  const queue = new FolioQueue();
  folioqAppend(queue, first);
  const i = iovIterFolioQueue(ITER_SOURCE, queue, 0, 0, 8192);
  expect(copyPageFromIterAtomic(rig.task, frame, 0, 5000, i)).toBe(4096);
  expect(copyPageFromIterAtomic(rig.task, frame, 0, 5000, i)).toBe(0);
  folioqAppend(folioqExtend(queue), (first + 1) as Pfn);
  expect(copyPageFromIterAtomic(rig.task, frame, 0, 5000, i)).toBe(4096);
  expect(i.count).toBe(0);
});

test("an iterator may be used up in pieces of any size", () => {
  const rig = makeRig();
  const frame = allocFrames(rig, 2);
  mapPages(rig, "www");
  const segments = [
    { base: BASE + 1, len: 5000 },
    { base: BASE, len: 0 },
    { base: BASE + 9000, len: 3000 },
  ];
  const want: number[] = [];
  for (const { base, len } of segments) for (let n = 0; n < len; n++) want.push(userByte(base + n));
  for (const size of [1, 7, 64, 999, 4096, 8000]) {
    const i = iovIterInit(ITER_SOURCE, segments, 8000);
    for (let done = 0; done < 8000; ) {
      const n = run(
        rig,
        copyFromIter(rig.task, pageAddress(frame) + done, Math.min(size, 8192 - done), i, FAULTS_DISABLED),
      );
      expect(n).toBe(Math.min(size, 8000 - done));
      done += n;
    }
    expect([...physicalBytes(rig, pageAddress(frame), 8000)]).toEqual(want);
  }
});
