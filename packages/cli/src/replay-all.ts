// Replays recording after recording, among as many threads as there are, and keeps the order.

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Tinypool } from "tinypool";
import replay, { type Replayed, type ReplayTask } from "./replayer.ts";

/** Recordings that wait for a thread: more would only fill the memory. */
const WAITING_EACH = 16;
const WORKER = new URL("./replayer.js", import.meta.url);

/** Outcomes in the order of the tasks. */
export async function* replayAll(tasks: AsyncIterable<ReplayTask>, jobs: number): AsyncGenerator<Replayed, void, void> {
  // The worker exists as a file of its own only where the command was built.
  if (jobs === 1 || !existsSync(fileURLToPath(WORKER))) {
    for await (const task of tasks) yield replay(task);
    return;
  }
  const pool = new Tinypool({ filename: WORKER.href, minThreads: 1, maxThreads: jobs });
  const begun: Promise<Replayed>[] = [];
  try {
    for await (const task of tasks) {
      const one = pool.run(task) as Promise<Replayed>;
      // Whoever waits for it sees the error; until then nobody does.
      one.catch(() => {});
      begun.push(one);
      if (begun.length >= jobs * WAITING_EACH) yield (await begun.shift()) as Replayed;
    }
    for (const one of begun) yield await one;
  } finally {
    await pool.destroy();
  }
}
