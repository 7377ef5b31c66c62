// Operations and what they gave, as strace shows system calls: `pwrite(f, m+8192, 8192, 0) = 8192`.

import type { FinalFile, Op, OpName, OpResult, Recording, Scenario } from "@faultline/scenario";

type Args = { readonly [Name in OpName]: (op: Extract<Op, { op: Name }>) => readonly unknown[] };

const place = ({ map, off }: { readonly map: string; readonly off: number }): string => buffer(map, off);
const area = (op: { readonly map: string; readonly off: number; readonly len: number }): unknown[] => [
  place(op),
  op.len,
];
const single = ([[map, off, len]]: readonly [string, number, number][]): unknown[] => [buffer(map, off), len];
const vector = (iov: readonly [string, number, number][]): string =>
  `[${iov.map(([map, off, len]) => `${buffer(map, off)} ${len}`).join(", ")}]`;
const words = (list: readonly string[] | undefined): string => (list ?? []).join("|") || "0";
const onFd = ({ fd }: { readonly fd: string }): unknown[] => [fd];

/** "m+8192", "null", "kernel-4096". */
function buffer(map: string, off: number): string {
  return off === 0 ? map : `${map}${off < 0 ? "" : "+"}${off}`;
}

const ARGS: Args = {
  open: ({ file, flags }) => [`"${file}"`, words(flags)],
  close: onFd,
  mmap: ({ len, prot, flags, fd, off }) => [len, prot, words(flags), ...(fd === undefined ? [] : [fd, off ?? 0])],
  munmap: area,
  mprotect: (op) => [...area(op), op.prot],
  madvise: (op) => [...area(op), op.advice],
  touch: (op) => [...area(op), op.how],
  fill: (op) => [...area(op), `seed ${op.seed}`],
  pread: ({ fd, iov, pos }) => [fd, ...single(iov), pos],
  pwrite: ({ fd, iov, pos }) => [fd, ...single(iov), pos],
  read: ({ fd, iov }) => [fd, ...single(iov)],
  write: ({ fd, iov }) => [fd, ...single(iov)],
  readv: ({ fd, iov }) => [fd, vector(iov)],
  writev: ({ fd, iov }) => [fd, vector(iov)],
  preadv: ({ fd, iov, pos }) => [fd, vector(iov), pos],
  pwritev: ({ fd, iov, pos }) => [fd, vector(iov), pos],
  preadv2: ({ fd, iov, pos, flags }) => [fd, vector(iov), pos, words(flags)],
  pwritev2: ({ fd, iov, pos, flags }) => [fd, vector(iov), pos, words(flags)],
  ftruncate: ({ fd, len }) => [fd, len],
  fallocate: ({ fd, mode, off, len }) => [fd, words(mode), off, len],
  fsync: onFd,
  lseek: ({ fd, off, whence }) => [fd, off, whence],
  dropcache: onFd,
  evict: area,
  mincore: area,
  pagemap: area,
  sum: ({ map, fd, off, len }) => (map === undefined ? [fd, off, len] : [buffer(map, off), len]),
  stat: onFd,
  pipe: ({ size, flags }) => [...(size === undefined ? [] : [size]), ...(flags === undefined ? [] : [words(flags)])],
  fionread: onFd,
  fiemap: ({ fd, iov, off, len }) => [fd, ...single(iov), off, len],
  copyrange: ({ fd, pos, to, topos, len }) => [fd, pos, to, topos, len],
  sleep: ({ ms }) => [`${ms} ms`],
  barrier: () => [],
};

/** `pwrite(f, m+8192, 8192, 0)`; what a call names comes first: `f = open("a", O_RDWR)`. */
export function opText(op: Op): string {
  const text = `${op.op}(${(ARGS[op.op] as (op: Op) => readonly unknown[])(op).join(", ")})`;
  if (op.op === "open") return `${op.fd} = ${text}`;
  if (op.op === "mmap") return `${op.map} = ${text}`;
  return op.op === "pipe" ? `${op.r}, ${op.w} = ${text}` : text;
}

/** "8192", "-1 EFAULT", "3 SIGBUS ..B". */
export function resultText(result: OpResult): string {
  const { ret, errno, sig, pages, sum, count, resident, size, blocks } = result;
  const parts: (string | number | undefined)[] = [
    ret,
    errno,
    sig,
    count === undefined ? undefined : pages === undefined ? `${count} extents` : `${count} present:`,
    pages,
    sum === undefined ? undefined : `sum ${sum}`,
    resident === undefined ? undefined : `${resident} still resident`,
    size === undefined ? undefined : `size ${size}, ${blocks} blocks`,
  ];
  return parts.filter((part) => part !== undefined).join(" ");
}

/** "1 major, 2 minor"; "" without page faults. */
function faultsText({ minflt = 0, majflt = 0 }: OpResult): string {
  return [majflt > 0 ? `${majflt} major` : "", minflt > 0 ? `${minflt} minor` : ""].filter(Boolean).join(", ");
}

export function finalText({ size, blocks, sum, coldsum, errno }: FinalFile): string {
  if (errno !== undefined) return `-1 ${errno}`;
  return `size ${size}, ${blocks} blocks, sum ${sum}${coldsum === undefined ? "" : `, but ${coldsum} on disk`}`;
}

/** One call of a scenario and how it ended. */
export interface Call {
  /** Which part of the scenario makes it: "" for the operations at the beginning. */
  readonly part: string;
  readonly text: string;
  /** "= 8192"; "never returns" for a call that was made in vain, "is never made" for those behind it. */
  readonly outcome: string;
  /** "1 major, 2 minor"; "" without page faults, and where it does not return. */
  readonly faults: string;
}

/** Every call of a scenario, in the order of the file. */
export function callsOf(scenario: Scenario, { results, threads = [], post = [] }: Recording): Call[] {
  return [
    ...callsOfPart("", scenario.ops, results),
    ...scenario.threads.flatMap((ops, i) => callsOfPart(`thread ${i}`, ops, threads[i] ?? [])),
    ...callsOfPart("afterwards", scenario.post, post),
  ];
}

function callsOfPart(part: string, ops: readonly Op[], results: readonly OpResult[]): Call[] {
  return ops.map((op, index) => {
    const result = results[index];
    if (result !== undefined) {
      return { part, text: opText(op), outcome: `= ${resultText(result)}`, faults: faultsText(result) };
    }
    const outcome = index === results.length ? "never returns" : "is never made";
    return { part, text: opText(op), outcome, faults: "" };
  });
}
