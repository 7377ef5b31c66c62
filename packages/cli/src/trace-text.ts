// The trace of a run for people: who did what, calls indented by depth, a return behind its call when nothing
// happened in between. The same run gives the same bytes.

import { printField, TRACE_EVENTS, type TraceEvent, type TraceField } from "@faultline/kernel";
import type { OpSpan, Scenario, ScenarioRun } from "@faultline/scenario";
import { opText, resultText } from "./op-text.ts";

/** Fields that need no name beside their value. */
const BARE: ReadonlySet<string> = new Set([
  "ino",
  "address",
  "errorCode",
  "vmFault",
  "faultFlags",
  "iomapFlags",
  "glockState",
  "lock",
  "next",
]);
/** The schedule shows in the column of tasks. */
const SILENT: ReadonlySet<string> = new Set(["sched_switch", "sched_process_exit"]);

/** The events of the scenario's operations; what the runner does afterwards to look at the files is left out. */
export function* operationEvents(run: ScenarioRun): Generator<TraceEvent, void, void> {
  const end = Math.max(0, ...run.spans.map(({ to }) => to));
  for (const event of run.events()) {
    if (event.seq >= end) return;
    yield event;
  }
}

/** Lines that end with a newline each. */
export function traceStory(scenario: Scenario, run: ScenarioRun): string[] {
  const teller = new Teller(scenario, run);
  teller.tell();
  return teller.lines.map(({ seq, task, text }) => {
    const number = seq === null ? "" : String(seq);
    return `${number.padStart(6)}  ${task.padEnd(teller.width)}  ${text}\n`;
  });
}

interface Line {
  /** Number of the event; null for the operations, which are no events. */
  readonly seq: number | null;
  readonly task: string;
  text: string;
}

class Teller {
  readonly lines: Line[] = [];
  readonly #scenario: Scenario;
  readonly #run: ScenarioRun;
  /** Calls of each task that have not returned. */
  readonly #open = new Map<number, string[]>();
  readonly #comms: ReadonlyMap<number, string>;
  /** The last line, when it is a call that may return on it, or pages that more may join. */
  #last: { readonly pid: number; readonly name: string; readonly from: number; to: number } | null = null;

  constructor(scenario: Scenario, run: ScenarioRun) {
    this.#scenario = scenario;
    this.#run = run;
    this.#comms = run.machine.world.comms ?? new Map();
  }

  get width(): number {
    return Math.max(...this.lines.map(({ task }) => task.length));
  }

  tell(): void {
    const begins = [...this.#run.spans];
    const ends = begins.filter(({ to }) => to !== Number.POSITIVE_INFINITY).sort((a, b) => a.to - b.to);
    const upTo = (seq: number): void => {
      for (;;) {
        const [begin, end] = [begins[0], ends[0]];
        // What ends at a place in the trace ends before the next begins there, except with itself.
        if (end !== undefined && end.to <= seq && (begin === undefined || end.to <= begin.from) && end !== begin) {
          this.#endOp(end);
          ends.shift();
        } else if (begin !== undefined && begin.from <= seq) {
          this.#beginOp(begin);
          begins.shift();
        } else return;
      }
    };
    for (const event of operationEvents(this.#run)) {
      upTo(event.seq);
      if (!SILENT.has(event.name)) this.#event(event);
    }
    upTo(Number.POSITIVE_INFINITY);
  }

  #beginOp({ pid, at }: OpSpan): void {
    const op = this.#list(at)[at.op];
    this.#push(null, pid, opText(op));
    this.#calls(pid).push(op.op);
    this.#last = { pid, name: op.op, from: 0, to: 0 };
  }

  #endOp({ pid, at }: OpSpan): void {
    const { results, threads = [], post = [] } = this.#run.recording;
    const list = at.post === true ? post : at.thread === undefined ? results : threads[at.thread];
    const op = this.#list(at)[at.op];
    this.#calls(pid).length = 0;
    this.#return(null, pid, op.op, resultText(list[at.op]));
  }

  #list({ thread, post }: OpSpan["at"]): Scenario["ops"] {
    if (post === true) return this.#scenario.post;
    return thread === undefined ? this.#scenario.ops : this.#scenario.threads[thread];
  }

  #event(event: TraceEvent): void {
    const { seq, task: pid, name } = event;
    if (event.name === "mm_filemap_add_to_page_cache" || event.name === "mm_filemap_delete_from_page_cache") {
      this.#pages(event);
      return;
    }
    if (name.endsWith("_ret")) {
      const called = name.slice(0, -"_ret".length);
      const calls = this.#calls(pid);
      if (calls.at(-1) === called) calls.pop();
      this.#return(seq, pid, called, this.#args(event));
      return;
    }
    this.#push(seq, pid, this.#sentence(event));
    if (!(`${name}_ret` in TRACE_EVENTS)) return;
    this.#calls(pid).push(name);
    this.#last = { pid, name, from: 0, to: 0 };
  }

  #sentence(event: TraceEvent): string {
    if (event.name !== "gfs2_glock_queue") return `${event.name} ${this.#args(event)}`.trimEnd();
    const { ino, queue, glockState } = event.args;
    const call = queue === 1 ? "gfs2_glock_nq" : "gfs2_glock_dq";
    return `${call} ${this.#value("ino", ino)} ${this.#value("glockState", glockState)}`;
  }

  /** Page after page of a file that enters or leaves the cache is one line. */
  #pages(event: Extract<TraceEvent, { name: "mm_filemap_add_to_page_cache" | "mm_filemap_delete_from_page_cache" }>) {
    const { seq, task: pid, args } = event;
    const name = `${event.name} ${this.#value("ino", args.ino)}`;
    const last = this.#last;
    if (last !== null && last.pid === pid && last.name === name && last.to + 1 === args.pgoff) {
      last.to = args.pgoff;
      (this.lines.at(-1) as Line).text = `${this.#indent(pid)}${name} pages ${last.from}-${last.to}`;
      return;
    }
    this.#push(seq, pid, `${name} page ${args.pgoff}`);
    this.#last = { pid, name, from: args.pgoff, to: args.pgoff };
  }

  #return(seq: number | null, pid: number, name: string, value: string): void {
    const last = this.#last;
    if (last !== null && last.pid === pid && last.name === name) {
      (this.lines.at(-1) as Line).text += ` = ${value}`;
      this.#last = null;
    } else this.#push(seq, pid, `${name} = ${value}`);
  }

  #push(seq: number | null, pid: number, text: string): void {
    this.lines.push({ seq, task: this.#comms.get(pid) ?? `pid ${pid}`, text: this.#indent(pid) + text });
    this.#last = null;
  }

  #indent(pid: number): string {
    return "  ".repeat(this.#calls(pid).length);
  }

  #calls(pid: number): string[] {
    let calls = this.#open.get(pid);
    if (calls === undefined) {
      calls = [];
      this.#open.set(pid, calls);
    }
    return calls;
  }

  #args({ args }: TraceEvent): string {
    const fields = Object.entries(args) as [TraceField, number][];
    return fields
      .map(([field, value]) => {
        const text = this.#value(field, value);
        return BARE.has(field) || field === "ret" ? text : `${field} ${text}`;
      })
      .join(" ");
  }

  #value(field: TraceField, value: number): string {
    const { names, machine } = this.#run;
    if (field === "ino") return names.fileOf(value) ?? `inode ${value}`;
    if (field === "address") {
      const place = names.mapOf(value);
      return place === null ? printField(field, value) : `${place[0]}+${place[1]}`;
    }
    if (field === "lock") return machine.world.labels?.get(value) ?? String(value);
    return printField(field, value);
  }
}
