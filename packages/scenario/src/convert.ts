// From the model's trace to the events of a recording: the same names, fields and omissions.

import { bitNames, GLOCK_STATE_NAMES, type TraceEvent, VM_FAULT_NAMES } from "@faultline/kernel";
import type { RecordedEvent } from "./result.ts";

/** What names the addresses and inodes of a run. */
export interface Places {
  /** The map that an address belongs to, and its offset there; null for the runner's own memory. */
  mapOf(address: number): readonly [map: string, offset: number] | null;
  fileOf(ino: number): string | undefined;
}

type Field = string | number;
type Write = (args: Record<string, number>, places: Places) => Field[] | null;

/** An event that is recorded under another name, with these fields. */
interface Rule {
  readonly name: string;
  readonly fields: Write;
}

const nothing: Write = () => [];
const ret: Write = ({ ret }) => ["ret", ret];
const vmFault: Write = ({ vmFault }) => ["ret", bitNames(vmFault, VM_FAULT_NAMES)];
const pgoff: Write = ({ pgoff }) => [pgoff];
const UNKNOWN = ["?", 0] as const;

const place = (address: number, places: Places): readonly Field[] => places.mapOf(address) ?? UNKNOWN;
const range: Write = ({ address, size }, places) => [...place(address, places), size];
const left: Write = ({ left }) => ["ret", left];

/** A page fault exception of memory that no map of the scenario names is not recorded. */
const exception: Write = ({ address, errorCode }, places) => {
  const at = places.mapOf(address);
  return at === null ? null : [...at, ((errorCode & 2) !== 0 ? "w" : "r") + ((errorCode & 1) !== 0 ? "p" : "")];
};

/** 5.10's direct I/O has a flag to wait where later kernels have flags and what was done before. */
const dio: Write = ({ dioFlags, doneBefore }) =>
  dioFlags === 1 ? ["wait", 1] : ["dio_flags", dioFlags, "done_before", doneBefore];

const RULES: Partial<Record<TraceEvent["name"], Rule>> = {
  page_fault_user: { name: "pf_user", fields: exception },
  page_fault_kernel: { name: "pf_kernel", fields: exception },
  handle_mm_fault: {
    name: "mm_fault",
    fields: ({ address, faultFlags }, places) => [...place(address, places), (faultFlags & 1) !== 0 ? "w" : "r"],
  },
  handle_mm_fault_ret: { name: "mm_fault", fields: vmFault },
  fixup_user_fault: {
    name: "fixup_user_fault",
    fields: ({ address, faultFlags }, places) => [...place(address, places), "flags", faultFlags],
  },
  fixup_user_fault_ret: { name: "fixup_user_fault", fields: ret },
  fault_in_readable: { name: "fault_in_readable", fields: range },
  fault_in_readable_ret: { name: "fault_in_readable", fields: left },
  fault_in_safe_writeable: { name: "fault_in_safe_w", fields: range },
  fault_in_safe_writeable_ret: { name: "fault_in_safe_w", fields: left },
  faultin_page_range: { name: "populate", fields: ({ address }, places) => [...place(address, places)] },
  faultin_page_range_ret: { name: "populate", fields: ret },
  filemap_fault: { name: "filemap_fault", fields: pgoff },
  filemap_fault_ret: { name: "filemap_fault", fields: vmFault },
  filemap_map_pages: { name: "map_pages", fields: ({ start, end }) => [start, end] },
  filemap_read: { name: "filemap_read", fields: nothing },
  filemap_read_ret: { name: "filemap_read", fields: ret },
  generic_file_read_iter: { name: "generic_read", fields: nothing },
  generic_file_read_iter_ret: { name: "generic_read", fields: ret },
  balance_dirty_pages: { name: "balance_dirty", fields: ({ dirtied }) => [dirtied] },
  iomap_file_buffered_write: { name: "iomap_write", fields: nothing },
  iomap_file_buffered_write_ret: { name: "iomap_write", fields: ret },
  iomap_write_begin_ret: { name: "write_begin", fields: ret },
  iomap_write_end_ret: { name: "write_end", fields: ret },
  iomap_dio_rw: { name: "dio", fields: dio },
  iomap_dio_rw_ret: { name: "dio", fields: ret },
  __iomap_dio_rw: { name: "dio_start", fields: dio },
  __iomap_dio_rw_ret: { name: "dio_start", fields: ({ ret }) => ["ret", ret > 0 ? "dio" : ret] },
  gfs2_glock_queue: { name: "glock", fields: ({ glockState }) => [GLOCK_STATE_NAMES[glockState]] },
  gfs2_promote: { name: "glock_grant", fields: ({ glockState }) => [GLOCK_STATE_NAMES[glockState]] },
  gfs2_file_read_iter: { name: "file_read", fields: nothing },
  gfs2_file_read_iter_ret: { name: "file_read", fields: ret },
  gfs2_file_write_iter: { name: "file_write", fields: nothing },
  gfs2_file_write_iter_ret: { name: "file_write", fields: ret },
  gfs2_file_buffered_write: { name: "buffered_write", fields: nothing },
  gfs2_file_buffered_write_ret: { name: "buffered_write", fields: ret },
  gfs2_iomap_begin: {
    name: "iomap_begin",
    fields: ({ pos, length, iomapFlags }) => ["pos", pos, "len", length, "flags", iomapFlags],
  },
  gfs2_iomap_begin_ret: { name: "iomap_begin", fields: ret },
  gfs2_iomap_end: {
    name: "iomap_end",
    fields: ({ pos, length, written }) => ["pos", pos, "len", length, "written", written],
  },
  gfs2_iomap_end_ret: { name: "iomap_end", fields: ret },
  gfs2_fault: { name: "gfs2_fault", fields: pgoff },
  gfs2_fault_ret: { name: "gfs2_fault", fields: vmFault },
  gfs2_page_mkwrite: { name: "gfs2_mkwrite", fields: pgoff },
  gfs2_page_mkwrite_ret: { name: "gfs2_mkwrite", fields: vmFault },
  gfs2_readahead: { name: "readahead", fields: nothing },
  gfs2_read_folio: { name: "read_folio", fields: nothing },
  gfs2_read_folio_ret: { name: "read_folio", fields: ret },
  pipe_read: { name: "pipe_read", fields: nothing },
  pipe_read_ret: { name: "pipe_read", fields: ret },
  pipe_write: { name: "pipe_write", fields: nothing },
  pipe_write_ret: { name: "pipe_write", fields: ret },
};

