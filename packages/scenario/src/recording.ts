// Recordings of kernels: the file format, and what the recorded kernel could not show.

import * as v from "valibot";
import { FormatError, jsonLines } from "./format.ts";
import type { Recording } from "./result.ts";

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
const Event = v.array(v.union([text, number, v.array(v.array(number))]));
const OpTrace = v.looseObject({
  op: number,
  thread: v.exactOptional(number),
  post: v.exactOptional(v.boolean()),
  events: v.array(Event),
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
  oops: v.exactOptional(text),
  rip: v.exactOptional(text),
  hang: v.exactOptional(v.boolean()),
  killable: v.exactOptional(v.boolean()),
  died: v.exactOptional(number),
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

/** Read a file of recordings. Throws FormatError at the first line that is not one. */
export function parseRecordings(source: string, name: string): Recording[] {
  const recordings: Recording[] = [];
  for (const { value, where } of jsonLines(source, name)) {
    const result = v.safeParse(RecordingLine, value);
    if (!result.success) {
      const [issue] = result.issues;
      throw new FormatError(`${where}: not a recording: ${v.getDotPath(issue) ?? "the line"}: ${issue.message}`);
    }
    recordings.push(result.output);
  }
  if (recordings.length === 0) throw new FormatError(`${name}: holds no recording; one JSON object a line is expected`);
  return recordings;
}

/** Read a `meta.json`. Throws FormatError when it is not one. */
export function parseMeta(source: string, name: string): RecordingMeta {
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch (error) {
    throw new FormatError(`${name}: not JSON: ${(error as Error).message}`);
  }
  const result = v.safeParse(Meta, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new FormatError(`${name}: ${v.getDotPath(issue) ?? "the file"}: ${issue.message}`);
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
