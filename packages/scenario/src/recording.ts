// Recordings of kernels: the file format, and what the recorded kernel could not show.

import * as v from "valibot";
import { describeIssue, FormatError, jsonLines, parseJson } from "./format.ts";
import type { RecordedEvent, Recording } from "./result.ts";

const text = v.string();
const number = v.number();
const OpResult = v.looseObject({
  ret: v.exactOptional(number),
  errno: v.exactOptional(text),
  sig: v.exactOptional(text),
  pages: v.exactOptional(text),
  sum: v.exactOptional(text),
  count: v.exactOptional(number),
  resident: v.exactOptional(number),
  size: v.exactOptional(number),
  blocks: v.exactOptional(number),
  minflt: v.exactOptional(number),
  majflt: v.exactOptional(number),
});
/** Checked by hand: there are far more events than anything else. */
const Events = v.custom<readonly RecordedEvent[]>(
  (events) => areEvents(events, isName),
  "events: lists that begin with a name",
);
const MergedEvents = v.custom<readonly RecordedEvent[]>(
  (events) => areEvents(events, isLane),
  "events: lists that begin with a thread and a name",
);
const OpTrace = v.looseObject({
  op: number,
  thread: v.exactOptional(number),
  post: v.exactOptional(v.boolean()),
  events: Events,
  elided: v.exactOptional(v.record(text, number)),
});
const FinalFile = v.looseObject({
  size: v.exactOptional(number),
  blocks: v.exactOptional(number),
  sum: v.exactOptional(text),
  coldsum: v.exactOptional(text),
  errno: v.exactOptional(text),
});
const RecordingLine = v.looseObject({
  id: v.pipe(text, v.minLength(1)),
  results: v.array(OpResult),
  threads: v.exactOptional(v.array(v.array(OpResult))),
  post: v.exactOptional(v.array(OpResult)),
  final: v.exactOptional(v.record(text, FinalFile)),
  trace: v.array(OpTrace),
  interleave: v.exactOptional(MergedEvents),
  oops: v.exactOptional(text),
  rip: v.exactOptional(text),
  hang: v.exactOptional(v.boolean()),
  killable: v.exactOptional(v.boolean()),
  died: v.exactOptional(number),
  panic: v.exactOptional(text),
  unfinished: v.exactOptional(v.boolean()),
});

/** What `meta.json` beside the recordings of a kernel says. */
export interface RecordingMeta {
  readonly release: string;
  readonly cpus: number;
  /** Kernel functions that could not be probed: their events are in no recording of this kernel. */
  readonly probes_missing: readonly string[];
}

const Meta = v.looseObject({
  release: text,
  cpus: v.optional(number, 1),
  probes_missing: v.array(text),
});

/** Events that one operation may have once its loops are written out. */
const MAX_EVENTS = 4_000_000;

/** Are these events, and do loops repeat what stands before them? */
const isName = (event: readonly unknown[]): boolean => typeof event[0] === "string";
const isLane = (event: readonly unknown[]): boolean =>
  event[0] === "..." || (typeof event[0] === "number" && typeof event[1] === "string");

function areEvents(events: unknown, isEvent: (event: readonly unknown[]) => boolean): boolean {
  if (!Array.isArray(events)) return false;
  let count = 0;
  for (const event of events) {
    if (!Array.isArray(event)) return false;
    if (event[0] === "repeat") {
      if (!isRepeat(event, count)) return false;
      count += event[1] * event[2];
    } else {
      if (!isEvent(event) || !event.every((field) => typeof field === "string" || typeof field === "number"))
        return false;
      count++;
    }
    if (count > MAX_EVENTS) return false;
  }
  return true;
}