/**
 * The events of one operation of one task, in the form of a recording: calls and returns apart.
 *
 * Left out as the recorder leaves them out: faults on the runner's own memory, updates of time stamps with
 * what they lock, and a grant right behind its own request.
 */
export function convertEvents(events: Iterable<TraceEvent>, places: Places): RecordedEvent[] {
  const converter = new EventConverter(places);
  const converted: RecordedEvent[] = [];
  for (const event of events) {
    const one = converter.next(event);
    if (one !== null) converted.push(one);
  }
  return converted;
}

/** convertEvents, event by event. */
export class EventConverter {
  readonly #places: Places;
  #updatingTime = false;
  #hiddenFaults = 0;
  #last: RecordedEvent | undefined;

  constructor(places: Places) {
    this.#places = places;
  }

  /** Returns: the event as it is recorded; null when it is left out. */
  next(event: TraceEvent): RecordedEvent | null {
    if (event.name === "gfs2_update_time" || event.name === "gfs2_update_time_ret") {
      this.#updatingTime = event.name === "gfs2_update_time";
      return this.#updatingTime ? this.#keep(["update_time"]) : null;
    }
    if (this.#updatingTime) return null;
    if (event.name === "handle_mm_fault" && this.#places.mapOf(event.args.address) === null) {
      this.#hiddenFaults++;
      return null;
    }
    if (event.name === "handle_mm_fault_ret" && this.#hiddenFaults > 0) {
      this.#hiddenFaults--;
      return null;
    }
    const one = convertEvent(event, this.#places);
    return one === null || isOwnGrant(one, this.#last) ? null : this.#keep(one);
  }

  #keep(event: RecordedEvent): RecordedEvent {
    this.#last = event;
    return event;
  }
}

/** One event as it is recorded; null when it is of no recorded kind, or of a file or memory without a name. */
export function convertEvent(event: TraceEvent, places: Places): RecordedEvent | null {
  const rule = RULES[event.name];
  if (rule === undefined) return null;
  const args: Record<string, number> = event.args;
  const fields = rule.fields(args, places);
  if (fields === null) return null;
  if (event.name === "gfs2_glock_queue" || event.name === "gfs2_promote") {
    const file = places.fileOf(event.args.ino);
    if (file === undefined) return null;
    const name = event.name === "gfs2_promote" ? rule.name : event.args.queue === 1 ? "glock_nq" : "glock_dq";
    return [name, file, ...fields];
  }
  return [rule.name, ...fields];
}

/** A request that is granted at once shows as the request alone. */
function isOwnGrant(event: RecordedEvent, before: RecordedEvent | undefined): boolean {
  if (event[0] !== "glock_grant" || before?.[0] !== "glock_nq") return false;
  return event[1] === before[1] && event[2] === before[2];
}
