// Frames: who has how many, what do they cost, and what is an error?
import { PAGE_SIZE, World } from "@faultline/kernel";
import { expect, test } from "vitest";
import {
  AddressSpace,
  getPage,
  HostMemory,
  PG_LRU,
  type PhysMem,
  PhysMem as PhysMemClass,
  pageAddress,
  pageOf,
  putPage,
  setPoison,
} from "./index.ts";

const memory = (pages: number): PhysMem => new PhysMemClass(new World(), pages * PAGE_SIZE);

test("frames are handed out once, until they come back", () => {
  const mem = memory(8);
  const frames = Array.from({ length: 6 }, () => mem.tryAllocPage(true));
  expect([new Set(frames).size, frames.includes(mem.zeroPfn), mem.tryAllocPage(true)]).toEqual([6, false, 0]);
  mem.u8.fill(7, pageAddress(frames[2]), pageAddress(frames[2]) + PAGE_SIZE);
  putPage(mem, frames[2]);
  expect([...mem.freeList()]).toEqual([frames[2]]);
  const again = mem.tryAllocPage(true);
  expect([again, mem.u8[pageAddress(again) + 5], pageOf(pageAddress(again) + 5)]).toEqual([frames[2], 0, frames[2]]);
});

test("memory that is used again is as new", () => {
  const host = new HostMemory(8 * PAGE_SIZE);
  const old = new PhysMemClass(new World(), host.size, host);
  const frames = Array.from({ length: 4 }, () => old.tryAllocPage(true));
  for (const frame of frames) {
    old.u8.fill(7, pageAddress(frame), pageAddress(frame) + PAGE_SIZE);
    old.index[frame] = old.mapcount[frame] = old.lruPrev[frame] = 9;
  }
  const again = new PhysMemClass(new World(), host.size, host);
  const arrays = (mem: PhysMem): unknown[] => Object.values(mem).filter((value) => ArrayBuffer.isView(value));
  expect(again.u8).toBe(old.u8);
  expect(arrays(again)).toEqual(arrays(memory(8)));
  expect([again.freePages, again.untouched, [...again.freeList()]]).toEqual([6, 2, []]);
  expect(() => new PhysMemClass(new World(), 4 * PAGE_SIZE, host)).toThrow(
    "host memory must have 16384 bytes, not 32768",
  );
});

test("a frame costs at most 32 bytes beside its own", () => {
  const mem = memory(64);
  const arrays = Object.values(mem).filter((value) => ArrayBuffer.isView(value) && value !== mem.u8);
  const bytes = arrays.reduce((sum, array) => sum + (array as Uint8Array).byteLength, 0);
  expect(bytes / mem.frames).toBeLessThanOrEqual(32);
});

test("misuse of references is a bug", () => {
  const mem = memory(8);
  const frame = mem.tryAllocPage(true);
  getPage(mem, frame);
  putPage(mem, frame);
  putPage(mem, frame);
  expect(() => putPage(mem, frame)).toThrow("put_page of a free page");
  expect(() => getPage(mem, frame)).toThrow("get_page of a free page");
  const mapped = mem.tryAllocPage(true);
  mem.mapcount[mapped] = 1;
  expect(() => putPage(mem, mapped)).toThrow("is mapped");
  const listed = mem.tryAllocPage(true);
  mem.flags[listed] |= PG_LRU;
  expect(() => putPage(mem, listed)).toThrow("in use");
});

test("misuse of the page cache is a bug", () => {
  const mem = memory(8);
  const cache = (name: string): AddressSpace => new AddressSpace(mem, {} as never, {}, 1, name);
  const [one, other] = [cache("one"), cache("other")];
  const frame = mem.tryAllocPage(true);
  one.add(2 ** 39, frame);
  expect([one.find(2 ** 39), mem.index[frame], mem.refcount[frame]]).toEqual([frame, 2 ** 39, 2]);
  expect(() => one.add(2 ** 39, mem.tryAllocPage(true))).toThrow("taken");
  expect(() => other.add(1, frame)).toThrow("already");
  expect(() => other.remove(frame)).toThrow("another mapping");
  mem.mapcount[frame] = 1;
  expect(() => one.remove(frame)).toThrow("mapped");
  mem.mapcount[frame] = 0;
  one.remove(frame);
  expect([one.nrpages, mem.mappings.filter((mapping) => mapping !== null)]).toEqual([0, []]);
});

test.each([0, -1, 100, 4096, 4096.5, Number.NaN, 2 ** 33])("memory of %s bytes is refused", (size) => {
  expect(() => new PhysMemClass(new World(), size)).toThrow(RangeError);
});

test("4 GiB can be had, and cost nothing before they are used", () => {
  const mem = memory(1 << 20);
  expect(mem.freePages).toBe((1 << 20) - 2);
  expect(() => setPoison(mem, 2 ** 32, 1)).toThrow(RangeError);
});
