// What a buffered read does, row by row.

import { PAGE_SIZE } from "@faultline/kernel";
import { MAP_PRIVATE, MAP_SHARED } from "@faultline/mm";
import { expect } from "vitest";
import { sysPread64 } from "../../index.ts";
import { fileByte, fileBytes } from "../../testing/rig.ts";
import { read, testRows } from "../../testing/rows.ts";

const pages16 = "d".repeat(16);

testRows([
  {
    // The recorded 5.10 is a late one, to which the repair of the lockless pass was carried back: the table's 5.10
    // and 5.16 read it all without the glock.
    row: "11",
    desc: "16 cached pages into a buffer that is not there",
    act: read("................", { file: pages16, cached: true }),
    want: {
      "5.10": "16p io=1 rounds=0",
      v4: "16p io=0 rounds=0",
      "5.16": "16p io=0 rounds=0",
      "5.18": "16p io=2 rounds=1",
      "6.1": "16p io=2 rounds=1",
    },
  },
  {
    row: "12",
    desc: "16 pages that are not cached",
    act: read("................", { file: pages16 }),
    want: {
      "5.10": "16p io=1 rounds=0",
      v4: "16p io=2 rounds=1",
      "5.16": "16p io=17 rounds=16",
      "5.18": "16p io=2 rounds=1",
      "6.1": "16p io=2 rounds=1",
    },
  },
  {
    row: "13",
    desc: "16 pages of a file that has 6: what is left of the buffer is faulted in for nothing",
    act: read("r".repeat(16), { file: "dddddd" }),
    want: {
      "5.10": "6p io=1 rounds=0",
      v4: "6p io=2 rounds=1",
      "5.16": "6p io=2 rounds=1",
      "5.18": "6p io=2 rounds=1",
      "6.1": "6p io=2 rounds=1",
    },
  },
  {
    row: "14",
    desc: "the same, cached: the glock is taken to learn that there is no more",
    act: read("r".repeat(16), { file: "dddddd", cached: true }),
    want: {
      "5.10": "6p io=1 rounds=0",
      v4: "6p io=1 rounds=0",
      "5.16": "6p io=1 rounds=0",
      "5.18": "6p io=1 rounds=0",
      "6.1": "6p io=1 rounds=0",
    },
  },
  {
    row: "15",
    desc: "half of the buffer unmapped, the other half there",
    act: read("rrrr----", { file: pages16, cached: true }),
    want: {
      "5.10": "4p io=1 rounds=0",
      v4: "4p io=1 rounds=1",
      "5.16": "4p io=1 rounds=1",
      "5.18": "4p io=1 rounds=1",
      "6.1": "4p io=1 rounds=1",
    },
  },
  {
    row: "15",
    desc: "half of the buffer unmapped, the other half missing, nothing cached: all or nothing is nothing",
    act: read("....----", { file: pages16 }),
    want: {
      "5.10": "4p io=1 rounds=0",
      v4: "EFAULT io=1 rounds=1",
      "5.16": "4p io=5 rounds=5",
      "5.18": "4p io=2 rounds=2",
      "6.1": "4p io=2 rounds=2",
    },
  },
  {
    row: "16",
    desc: "at the end of the file",
    act: read("....", { file: pages16, pos: 16 * PAGE_SIZE }),
    want: {
      "5.10": "0 io=1 rounds=0",
      v4: "0 io=1 rounds=0",
      "5.16": "0 io=1 rounds=0",
      "5.18": "0 io=1 rounds=0",
      "6.1": "0 io=1 rounds=0",
    },
  },
  {
    row: "17",
    desc: "a read-only buffer",
    act: read("oooo", { file: pages16 }),
    want: {
      "5.10": "EFAULT io=1 rounds=0",
      v4: "EFAULT io=1 rounds=1",
      "5.16": "EFAULT io=1 rounds=1",
      "5.18": "EFAULT io=1 rounds=1",
      "6.1": "EFAULT io=1 rounds=1",
    },
  },
  {
    row: "18",
    desc: "into a private mapping of the same file (647, first)",
    act: (rig) => {
      rig.make("f", { size: "hd" });
      const fd = rig.open("f");
      const map = rig.map(fd, 2, MAP_PRIVATE);
      const outcome = rig.measure(sysPread64(rig.task, fd, map, PAGE_SIZE, PAGE_SIZE));
      if (typeof outcome.ret === "number") expect(rig.peek(map, 3)).toEqual(fileBytes(PAGE_SIZE, 3));
      return outcome;
    },
    want: {
      "5.10": "bug io=1 rounds=0",
      v4: "1p io=2 rounds=1",
      "5.16": "1p io=2 rounds=1",
      "5.18": "1p io=2 rounds=1",
      "6.1": "1p io=2 rounds=1",
    },
  },
  {
    row: "18",
    desc: "into a shared mapping of the same file: the fault wants the glock exclusively",
    act: (rig) => {
      rig.make("f", { size: "dd" });
      const fd = rig.open("f");
      const map = rig.map(fd, 2, MAP_SHARED);
      return rig.measure(sysPread64(rig.task, fd, map, PAGE_SIZE, PAGE_SIZE));
    },
    want: {
      "5.10": "bug io=1 rounds=0",
      v4: "1p io=2 rounds=1",
      // The fault takes the glock from its own task, which is on call; and a read that has nothing yet takes it again.
      "5.16": "1p io=2 rounds=1",
      "5.18": "1p io=2 rounds=1",
      "6.1": "1p io=2 rounds=1",
    },
    after: (rig) => expect(rig.content("f")[0]).toBe(fileByte(PAGE_SIZE)),
  },
  {
    // With a warm cache v4 and 5.16 read it all without the glock, faults and all.
    row: "28",
    desc: "raw memory without entries: the fault-in of v4 and 5.16 passes over it and calls that success",
    act: read("pppp", { file: pages16 }),
    want: {
      "5.10": "4p io=1 rounds=0",
      v4: "livelock io=201 rounds=201",
      "5.16": "livelock io=201 rounds=201",
      "5.18": "4p io=2 rounds=1",
      "6.1": "4p io=2 rounds=1",
    },
  },
  {
    row: "29",
    desc: "a buffer that begins in the middle of an unmapped page: 5.16 subtracts below zero and calls it success",
    act: read("-", { file: pages16, offset: 0x100 }),
    want: {
      "5.10": "EFAULT io=1 rounds=0",
      v4: "EFAULT io=1 rounds=1",
      "5.16": "livelock io=201 rounds=201",
      "5.18": "EFAULT io=1 rounds=1",
      "6.1": "EFAULT io=1 rounds=1",
    },
  },
  {
    row: "29",
    desc: "the same with memory behind it: v4 counts the gap as faulted in",
    act: read("-...", { file: pages16, offset: 0x100 }),
    want: {
      "5.10": "EFAULT io=1 rounds=0",
      v4: "livelock io=201 rounds=201",
      "5.16": "livelock io=201 rounds=201",
      "5.18": "EFAULT io=1 rounds=1",
      "6.1": "EFAULT io=1 rounds=1",
    },
  },
]);
