// Every event that a trace can hold: its name and, in order, its numeric arguments.
//
// Names are Linux's tracepoint names where one exists. A function that is traced the way a kprobe and
// kretprobe pair traces it appears under its own name on entry and with `_ret` on return. What Linux
// has no name for starts with `lab_`. Arguments are flat numbers, so that an event costs no allocation
// before it is read and is JSON-safe afterwards; fields.ts prints them by field name.
//
// Emit after the change and before the next yield. The model never reads its own trace.

/** Version of the event format; it changes when an event changes its name, fields or meaning. */
export const TRACE_FORMAT = 1;

export const TRACE_EVENTS = {
  // kernel: tasks and choices
  sched_switch: ["next"],
  sched_process_exit: [],
  lab_choice: ["choice", "picked", "of"],
  lock_acquire: ["lock", "lockMode"],
  lock_release: ["lock"],
  lock_contended: ["lock", "lockMode"],
  signal_deliver: ["sig", "address"],

  // mm: faults
  page_fault_user: ["address", "errorCode"],
  page_fault_kernel: ["address", "errorCode"],
  handle_mm_fault: ["address", "faultFlags"],
  handle_mm_fault_ret: ["vmFault"],
  fixup_user_fault: ["address", "faultFlags"],
  fixup_user_fault_ret: ["ret"],
  fault_in_readable: ["address", "size"],
  fault_in_readable_ret: ["left"],
  fault_in_writeable: ["address", "size"],
  fault_in_writeable_ret: ["left"],
  fault_in_safe_writeable: ["address", "size"],
  fault_in_safe_writeable_ret: ["left"],
  fault_in_user_pages: ["address", "size", "write"],
  fault_in_user_pages_ret: ["bytes"],
  faultin_page_range: ["address"],
  faultin_page_range_ret: ["ret"],
  lab_short_copy: ["address", "size", "left"],
  mm_vmscan_reclaim: ["pfn", "ino", "pgoff"],

  // fs: page cache
  mm_filemap_add_to_page_cache: ["ino", "pgoff", "pfn"],
  mm_filemap_delete_from_page_cache: ["ino", "pgoff", "pfn"],
  filemap_fault: ["ino", "pgoff"],
  filemap_fault_ret: ["vmFault"],
  filemap_map_pages: ["ino", "start", "end"],
  filemap_read: ["ino"],
  filemap_read_ret: ["ret"],
  generic_file_read_iter: ["ino"],
  generic_file_read_iter_ret: ["ret"],
  balance_dirty_pages: ["dirtied"],

  // fs: iomap
  iomap_file_buffered_write: ["ino"],
  iomap_file_buffered_write_ret: ["ret"],
  iomap_write_begin_ret: ["ret"],
  iomap_write_end_ret: ["ret"],
  iomap_dio_rw: ["ino", "dioFlags", "doneBefore"],
  iomap_dio_rw_ret: ["ret"],
  __iomap_dio_rw: ["ino", "dioFlags", "doneBefore"],
  __iomap_dio_rw_ret: ["ret"],

  // fs: gfs2
  gfs2_glock_queue: ["ino", "queue", "glockState"],
  gfs2_promote: ["ino", "glockState"],
  gfs2_demote_rq: ["ino", "glockState", "remote"],
  gfs2_glock_state_change: ["ino", "glockState", "target"],
  gfs2_file_read_iter: ["ino"],
  gfs2_file_read_iter_ret: ["ret"],
  gfs2_file_write_iter: ["ino"],
  gfs2_file_write_iter_ret: ["ret"],
  gfs2_file_buffered_write: ["ino"],
  gfs2_file_buffered_write_ret: ["ret"],
  gfs2_iomap_begin: ["ino", "pos", "length", "iomapFlags"],
  gfs2_iomap_begin_ret: ["ret"],
  gfs2_iomap_end: ["ino", "pos", "length", "written"],
  gfs2_iomap_end_ret: ["ret"],
  lab_extent: ["ino", "block", "blocks", "wanted"],
  gfs2_fault: ["ino", "pgoff"],
  gfs2_fault_ret: ["vmFault"],
  gfs2_page_mkwrite: ["ino", "pgoff"],
  gfs2_page_mkwrite_ret: ["vmFault"],
  gfs2_readahead: ["ino"],
  gfs2_read_folio: ["ino"],
  gfs2_read_folio_ret: ["ret"],
  gfs2_update_time: ["ino"],
  gfs2_update_time_ret: ["ret"],

  // fs: locks between nodes
  dlm_lock_start: ["lock", "node", "dlmMode"],
  dlm_ast: ["lock", "node", "dlmMode", "ret"],
  dlm_bast: ["lock", "node", "dlmMode"],

  // fs: pipes and disk
  pipe_read: [],
  pipe_read_ret: ["ret"],
  pipe_write: [],
  pipe_write_ret: ["ret"],
  block_rq_issue: ["ino", "pos", "length", "write"],
  block_rq_complete: ["ino", "pos", "length", "ret"],
} as const;

export type TraceEventName = keyof typeof TRACE_EVENTS;
export type TraceField = (typeof TRACE_EVENTS)[TraceEventName][number];

/** The positional arguments of one event, for `Tracer.emit`. */
export type TraceArgs<K extends TraceEventName> = NumberFor<(typeof TRACE_EVENTS)[K]>;

type NumberFor<Fields extends readonly string[]> = { -readonly [I in keyof Fields]: number };

/** One event as readers see it; a discriminated union over `name`. */
export type TraceEvent = {
  [K in TraceEventName]: {
    /** Position in the whole trace, from 0; gaps mean that the ring overwrote events. */
    readonly seq: number;
    /** Pid of the task that did it. */
    readonly task: number;
    readonly name: K;
    readonly args: { readonly [F in (typeof TRACE_EVENTS)[K][number]]: number };
  };
}[TraceEventName];
