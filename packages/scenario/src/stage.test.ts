// What a signal ends: threads that wait for each other, as they do in user space, but not those that wait for a lock.
import { REVISIONS } from "@faultline/fs";
import { expect, test } from "vitest";
import { parseScenario } from "./format.ts";
import { runScenario } from "./run.ts";

const hang = (threads: readonly unknown[], kernel: string): unknown => {
  const scenario = {
    id: "hang",
    files: [
      { name: "a", size: 65536, seed: 1 },
      { name: "b", size: 65536, seed: 2 },
    ],
    ops: [
      { op: "open", fd: "fa", file: "a", flags: ["O_RDWR"] },
      { op: "open", fd: "fb", file: "b", flags: ["O_RDWR"] },
      { op: "mmap", map: "ma", len: 65536, prot: "rw", flags: ["shared"], fd: "fa", off: 0 },
      { op: "mmap", map: "mb", len: 65536, prot: "rw", flags: ["shared"], fd: "fb", off: 0 },
      { op: "pipe", r: "r", w: "w" },
    ],
    threads,
  };
  const { recording } = runScenario(parseScenario(JSON.stringify(scenario), "here"), { kernel: REVISIONS[kernel] });
  return [recording.hang, recording.killable];
};

test("threads that wait at a barrier, or for what nobody writes, can be killed", () => {
  expect(hang([[{ op: "barrier" }], []], "6.12")).toEqual([true, true]);
  expect(hang([[{ op: "read", fd: "r", iov: [["ma", 0, 10]] }], []], "6.12")).toEqual([true, true]);
});

test("threads that wait for each other's locks cannot", () => {
  const read = (fd: string, map: string): unknown[] => [
    { op: "barrier" },
    { op: "pread", fd, pos: 0, iov: [[map, 0, 65536]] },
  ];
  expect(hang([read("fa", "mb"), read("fb", "ma")], "5.10")).toEqual([true, false]);
});
