// faultline demo: the deadlock, its cure, and how much of it is true, for somebody who has a minute.

import { REVISIONS } from "@faultline/fs";
import { verdictReport } from "@faultline/kernel";
import { runScenario, type Scenario, type ScenarioRun } from "@faultline/scenario";
import { defineCommand } from "citty";
import pc from "picocolors";
import type { Io } from "../io.ts";
import { laneLines, lanesOf } from "../lanes.ts";
import type { Command } from "../main.ts";
import { opText, resultText } from "../op-text.ts";
import { replayLine } from "../replay-line.ts";
import { findScenario, readScenarios } from "../scenario-file.ts";
import { storyPath } from "../stories.ts";

export const demo: Command = {
  definition: { ...defineCommand({ meta: { name: "demo", description: "The story, told in a minute" } }), args: {} },
  run: async (_, io) => new Demo(io).tell(),
};

const BROKEN = "5.10";
const FIXED = "6.12";

class Demo {
  readonly #io: Io;
  readonly #colors: ReturnType<typeof pc.createColors>;
  readonly #file: string;
  readonly #stories: readonly Scenario[];
  #chapter = 0;

  constructor(io: Io) {
    this.#io = io;
    this.#colors = pc.createColors(io.isTerminal);
    this.#file = storyPath("deadlock.jsonl");
    this.#stories = readScenarios(this.#file, io);
  }

  async tell(): Promise<number> {
    const { bold } = this.#colors;
    this.#say(
      bold("faultline: read() and write() against memory that is not there, while the filesystem holds a lock"),
    );
    this.#selfWrite();
    this.#crossedReads();
    this.#cure();
    this.#next();
    return 0;
  }

  /** A write of a file from a mapping of the same file. */
  #selfWrite(): void {
    const { red } = this.#colors;
    this.#title(`A write from an evicted mapping of the file itself, on Linux ${BROKEN}`);
    const { scenario, run } = this.#run("self-w-shared-evicted-disjoint", BROKEN);
    this.#say(
      "write() takes the glock of file a and copies. The source is a page of a that is not in memory; the",
      "page fault wants the glock of a, which its own task holds. gfs2 finds out, and gives up:",
      "",
      ...scenario.ops.slice(0, 3).map((op, i) => {
        const result = run.recording.results[i];
        return `  ${opText(op)} ${result === undefined ? red("never returns") : `= ${resultText(result)}`}`;
      }),
      "",
    );
    const { verdict } = run;
    if (verdict.kind === "bug") {
      const { bug } = verdict;
      this.#say(red(`  ${bug.message}`), ...bug.dump.map((line) => `    ${line}`));
      this.#say(...wrapped([...bug.frames].reverse(), " > ", "  call chain: ", 100));
    } else this.#say(...verdictReport(verdict));
    this.#again("self-w-shared-evicted-disjoint", BROKEN, run);
  }

  /** Two threads, two files: the deadlock that nobody finds out. */
  #crossedReads(): void {
    this.#title(`Two threads, two files, crossed, on Linux ${BROKEN}`);
    const { scenario, run } = this.#run("cross-read", BROKEN);
    this.#say(
      "Each reads one file into a mapping of the other, 8 KiB, of which the second half is not there.",
      "",
      ...this.#lanes(scenario, run),
      "",
    );
    const [headline, ...story] = verdictReport(run.verdict);
    const end = story.findIndex((line) => line.includes("sleeps in"));
    this.#say(this.#colors.red(`  ${headline}`), ...story.slice(0, end).map((line) => `  ${line}`.trimEnd()));
    this.#again("cross-read", BROKEN, run);
  }

  #cure(): void {
    this.#title(`The same two on Linux ${FIXED}`);
    const { scenario, run } = this.#run("cross-read", FIXED);
    this.#say(
      "Copy with page faults disabled; where a page is missing the copy ends short. Drop the lock, fault the",
      "page in without it, lock again, go on. Nobody asks for a lock while holding another one.",
      "",
      ...this.#lanes(scenario, run),
      "",
    );
    this.#say(this.#colors.green(`  ${verdictReport(run.verdict)[0]}`));
    this.#again("cross-read", FIXED, run);
    const self = this.#run("self-w-shared-evicted-disjoint", FIXED).run;
    const { ret } = self.recording.results[2] ?? {};
    this.#say(`And the write of chapter 1 returns ${ret}.`);
    this.#again("self-w-shared-evicted-disjoint", FIXED, self);
  }

  #next(): void {
    const { bold } = this.#colors;
    const { command } = this.#io;
    this.#say(
      "",
      bold("What to try next"),
      "",
      `  ${command} run ${this.#file} --id cross-read --kernel ${FIXED} --trace text`,
      `  ${command} run ${this.#file} --id cross-write --kernel ${BROKEN} --seed 1 --trace lanes`,
      `  ${command} explore --program philosophers`,
      `  ${command} --help`,
    );
  }

  #run(id: string, kernel: string): { scenario: Scenario; run: ScenarioRun } {
    const scenario = findScenario(this.#stories, id, this.#file);
    return { scenario, run: runScenario(scenario, { kernel: REVISIONS[kernel], traced: true }) };
  }

  #lanes(scenario: Scenario, run: ScenarioRun): string[] {
    const lanes = lanesOf(scenario, run);
    const heads = [["thread 0 reads a into a mapping of b"], ["thread 1 reads b into a mapping of a"]];
    return laneLines({ ...lanes, heads }, this.#colors.dim).map((line) => `  ${line}`);
  }

  #title(text: string): void {
    this.#say("", this.#colors.bold(`${++this.#chapter}. ${text}`), "");
  }

  #again(id: string, kernel: string, run: ScenarioRun): void {
    const schedule = run.machine.world.scheduleString;
    this.#say(this.#colors.cyan(`  ${replayLine(this.#io, { file: this.#file, id, kernel, schedule })}`));
  }

  #say(...lines: string[]): void {
    for (const line of lines) this.#io.out(`${line}\n`);
  }
}

/** Words joined into lines of at most `width`, the first of which has a title. */
function wrapped(words: readonly string[], glue: string, title: string, width: number): string[] {
  const lines = [title];
  for (const [i, word] of words.entries()) {
    const piece = i === 0 ? word : glue + word;
    if (lines[lines.length - 1].length + piece.length > width) lines.push(" ".repeat(title.length - glue.length));
    lines[lines.length - 1] += piece;
  }
  return lines;
}
