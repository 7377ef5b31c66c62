// What direct I/O does, row by row.

import { PAGE_SIZE } from "@faultline/kernel";
import { MAP_PRIVATE, MAP_SHARED } from "@faultline/mm";
import { expect } from "vitest";
import { O_DIRECT, O_RDWR, sysPread64, sysPwrite64 } from "../../index.ts";
import { fileByte, type Outcome, type Rig } from "../../testing/rig.ts";
import { type Row, read, testRows, write } from "../../testing/rows.ts";

const pages16 = "d".repeat(16);

/** Direct I/O on a file whose own private mapping is the buffer. */
const onto =
  (file: string, call: (rig: Rig, fd: number, map: number) => Outcome): Row["act"] =>
  (rig) => {
    rig.make("f", { size: file });
    const fd = rig.open("f", O_RDWR | O_DIRECT);
    return call(rig, fd, rig.map(fd, file.length, MAP_PRIVATE));
  };

testRows([
  {
    row: "19",
    desc: "read into a private mapping of the same file (647, second)",
    act: onto("hd", (rig, fd, map) => rig.measure(sysPread64(rig.task, fd, map, PAGE_SIZE, PAGE_SIZE))),
    want: {
      "5.10": "bug io=1 rounds=0",
      v4: "1p io=2 rounds=1",
      "5.16": "1p io=2 rounds=1",
      "5.18": "1p io=2 rounds=1",
      "6.1": "1p io=2 rounds=1",
    },
  },
  {
    row: "20",
    desc: "read a hole into it (647, fifth): zeroes are stored by the CPU",
    act: onto("hd", (rig, fd, map) => rig.measure(sysPread64(rig.task, fd, map, PAGE_SIZE, 0))),
    want: {
      "5.10": "bug io=1 rounds=0",
      v4: "1p io=2 rounds=1",
      "5.16": "1p io=2 rounds=1",
      "5.18": "1p io=2 rounds=1",
      "6.1": "1p io=2 rounds=1",
    },
  },
  {
    // The table counts the direct part only: two tries and two rounds. The third of each is the buffered write.
    row: "21",
    desc: "a page written onto itself (729): the write drops its own source from the cache, each time",
    act: onto("hd", (rig, fd, map) => rig.measure(sysPwrite64(rig.task, fd, map + PAGE_SIZE, PAGE_SIZE, PAGE_SIZE))),
    want: {
      "5.10": "bug io=1 rounds=0",
      v4: "livelock io=201 rounds=0",
      "5.16": "livelock io=201 rounds=201",
      "5.18": "livelock io=201 rounds=201",
      "6.1": "1p io=3 rounds=3",
    },
    after: (rig) => expect(rig.content("f")[PAGE_SIZE]).toBe(fileByte(PAGE_SIZE)),
  },
  {
    row: "22",
    desc: "two pages written onto themselves",
    act: onto("dd", (rig, fd, map) => rig.measure(sysPwrite64(rig.task, fd, map, 2 * PAGE_SIZE, 0))),
    want: {
      "5.10": "bug io=1 rounds=0",
      v4: "livelock io=201 rounds=0",
      "5.16": "livelock io=201 rounds=201",
      "5.18": "livelock io=201 rounds=201",
      "6.1": "2p io=4 rounds=4",
    },
  },
  {
    row: "23",
    desc: "read with half of the buffer unmapped, the other half there: before the fix what was read is not told",
    act: read("rrrrrrrr--------", { file: pages16, flags: O_DIRECT }),
    want: {
      "5.10": "EFAULT io=1 rounds=0",
      v4: "8p io=1 rounds=1",
      "5.16": "8p io=1 rounds=1",
      "5.18": "8p io=1 rounds=1",
      "6.1": "8p io=1 rounds=1",
    },
  },
  {
    row: "23",
    desc: "read with half of the buffer unmapped, the other half missing",
    act: read("........--------", { file: pages16, flags: O_DIRECT }),
    want: {
      "5.10": "EFAULT io=1 rounds=0",
      v4: "EFAULT io=1 rounds=1",
      "5.16": "8p io=9 rounds=9",
      "5.18": "8p io=2 rounds=2",
      "6.1": "8p io=2 rounds=2",
    },
  },
  {
    row: "23b",
    desc: "write with half of the source unmapped: the rest is tried through the page cache, and that fails unseen",
    act: write("........--------", { file: pages16, flags: O_DIRECT }),
    want: {
      "5.10": "EFAULT io=1 rounds=0",
      v4: "EFAULT io=1 rounds=0",
      "5.16": "8p io=10 rounds=10",
      "5.18": "8p io=2 rounds=3",
      "6.1": "8p io=2 rounds=3",
    },
  },
  {
    row: "23c",
    desc: "read, progress, and then an I/O error: the error, and what was read before it is not told",
    act: (rig) => {
      const fail = (): void => void rig.injections.set("disk-error", 1);
      rig.make("f", { size: pages16 });
      const fd = rig.open("f", O_RDWR | O_DIRECT);
      const buffer = rig.buffer("rrrr....");
      if (rig.machine.kernel.name === "5.10") fail();
      rig.trace.on("fault_in_safe_writeable", fail);
      rig.trace.on("fault_in_user_pages", fail);
      return rig.measure(sysPread64(rig.task, fd, buffer, 8 * PAGE_SIZE, 0));
    },
    want: {
      "5.10": "EIO io=1 rounds=0",
      v4: "EIO io=2 rounds=1",
      "5.16": "EIO io=2 rounds=1",
      "5.18": "EIO io=2 rounds=1",
      "6.1": "EIO io=2 rounds=1",
    },
  },
  {
    row: "23c",
    desc: "write, progress, and then an I/O error: the error, and what was written before it is not told",
    act: (rig) => {
      const fail = (): void => void rig.injections.set("disk-error", 1);
      rig.make("f", { size: pages16 });
      const fd = rig.open("f", O_RDWR | O_DIRECT);
      const buffer = rig.buffer("rrrr....");
      if (rig.machine.kernel.name === "5.10") fail();
      rig.trace.on("fault_in_readable", fail);
      return rig.measure(sysPwrite64(rig.task, fd, buffer, 8 * PAGE_SIZE, 0));
    },
    want: {
      "5.10": "EIO io=1 rounds=0",
      // After a part it does not come back to direct I/O.
      v4: "8p io=3 rounds=0",
      "5.16": "EIO io=2 rounds=1",
      "5.18": "EIO io=2 rounds=1",
      "6.1": "EIO io=2 rounds=1",
    },
  },
  {
    row: "24",
    desc: "write behind the end of the file: through the page cache",
    act: write("....", { file: "d", pos: PAGE_SIZE, flags: O_DIRECT }),
    want: {
      "5.10": "4p io=1 rounds=0",
      v4: "4p io=2 rounds=0",
      "5.16": "4p io=5 rounds=4",
      "5.18": "4p io=1 rounds=1",
      "6.1": "4p io=1 rounds=1",
    },
    after: (rig) => expect(rig.inode("f").mapping.nrDirty).toBe(0),
  },
  {
    // Not in the table: random calls found it here, and then a real 6.12 did the same until it was killed.
    row: "-",
    desc: "a page read into a shared mapping of itself: writing it back first takes the permission to store away again",
    act: (rig) => {
      rig.make("f", { size: "dd" });
      const fd = rig.open("f", O_RDWR | O_DIRECT);
      return rig.measure(sysPread64(rig.task, fd, rig.map(fd, 2, MAP_SHARED), PAGE_SIZE, 0));
    },
    want: {
      "5.10": "bug io=1 rounds=0",
      v4: "livelock io=201 rounds=201",
      "5.16": "livelock io=201 rounds=201",
      "5.18": "livelock io=201 rounds=201",
      "6.1": "livelock io=201 rounds=201",
    },
  },
]);
