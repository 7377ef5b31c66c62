// Returns that a recorder lost: they are noticed, nothing is compared that was not recorded, and all else still is.
import { REVISIONS } from "@faultline/fs";
import { expect, test } from "vitest";
import { compareRecordings } from "./compare.ts";
import { parseScenario } from "./format.ts";
import { lostReturns } from "./lost-returns.ts";
import type { RecordedEvent, Recording } from "./result.ts";
import { runScenario } from "./run.ts";

const scenario = parseScenario(
  JSON.stringify({
    id: "read",
    files: [
      { name: "a", size: 65536, seed: 1 },
      { name: "b", size: 65536, seed: 2 },
    ],
    ops: [
      { op: "open", fd: "fa", file: "a", flags: ["O_RDWR"] },
      { op: "open", fd: "fb", file: "b", flags: ["O_RDWR"] },
      { op: "mmap", map: "m", len: 65536, prot: "rw", flags: ["shared"], fd: "fb", off: 0 },
      { op: "pread", fd: "fa", pos: 0, iov: [["m", 0, 8192]] },
    ],
  }),
  "here",
);
const whole = runScenario(scenario, { kernel: REVISIONS["5.10"], traced: true }).recording;

/** The recording with other events of its last operation. */
function withEvents(change: (events: readonly RecordedEvent[]) => readonly RecordedEvent[]): Recording {
  return { ...whole, trace: whole.trace.map((one) => (one.op === 3 ? { ...one, events: change(one.events) } : one)) };
}

const without = (...kinds: readonly string[]): Recording =>
  withEvents((events) => events.filter(([name, ret]) => !(kinds.includes(String(name)) && ret === "ret")));
const differences = (recording: Recording): string[] =>
  compareRecordings(scenario, recording, whole).map((d) => d.what);

test("nothing is lost of a whole recording", () => {
  expect([...lostReturns(whole)]).toEqual([]);
});

test("calls without returns were not watched", () => {
  expect([...lostReturns(without("mm_fault", "gfs2_fault"))].sort()).toEqual(["gfs2_fault ret", "mm_fault ret"]);
  expect([...lostReturns(without("filemap_read"))]).toEqual(["filemap_read"]);
  expect(differences(without("mm_fault", "gfs2_fault"))).toEqual([]);
  expect(differences(without("filemap_read"))).toEqual([]);
});

test("one return that is missing makes all of its kind unknown", () => {
  let seen = 0;
  const recording = withEvents((events) =>
    events.filter(([name, ret]) => name !== "mm_fault" || ret !== "ret" || seen++ > 0),
  );
  expect([...lostReturns(recording)]).toEqual(["mm_fault ret"]);
  expect(differences(recording)).toEqual([]);
});

test("an operation that hangs has not returned: nothing of that is lost", () => {
  const hung = withEvents((events) => events.slice(0, events.findIndex(([name]) => name === "filemap_fault") + 1));
  expect([...lostReturns({ ...hung, results: whole.results.slice(0, 3), hang: true })]).toEqual([]);
});

test("what the recorder saw of such a kind has to be there", () => {
  const other = withEvents((events) =>
    events
      .filter(([name, ret]) => name !== "mm_fault" || ret !== "ret")
      .map((event) => (event[0] === "mm_fault" ? [...event.slice(0, 3), "r"] : event)),
  );
  expect(differences(other)).toEqual(["events"]);
});

test("while a mapping is looked up nothing else is called", () => {
  const events: RecordedEvent[] = [
    ["iomap_begin", "pos", 0, "len", 4096, "flags", 17],
    ["mm_fault", "m", 0, "r"],
  ];
  const hung: Recording = { id: "hung", results: [], trace: [{ op: 0, events }], hang: true };
  expect([...lostReturns(hung)]).toEqual(["iomap_begin ret"]);
});
