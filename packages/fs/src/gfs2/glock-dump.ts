// A glock as the kernel prints it (Documentation/filesystems/gfs2-glocks.rst): G: the lock, H: its holders,
// I: its inode.

import type { Gfs2Holder, Glock } from "./glock.ts";
import {
  GLF_DEMOTE,
  GLF_DEMOTE_IN_PROGRESS,
  GLF_DIRTY,
  GLF_INSTANTIATE_NEEDED,
  GLF_INVALIDATE_IN_PROGRESS,
  GLF_LOCK,
  GLF_PENDING_DEMOTE,
} from "./glock.ts";
import { HIF_HOLDER, HIF_MAY_DEMOTE, HIF_WAIT } from "./holder-queue.ts";

const STATES = ["UN", "EX", "DF", "SH"];
const GLOCK_FLAGS: readonly [number, string][] = [
  [GLF_LOCK, "l"],
  [GLF_DEMOTE, "D"],
  [GLF_PENDING_DEMOTE, "d"],
  [GLF_DEMOTE_IN_PROGRESS, "p"],
  [GLF_DIRTY, "y"],
  [GLF_INVALIDATE_IN_PROGRESS, "i"],
  [GLF_INSTANTIATE_NEEDED, "n"],
];
const HOLDER_FLAGS: readonly [number, string][] = [
  [HIF_HOLDER, "H"],
  [HIF_WAIT, "W"],
  [HIF_MAY_DEMOTE, "m"],
];

/** Lines as `gfs2_dump_glock` prints them. */
export function dumpGlock(glock: Glock): string[] {
  const type = glock.ops.type === "inode" ? 2 : glock.ops.type === "flock" ? 6 : 4;
  const line = [
    "G: ",
    `s:${STATES[glock.state]}`,
    `n:${type}/${glock.number.toString(16)}`,
    `f:${letters(glock.flags, GLOCK_FLAGS)}`,
    `t:${STATES[glock.target]}`,
    `d:${STATES[glock.demoteState]}`,
    `m:${Math.floor(glock.holdTime / 4000)}`,
  ];
  return [line.join(" "), ...Array.from(glock.queue, dumpHolder), ...dumpObject(glock.object)];
}

function dumpHolder(holder: Gfs2Holder): string {
  const owner = holder.owner === null ? "p:0 [none]" : `p:${holder.owner.pid} [${holder.owner.comm}]`;
  const flags = letters(holder.iflags, HOLDER_FLAGS);
  return ` H: s:${STATES[holder.state]} f:${flags} e:${holder.error} ${owner} ${holder.ip}`;
}

function dumpObject(object: object | null): string[] {
  if (object === null || !("ino" in object) || !("size" in object)) return [];
  return [` I: n:${object.ino} t:8 s:${object.size}`];
}

function letters(flags: number, names: readonly [number, string][]): string {
  return names
    .filter(([bit]) => (flags & bit) !== 0)
    .map(([, letter]) => letter)
    .join("");
}
