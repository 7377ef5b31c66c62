// faultline demo: the deadlock, its cure, and how much of it is true, for somebody who has a minute.

import { REVISIONS } from "@faultline/fs";
import { verdictReport } from "@faultline/kernel";
import {
  type Recording,
  runScenario,
  type Scenario,
  type ScenarioRun,
  TIERS,
  unseenOn,
  verdictText,
} from "@faultline/scenario";
import { defineCommand } from "citty";
import pc from "picocolors";
import type { Io } from "../io.ts";
import { countLines, keptCounts, keptFolder, keptPairs } from "../kept.ts";
import { laneLines, lanesOf } from "../lanes.ts";
import type { Command } from "../main.ts";
import { opText, resultText } from "../op-text.ts";
import { replayLine } from "../replay-line.ts";
import replay from "../replayer.ts";
import { findScenario, readScenarios } from "../scenario-file.ts";
import { storyPath } from "../stories.ts";

export const demo: Command = {
  definition: { ...defineCommand({ meta: { name: "demo", description: "The story, told in a minute" } }), args: {} },
  run: async (_, io) => new Demo(io).tell(),
};

const BROKEN = "5.10";
const FIXED = "6.12";
const DISCUSSED = "v4";
/** The stories: the first was recorded on real kernels under this name. */
const SELF = "self-w-shared-evicted-disjoint";
const CROSS = "cross-read";
/** The theme that is replayed while the user waits. */
const THEME = "03-self";

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
    await this.#selfWrite();
    this.#crossedReads();
    this.#cure();
    this.#discussed();
    await this.#truth();
    this.#next();
    return 0;
  }

  /** A write of a file from a mapping of the same file. */
  async #selfWrite(): Promise<void> {
    const { red } = this.#colors;
    this.#title(`A write from an evicted mapping of the file itself, on Linux ${BROKEN}`);
    const { scenario, run } = this.#run(SELF, BROKEN);
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
    this.#again(SELF, BROKEN, run);
    const recorded = await this.#recorded(SELF, BROKEN);
    if (recorded !== null)
      this.#say("", `So did the real Linux ${BROKEN} when it was recorded: ${verdictText(recorded)}.`);
  }

  /** Two threads, two files: the deadlock that nobody finds out. */
  #crossedReads(): void {
    this.#title(`Two threads, two files, crossed, on Linux ${BROKEN}`);
    const { scenario, run } = this.#run(CROSS, BROKEN);
    this.#say(
      "Each reads one file into a mapping of the other, 8 KiB, of which the second half is not there.",
      "",
      ...this.#lanes(scenario, run),
      "",
    );
    const [headline, ...story] = verdictReport(run.verdict);
    // The ring is what is in the boxes; who sleeps where is for `run` to tell.
    const ring = story.filter((line) => /^ {2}[┌│└]/.test(line));
    this.#say(this.#colors.red(`  ${headline}`), ...ring);
    this.#again(CROSS, BROKEN, run);
  }

  #cure(): void {
    this.#title(`The same two on Linux ${FIXED}`);
    const { scenario, run } = this.#run(CROSS, FIXED);
    this.#say(
      "Copy with page faults disabled; where a page is missing the copy ends short. Drop the lock, fault the",
      "page in without it, lock again, go on. Nobody asks for a lock while holding another one.",
      "",
      ...this.#lanes(scenario, run),
      "",
    );
    this.#say(this.#colors.green(`  ${verdictReport(run.verdict)[0]}`));
    this.#again(CROSS, FIXED, run);
    const self = this.#run(SELF, FIXED);
    const { ret } = self.run.recording.results[2] ?? {};
    this.#say("", `And the write of chapter 1 returns ${ret}.`);
    this.#again(SELF, FIXED, self.run);
  }

  /** The patches that led there. */
  #discussed(): void {
    this.#title(`The same two on ${DISCUSSED}`);
    this.#say(`${DISCUSSED}: ${REVISIONS[DISCUSSED].title}.`, "");
    for (const id of [SELF, CROSS]) {
      const { run } = this.#run(id, DISCUSSED);
      this.#say(this.#colors.green(`  ${verdictReport(run.verdict)[0]}`));
      this.#again(id, DISCUSSED, run);
    }
  }

  /** How much of this is as real kernels do it. */
  async #truth(): Promise<void> {
    this.#title("Is it true?");
    const folder = keptFolder();
    if (folder === null) {
      this.#say("The recordings of real kernels are in the repository; `conform` replays them, and yours.");
      return;
    }
    const counts = keptCounts(folder);
    if (counts.length > 0) {
      this.#say(
        "Scenarios recorded on real kernels with a real gfs2, and how many the model does in the same way:",
        "",
      );
      this.#say(...countLines(counts).map((line) => `  ${line}`), "");
    }
    const start = this.#io.now();
    let [count, equal] = [0, 0];
    const unseen = unseenOn(FIXED);
    for await (const pair of keptPairs(folder, FIXED, THEME)) {
      const { differences } = replay({ pair, kernel: FIXED, tiers: TIERS, unseen });
      count++;
      if (differences.length === 0) equal++;
    }
    const seconds = (this.#io.now() - start).toFixed(1);
    this.#say(
      `${count} of Linux ${FIXED} replayed just now, the theme ${THEME}: ${equal} equal in every value and event, ${seconds} s.`,
    );
    this.#say("All of them:");
    this.#offer(`conform ${folder}/scenarios ${folder}/recordings/${FIXED} --kernel ${FIXED}`);
  }

  #next(): void {
    const { bold } = this.#colors;
    this.#say("", bold("What to try next"), "");
    this.#offer(`run ${this.#file} --id ${CROSS} --kernel ${FIXED} --trace text`);
    this.#offer(`run ${this.#file} --id cross-write --kernel ${BROKEN} --seed 1 --trace lanes`);
    this.#offer(`compare ${this.#file} --id cross-write --kernels v4,${FIXED}`);
    this.#offer(`explore ${this.#file} --id ${CROSS} --kernel ${BROKEN}`);
    this.#offer("--help");
  }

  /** What a real kernel did; null where no recordings are kept. */
  async #recorded(id: string, kernel: string): Promise<Recording | null> {
    const folder = keptFolder();
    if (folder === null) return null;
    for await (const { recording } of keptPairs(folder, kernel, THEME)) if (recording.id === id) return recording;
    return null;
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

  #offer(words: string): void {
    this.#say(this.#colors.cyan(`  ${this.#io.command} ${words}`));
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
