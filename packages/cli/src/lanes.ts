// The threads of a run side by side, one lane each: which locks they ask for, get and drop, what they fault in,
// and how far each copy comes. Everything else of the trace is left out.

import { errnoName, GLOCK_STATE_NAMES, type TraceEvent } from "@faultline/kernel";
import type { OpSpan, Scenario, ScenarioRun } from "@faultline/scenario";
import { opText, resultText } from "./op-text.ts";

/** One thing that one thread does. */
export interface Row {
  readonly lane: number;
  text: string;
  /** Mark of each lane: does its thread hold a lock, or wait for one? */
  readonly marks: readonly Mark[];
}
export type Mark = "holds" | "waits" | "";

export interface Lanes {
  /** What each thread is about, in lines: its name, and its call. */
  readonly heads: readonly (readonly string[])[];
  readonly rows: readonly Row[];
}

/** The lanes of a run with threads: of each, the last operation that it began. */
export function lanesOf(scenario: Scenario, run: ScenarioRun): Lanes {
  const spans = scenario.threads.map((_, thread) => run.spans.filter(({ at }) => at.thread === thread).at(-1));
  return new Weaver(
    scenario,
    run,
    spans.filter((span) => span !== undefined),
  ).weave();
}

interface Lane {
  readonly index: number;
  readonly span: OpSpan;
  /** Glocks held, as "a EX". */
  readonly held: string[];
  /** The glock that was asked for and not yet granted. */
  wanted: { readonly glock: string; readonly row: Row } | null;
  /** Inside fault_in_*(), between iomap_file_buffered_write() and its return. */
  faultingIn: boolean;
  copying: boolean;
  /** The last row, when it asked for a glock and got it: its end may join it. */
  fold: { readonly glock: string; readonly row: Row } | null;
  isOver: boolean;
}

class Weaver {
  readonly #scenario: Scenario;
  readonly #run: ScenarioRun;
  readonly #lanes: readonly Lane[];
  readonly #rows: Row[] = [];

