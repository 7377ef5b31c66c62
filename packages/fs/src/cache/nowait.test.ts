// Reads that must not wait. No program gets that far: gfs2 does not promise to honour RWF_NOWAIT, so the system call is
// refused. The read path has the rule all the same, and it is tested where a caller inside the kernel would find it.

import { EAGAIN, EINVAL, EOPNOTSUPP, err, errnoName, PAGE_SIZE } from "@faultline/kernel";
import { ITER_DEST, ITER_SOURCE, iovIterInit } from "@faultline/uio";
import { describe, expect, test } from "vitest";
import {
  type File,
  type Gfs2Revision,
  O_DIRECT,
  O_RDWR,
  REVISIONS,
  RWF_NOWAIT,
  sysPreadv2,
  sysPwritev2,
} from "../index.ts";
import { Rig } from "../testing/rig.ts";
import { IOCB_NOWAIT } from "../vfs/kiocb.ts";
import { invalidateMappingPages } from "./page-cache.ts";

const P = PAGE_SIZE;
const KERNELS = ["5.10", "v4", "5.16", "5.18", "6.1", "6.12", "7.2"];

function rigOf(kernel: string): Rig {
  return new Rig(REVISIONS[kernel] as Gfs2Revision, { latency: 100 });
}

describe.each(KERNELS)("%s", (kernel) => {
  test.each([
    { desc: "all cached", cached: true, len: 2 * P, ret: err(EOPNOTSUPP) },
    { desc: "nothing cached", cached: false, len: 2 * P, ret: err(EOPNOTSUPP) },
    { desc: "no bytes", cached: false, len: 0, ret: 0 },
  ])("the system calls refuse RWF_NOWAIT, whatever is there: $desc", ({ cached, len, ret }) => {
    for (const flags of [O_RDWR, O_RDWR | O_DIRECT]) {
      const rig = rigOf(kernel);
      rig.make("f", { size: "dd", cached });
      const fd = rig.open("f", flags);
      const vec = [{ base: rig.buffer("rr"), len }];
      expect(rig.run(sysPreadv2(rig.task, fd, vec, 0, RWF_NOWAIT))).toBe(ret);
      expect(rig.run(sysPwritev2(rig.task, fd, vec, 0, RWF_NOWAIT))).toBe(ret);
      rig.check();
    }
  });

  /** Read four pages as a caller that must not wait. Returns: what came, and how often the lock was taken. */
  function read(cached: number, buffer: string): { ret: number | string; locks: number } {
    const rig = rigOf(kernel);
    rig.make("f", { size: "dddd", cached: true });
    const { mapping } = rig.inode("f");
    const file = rig.task.files.get(rig.open("f")) as File;
    if (cached < 4) invalidateMappingPages(rig.task, mapping, cached, 3);
    const iter = iovIterInit(ITER_DEST, [{ base: rig.buffer(buffer), len: 4 * P }], 4 * P);
    let locks = 0;
    rig.trace.on("gfs2_promote", () => void locks++);
    const ret = rig.run(file.fOp.readIter(rig.task, { file, pos: 0, flags: IOCB_NOWAIT }, iter));
    return { ret: ret < 0 ? errnoName(ret) : ret, locks };
  }

  test("all cached: read without the lock", () => {
    expect(read(4, "rrrr")).toEqual({ ret: 4 * P, locks: 0 });
  });

  test("nothing cached: -EAGAIN, and the lock is not even asked for", () => {
    expect(read(0, "rrrr")).toEqual({ ret: errnoName(err(EAGAIN)), locks: 0 });
  });

  // Who has read a part does not look at the flag again before it waits for the lock.
  test("half cached: that half, but the lock is taken to find out", () => {
    expect(read(2, "rrrr")).toEqual({ ret: 2 * P, locks: 1 });
  });

  test("a buffered write that must not wait is invalid", () => {
    const rig = rigOf(kernel);
    rig.make("f", { size: "d", cached: true });
    const file = rig.task.files.get(rig.open("f")) as File;
    const iter = iovIterInit(ITER_SOURCE, [{ base: rig.buffer("r"), len: P }], P);
    expect(rig.run(file.fOp.writeIter(rig.task, { file, pos: 0, flags: IOCB_NOWAIT }, iter))).toBe(err(EINVAL));
    rig.check();
  });
});
