// What a scenario can say: its files, its operations and the order of both, as types. `format.ts` checks that a
// line has this shape.

/** `[map, off, len]`: where a buffer lies; `map` is a map's name, "null", "kernel" or "noncanon". */
export type Buffer = [map: string, off: number, len: number];

export type OpenFlag =
  | "O_RDONLY"
  | "O_WRONLY"
  | "O_RDWR"
  | "O_DIRECT"
  | "O_APPEND"
  | "O_NONBLOCK"
  | "O_DSYNC"
  | "O_SYNC"
  | "O_CREAT"
  | "O_TRUNC";
export type MapFlag = "private" | "shared" | "anon" | "growsdown" | "populate" | "noreserve";
export type RwfFlag =
  | "RWF_HIPRI"
  | "RWF_DSYNC"
  | "RWF_SYNC"
  | "RWF_NOWAIT"
  | "RWF_APPEND"
  | "RWF_NOAPPEND"
  | "RWF_ATOMIC"
  | "RWF_DONTCACHE";
export type Prot = "none" | "r" | "w" | "rw" | "x" | "rx" | "wx" | "rwx";
export type Advice = "DONTNEED" | "WILLNEED" | "RANDOM" | "SEQUENTIAL" | "NORMAL" | "POPULATE_READ" | "POPULATE_WRITE";
export type FallocMode = "KEEP_SIZE" | "PUNCH_HOLE" | "COLLAPSE_RANGE" | "ZERO_RANGE";
export type Whence = "SET" | "CUR" | "END" | "HOLE" | "DATA";

/** What any operation may have beside its own fields. */
interface Common {
  /** Its events are not recorded. */
  quiet?: boolean | undefined;
  comment?: string | undefined;
}

interface Range {
  off: number;
  len: number;
}

/** One kind of operation for each of the names. */
type Named<Name extends string, Fields> = Name extends string ? { op: Name } & Fields & Common : never;

/** One operation of a scenario. */
export type Op =
  | Named<"open", { fd: string; file: string; flags: OpenFlag[] }>
  | Named<"close" | "fsync" | "dropcache" | "stat" | "fionread", { fd: string }>
  | Named<
      "mmap",
      { map: string; len: number; prot: Prot; flags: MapFlag[]; fd?: string | undefined; off?: number | undefined }
    >
  | Named<"munmap" | "evict" | "mincore" | "pagemap", { map: string } & Range>
  | Named<"mprotect", { map: string; prot: Prot } & Range>
  | Named<"madvise", { map: string; advice: Advice } & Range>
  | Named<"touch", { map: string; how: "read" | "write" } & Range>
  | Named<"fill", { map: string; seed: number } & Range>
  | Named<"pread" | "pwrite" | "preadv" | "pwritev", { fd: string; pos: number; iov: Buffer[] }>
  | Named<"read" | "write" | "readv" | "writev", { fd: string; iov: Buffer[] }>
  | Named<"preadv2" | "pwritev2", { fd: string; pos: number; iov: Buffer[]; flags: RwfFlag[] }>
  | Named<"ftruncate", { fd: string; len: number }>
  | Named<"fallocate", { fd: string; mode: FallocMode[] } & Range>
  | Named<"lseek", { fd: string; off: number; whence: Whence }>
  | Named<"sum", { map?: string | undefined; fd?: string | undefined } & Range>
  | Named<"pipe", { r: string; w: string; size?: number | undefined; flags?: "O_NONBLOCK"[] | undefined }>
  | Named<"fiemap", { fd: string; iov: Buffer[] } & Range>
  | Named<"copyrange", { fd: string; pos: number; to: string; topos: number; len: number }>
  | Named<"sleep", { ms: number }>
  | Named<"barrier", unknown>;

export type OpName = Op["op"];

export interface ScenarioFile {
  name: string;
  size: number;
  seed: number;
  holes: [off: number, len: number][];
  cached: boolean;
}

export interface Scenario {
  id: string;
  title: string;
  files: ScenarioFile[];
  ops: Op[];
  threads: Op[][];
  /** What runs when the threads have ended. */
  post: Op[];
  timeout_ms?: number | undefined;
  risk?: string | undefined;
  /** The outcome depends on the order of the threads. */
  racy: boolean;
  comment?: string | undefined;
}