  constructor(scenario: Scenario, run: ScenarioRun, spans: readonly OpSpan[]) {
    this.#scenario = scenario;
    this.#run = run;
    this.#lanes = spans.map((span, index) => ({
      index,
      span,
      held: [],
      wanted: null,
      faultingIn: false,
      copying: false,
      fold: null,
      isOver: false,
    }));
  }

  weave(): Lanes {
    for (const event of this.#run.events()) {
      this.#endLanes(event.seq);
      const lane = this.#lanes.find(({ span }) => span.pid === event.task);
      if (lane !== undefined && event.seq >= lane.span.from && !lane.isOver) this.#event(lane, event);
      else if (event.name === "gfs2_promote") this.#grant(event);
    }
    this.#endLanes(Number.MAX_VALUE);
    for (const { wanted } of this.#lanes) if (wanted !== null) wanted.row.text += ", wait for ever";
    const heads = this.#lanes.map(({ span: { at } }) => [
      `thread ${at.thread}`,
      opText(this.#scenario.threads[at.thread as number][at.op]),
    ]);
    return { heads, rows: this.#rows };
  }

  #endLanes(seq: number): void {
    for (const lane of this.#lanes) {
      const { to, at } = lane.span;
      if (lane.isOver || to > seq) continue;
      const result = this.#run.recording.threads?.[at.thread as number][at.op];
      if (result !== undefined) this.#push(lane, `returns ${resultText(result)}`);
      lane.isOver = true;
    }
  }

  #event(lane: Lane, event: TraceEvent): void {
    switch (event.name) {
      case "gfs2_glock_queue":
        if (event.args.queue === 1) this.#ask(lane, this.#glock(event.args));
        else this.#drop(lane, this.#glock(event.args));
        return;
      case "gfs2_promote":
        this.#grant(event);
        return;
      case "fault_in_readable":
      case "fault_in_safe_writeable":
      case "fault_in_user_pages":
        if (lane.copying) return;
        this.#push(lane, `fault in ${bytes(event.args.size)} of ${this.#fileAt(event.args.address)}`);
        lane.faultingIn = true;
        return;
      case "fault_in_readable_ret":
      case "fault_in_safe_writeable_ret":
      case "fault_in_user_pages_ret":
        lane.faultingIn = false;
        return;
      case "page_fault_kernel":
        if (!lane.faultingIn) this.#miss(lane, `a page of ${this.#fileAt(event.args.address)} is not there`);
        return;
      case "iomap_file_buffered_write":
        lane.copying = true;
        return;
      case "iomap_file_buffered_write_ret":
      case "iomap_dio_rw_ret":
      case "filemap_read_ret":
        lane.copying = false;
        if (lane.held.length > 0) this.#push(lane, copied(event.args.ret));
    }
  }

  /** A copy that fell short may try once more before it gives up. */
  #miss(lane: Lane, text: string): void {
    const last = this.#rows.at(-1);
    if (last?.lane !== lane.index || last.text !== text) this.#push(lane, text);
  }

  #ask(lane: Lane, glock: string): void {
    const row = this.#push(lane, `lock ${glock}`);
    lane.wanted = { glock, row };
  }

  #grant({ args, task }: Extract<TraceEvent, { name: "gfs2_promote" }>): void {
    const glock = this.#glock(args);
    const waiting = this.#lanes.filter(({ wanted }) => wanted?.glock === glock);
    const lane = waiting.find(({ span }) => span.pid === task) ?? waiting[0];
    if (lane?.wanted === undefined || lane.wanted === null) return;
    const { row } = lane.wanted;
    lane.wanted = null;
    lane.held.push(glock);
    if (row === this.#rows.at(-1)) {
      this.#rows[this.#rows.length - 1] = { ...row, marks: this.#marks() };
      lane.fold = { glock, row: this.#rows[this.#rows.length - 1] };
      return;
    }
    row.text += ", wait";
    this.#push(lane, `get ${glock}`);
  }

  #drop(lane: Lane, glock: string): void {
    const [name] = glock.split(" ");
    const { fold } = lane;
    lane.held.splice(lane.held.indexOf(glock), 1);
    if (fold?.glock === glock && fold.row === this.#rows.at(-1)) {
      fold.row.text += `, unlock ${name}`;
      this.#joinTwins();
    } else this.#push(lane, `unlock ${name}`, "holds");
  }

  /** The same again is told once. */
  #joinTwins(): void {
    const [last, before] = this.#rows.slice(-2).reverse();
    if (before === undefined || before.lane !== last.lane || before.text.replace(/ \(\d+ times\)$/, "") !== last.text)
      return;
    const times = Number(/\((\d+) times\)$/.exec(before.text)?.[1] ?? 1) + 1;
    this.#rows.pop();
    before.text = `${last.text} (${times} times)`;
  }

  #push(lane: Lane, text: string, mark?: Mark): Row {
    lane.fold = null;
    const marks = this.#marks();
    if (mark !== undefined) marks[lane.index] = mark;
    const row = { lane: lane.index, text: lane.faultingIn ? `  ${text}` : text, marks };
    this.#rows.push(row);
    return row;
  }

  #marks(): Mark[] {
    return this.#lanes.map(({ held, wanted, isOver }) =>
      isOver ? "" : held.length > 0 ? "holds" : wanted ? "waits" : "",
    );
  }

  #glock({ ino, glockState }: { readonly ino: number; readonly glockState: number }): string {
    return `${this.#run.names.fileOf(ino) ?? `inode ${ino}`} ${GLOCK_STATE_NAMES[glockState]}`;
  }

  #fileAt(address: number): string {
    const place = this.#run.names.mapOf(address);
    const map = place === null ? undefined : this.#run.names.map(place[0]);
    return map === undefined || map.file === "" ? "memory" : map.file;
  }
}

/** What is still wanted at the end is waited for. */
function copied(ret: number): string {
  if (ret < 0) return ret === -14 ? "copy nothing" : `copy fails, ${errnoName(ret)}`;
  return `copy ${bytes(ret)}`;
}

function bytes(count: number): string {
  return count >= 1024 && count % 1024 === 0 ? `${count / 1024} KiB` : `${count} bytes`;
}

const SIGNS: Readonly<Record<Mark, string>> = { holds: "┃", waits: "┊", "": " " };

/** Lines without newlines. */
export function laneLines({ heads, rows }: Lanes, dim: (text: string) => string): string[] {
  const texts = [...heads.flat(), ...rows.map(({ text }) => text)];
  const width = Math.max(...texts.map((text) => text.length));
  const cells = (lanes: readonly string[]): string =>
    lanes
      .map((text) => text.padEnd(width + 4))
      .join("")
      .trimEnd();
  const depth = Math.max(...heads.map((head) => head.length));
  return [
    ...Array.from({ length: depth }, (_, line) => cells(heads.map((head) => `  ${head[line] ?? ""}`))),
    dim(cells(heads.map(() => `  ${"─".repeat(width)}`))),
    ...rows.map(({ lane, text, marks }) => cells(marks.map((mark, i) => `${SIGNS[mark]} ${i === lane ? text : ""}`))),
  ];
}
