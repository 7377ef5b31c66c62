// The tracer and its writers: what is kept, how it reads, and that Perfetto's JSON parses.
import { expect, test } from "vitest";
import { EFAULT, TRACE_EVENTS, Tracer, tracePerfetto, traceText } from "../index.ts";

const task = { pid: 3 };

test("a ring keeps the newest events and counts the lost ones", () => {
  const tracer = new Tracer(4);
  for (let i = 0; i < 10; i++) tracer.emit(task, "filemap_read", i);
  expect([tracer.count, tracer.lost]).toEqual([10, 6]);
  expect([...tracer.events()].map(({ seq, args }) => [seq, args])).toEqual([6, 7, 8, 9].map((i) => [i, { ino: i }]));
});

test("a ring grows without losing anything up to its capacity", () => {
  const tracer = new Tracer(5000);
  for (let i = 0; i < 5000; i++) tracer.emit(task, "gfs2_fault", 1, i);
  expect(tracer.lost).toBe(0);
  expect([...tracer.events(4998)].map(({ args }) => args)).toEqual([4998, 4999].map((pgoff) => ({ ino: 1, pgoff })));
});

test("numbers print under the kernel's names", () => {
  const tracer = new Tracer();
  tracer.emit(task, "gfs2_glock_queue", 7, 1, 1);
  tracer.emit(task, "page_fault_kernel", 0x200000001000, 3);
  tracer.emit(task, "filemap_fault_ret", 0x404);
  tracer.emit(task, "gfs2_file_write_iter_ret", -EFAULT);
  const names = { ino: new Map([[7, "a"]]), task: new Map([[3, "writer"]]) };
  expect([...traceText(tracer.events(), names)]).toEqual([
    "    0 writer       gfs2_glock_queue           ino=a queue=queue glockState=EX\n",
    "    1 writer       page_fault_kernel          address=0x200000001000 errorCode=wp\n",
    "    2 writer       filemap_fault_ret          vmFault=MAJOR|RETRY\n",
    "    3 writer       gfs2_file_write_iter_ret   ret=-EFAULT\n",
  ]);
});

test("Perfetto: functions are slices that close, everything else is an instant", () => {
  const tracer = new Tracer();
  tracer.emit(task, "gfs2_file_write_iter", 7);
  tracer.emit(task, "gfs2_promote", 7, 1);
  tracer.emit(task, "gfs2_file_write_iter_ret", 4096);
  const events = JSON.parse([...tracePerfetto(tracer.events())].join(""));
  expect(events.map(({ ph, name }: { ph: string; name: string }) => [ph, name])).toEqual([
    ["M", "thread_name"],
    ["B", "gfs2_file_write_iter"],
    ["i", "gfs2_promote"],
    ["E", "gfs2_file_write_iter"],
  ]);
  expect(JSON.parse([...tracePerfetto([])].join(""))).toEqual([]);
});

test("Perfetto: tasks have tracks and names of their own; a return without its call is an instant", () => {
  const tracer = new Tracer();
  const other = { pid: 4 };
  tracer.emit(task, "gfs2_file_write_iter_ret", -EFAULT);
  tracer.emit(task, "gfs2_file_write_iter", 7);
  tracer.emit(other, "gfs2_file_write_iter", 7);
  tracer.emit(task, "gfs2_file_write_iter_ret", 4096);
  const text = [...tracePerfetto(tracer.events(), { task: new Map([[3, "writer"]]) })].join("");
  const events = JSON.parse(text) as { ph: string; tid: number; ts: number; name: string; args: object }[];
  expect(events.filter(({ ph }) => ph === "M").map(({ tid, args }) => [tid, args])).toEqual([
    [3, { name: "writer" }],
    [4, { name: "task 4" }],
  ]);
  expect(events.filter(({ ph }) => ph !== "M").map(({ ph, tid, ts, name }) => [ph, tid, ts, name])).toEqual([
    ["i", 3, 0, "gfs2_file_write_iter_ret"],
    ["B", 3, 1, "gfs2_file_write_iter"],
    ["B", 4, 2, "gfs2_file_write_iter"],
    ["E", 3, 3, "gfs2_file_write_iter"],
  ]);
  expect(events.find(({ ts }) => ts === 0)?.args).toEqual({ ret: "-EFAULT" });
});

test("every `_ret` event belongs to an event of its own or to a function that only traces its return", () => {
  const alone = Object.keys(TRACE_EVENTS)
    .filter((name) => name.endsWith("_ret") && !(name.slice(0, -4) in TRACE_EVENTS))
    .sort();
  expect(alone).toEqual(["iomap_write_begin_ret", "iomap_write_end_ret"]);
});
