// The rows of the table of observable consequences: what one read or write does at every revision, as one line
// "16p io=2 rounds=1": bytes returned (whole pages as "16p"), tries under the glock, windows that gfs2 faulted in.
//
// Rounds are counted from the trace, and the helper with which v4 faults in the source of a write leaves none.

import { type MayFault, PAGE_SIZE } from "@faultline/kernel";
import { expect, test } from "vitest";
import { type Gfs2Revision, O_RDWR, REVISIONS, sysPread64, sysPwrite64 } from "../index.ts";
import { type Outcome, Rig, type RigOptions } from "./rig.ts";

type Column = "5.10" | "v4" | "5.16" | "5.18" | "6.1";

/** Revisions of one column, oldest first: today's three recorded kernels agree in every row. */
const COLUMNS: Readonly<Record<Column, readonly string[]>> = {
  "5.10": ["5.10"],
  v4: ["v4"],
  "5.16": ["5.16"],
  "5.18": ["5.18"],
  "6.1": ["6.1", "6.12", "7.2"],
};

export type Want = Readonly<Record<Column, string>>;

export interface Row {
  /** Number in the table. */
  readonly row: string;
  readonly desc: string;
  readonly act: (rig: Rig) => Outcome;
  readonly want: Want;
  readonly options?: RigOptions;
  /** What is to be seen afterwards, when the call returned. */
  readonly after?: (rig: Rig, revision: string) => void;
}

export function testRows(rows: readonly Row[]): void {
  for (const { row, desc, act, want, options, after } of rows) {
    for (const [column, revisions] of Object.entries(COLUMNS)) {
      test.each(revisions)(`row ${row}: ${desc} (%s)`, (revision) => {
        const rig = new Rig(REVISIONS[revision] as Gfs2Revision, options);
        const outcome = act(rig);
        expect(line(outcome)).toBe(want[column as Column]);
        if (typeof outcome.ret === "string" && !outcome.ret.startsWith("E")) return;
        rig.check();
        after?.(rig, revision);
      });
    }
  }
}

function line({ ret, io, rounds }: Outcome): string {
  const pages = typeof ret === "number" && ret > 0 && ret % PAGE_SIZE === 0;
  return `${pages ? `${ret / PAGE_SIZE}p` : ret} io=${io} rounds=${rounds}`;
}

export interface IoOptions {
  /** Bytes, or pages as in Rig.make. */
  readonly file: number | string;
  readonly cached?: boolean;
  readonly flags?: number;
  readonly pos?: number;
  /** Where in the buffer; and how much, to its end by default. */
  readonly offset?: number;
  readonly length?: number;
}

type Call = (rig: Rig, fd: number, address: number, length: number, pos: number) => MayFault<number>;

/** Read into a buffer of this layout. */
export const read = (layout: string, options: IoOptions): Row["act"] =>
  io(layout, options, ({ task }, fd, address, length, pos) => sysPread64(task, fd, address, length, pos));

/** Write from a buffer of this layout. */
export const write = (layout: string, options: IoOptions): Row["act"] =>
  io(layout, options, ({ task }, fd, address, length, pos) => sysPwrite64(task, fd, address, length, pos));

function io(layout: string, { file, cached = false, flags = 0, pos = 0, offset = 0, length }: IoOptions, call: Call) {
  return (rig: Rig): Outcome => {
    rig.make("f", { size: file, cached });
    const fd = rig.open("f", O_RDWR | flags);
    const address = rig.buffer(layout) + offset;
    return rig.measure(call(rig, fd, address, length ?? layout.length * PAGE_SIZE - offset, pos));
  };
}