/** `["repeat", length, times, [[event, field, step], ...]]`, with so many events before it. */
function isRepeat([, length, times, steps]: readonly unknown[], before: number): boolean {
  if (!isCount(length) || length < 1 || length > before || !isCount(times) || !Array.isArray(steps)) return false;
  return steps.every(
    (step) =>
      Array.isArray(step) && step.length === 3 && step.every(Number.isFinite) && isCount(step[0]) && step[0] < length,
  );
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Read one line of a file of recordings; `where` is what the errors call it. Throws FormatError. */
export function parseRecording(line: string, where: string): Recording {
  return checkRecording(parseJson(line, where), where);
}

function checkRecording(value: unknown, where: string): Recording {
  const result = v.safeParse(RecordingLine, value);
  if (result.success) return result.output;
  throw new FormatError(`${where}: not a recording: ${describeIssue(value, result.issues[0])}`);
}

/** Read a file of recordings. Throws FormatError at the first line that is not one. */
export function parseRecordings(source: string, name: string): Recording[] {
  const recordings: Recording[] = [];
  for (const { value, where } of jsonLines(source, name)) recordings.push(checkRecording(value, where));
  if (recordings.length === 0) throw new FormatError(`${name}: holds no recording; one JSON object a line is expected`);
  return recordings;
}

/** Read a `meta.json`. Throws FormatError when it is not one. */
export function parseMeta(source: string, name: string): RecordingMeta {
  const value = parseJson(source, name);
  const result = v.safeParse(Meta, value);
  if (result.success) return result.output;
  throw new FormatError(`${name}: ${describeIssue(value, result.issues[0])}`);
}

/** The functions that each kind of event was recorded from; kinds with one name in both are left out. */
const PROBED_AS: Readonly<Record<string, readonly string[]>> = {
  file_read: ["gfs2_file_read_iter"],
  file_write: ["gfs2_file_write_iter"],
  fault_in_readable: ["fault_in_readable"],
  fault_in_safe_w: ["fault_in_safe_writeable"],
  fixup_user_fault: ["fixup_user_fault"],
  iomap_write: ["iomap_file_buffered_write"],
  generic_read: ["generic_file_read_iter"],
  filemap_read: ["filemap_read", "generic_file_buffered_read"],
  dio: ["iomap_dio_rw"],
  dio_start: ["__iomap_dio_rw"],
  iomap_begin: ["gfs2_iomap_begin"],
  iomap_end: ["gfs2_iomap_end"],
  gfs2_fault: ["gfs2_fault"],
  gfs2_mkwrite: ["gfs2_page_mkwrite"],
  filemap_fault: ["filemap_fault"],
  map_pages: ["filemap_map_pages"],
  mm_fault: ["handle_mm_fault"],
  write_begin: ["iomap_write_begin"],
  write_end: ["iomap_write_end"],
  buffered_write: ["gfs2_file_buffered_write"],
  balance_dirty: ["balance_dirty_pages"],
  readahead: ["gfs2_readahead"],
  read_folio: ["gfs2_read_folio", "gfs2_readpage"],
  populate: ["faultin_vma_page_range", "faultin_page_range"],
  pipe_write: ["pipe_write", "anon_pipe_write"],
  pipe_read: ["pipe_read", "anon_pipe_read"],
};

/** The kinds of events that a kernel's recordings cannot hold: none of their functions could be probed. */
export function unseenKinds(meta: RecordingMeta): Set<string> {
  const missing = new Set(meta.probes_missing);
  return new Set(
    Object.entries(PROBED_AS)
      .filter(([, functions]) => functions.every((name) => missing.has(name)))
      .map(([kind]) => kind),
  );
}

/** Kernels whose recordings lack kinds of events, as their `meta.json` says. */
const UNSEEN: Readonly<Record<string, readonly string[]>> = {
  "5.10": ["fault_in_readable", "fault_in_safe_w", "buffered_write", "populate"],
};

/** The same for recordings that come without a `meta.json`: what the recorded build of that kernel cannot show. */
export function unseenOn(kernel: string): Set<string> {
  return new Set(UNSEEN[kernel]);
}
