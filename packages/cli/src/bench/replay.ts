// scenario: one recording read, run and compared, traces and all.

import { REVISIONS } from "@faultline/fs";
import { compareRecordings, parseRecordings, parseScenarios, runScenario } from "@faultline/scenario";
import type { Workload } from "./workload.ts";

/** Of the kinds that are recorded: a write whose source is not there, a write from the file itself, reads in windows. */
const SCENARIOS: readonly string[] = [
  '{"id":"write","title":"","files":[{"name":"a","size":131072,"seed":1}],"ops":[{"op":"open","fd":"f","file":"a","flags":["O_RDWR"]},{"op":"mmap","map":"m","len":65536,"prot":"rw","flags":["private","anon"]},{"op":"fill","map":"m","off":0,"len":65536,"seed":2},{"op":"madvise","map":"m","off":8192,"len":4096,"advice":"DONTNEED"},{"op":"pwrite","fd":"f","pos":100,"iov":[["m",50,40000]]},{"op":"sum","fd":"f","off":0,"len":131072},{"op":"pagemap","map":"m","off":0,"len":65536}]}',
  '{"id":"self","title":"","files":[{"name":"a","size":131072,"seed":1}],"ops":[{"op":"open","fd":"f","file":"a","flags":["O_RDWR"]},{"op":"mmap","map":"m","len":131072,"prot":"rw","flags":["shared"],"fd":"f","off":0},{"op":"pwrite","fd":"f","pos":4096,"iov":[["m",0,12288]]},{"op":"pagemap","map":"m","off":0,"len":131072},{"op":"sum","fd":"f","off":0,"len":131072},{"op":"sum","map":"m","off":0,"len":131072}]}',
  '{"id":"read","title":"","files":[{"name":"a","size":131072,"seed":1}],"ops":[{"op":"open","fd":"f","file":"a","flags":["O_RDONLY"]},{"op":"mmap","map":"m","len":131072,"prot":"rw","flags":["private","anon"]},{"op":"pread","fd":"f","pos":0,"iov":[["m",0,131072]]},{"op":"pagemap","map":"m","off":0,"len":131072},{"op":"mincore","map":"m","off":0,"len":131072},{"op":"sum","map":"m","off":0,"len":131072}]}',
];

const KERNEL = "6.12";

export function replayWorkloads(): Workload[] {
  return [
    {
      name: "replay of a recording / 40 ms (1,000 in 20 s on two cores)",
      goal: 1,
      prepare: () => {
        // What the model does now stands for what a kernel did: it is compared as thoroughly.
        const lines = SCENARIOS.map((line) => {
          const [scenario] = parseScenarios(line, "bench");
          return JSON.stringify(runScenario(scenario, { kernel: REVISIONS[KERNEL], traced: true }).recording);
        });
        return {
          times: SCENARIOS.length,
          run: () => {
            for (const [i, line] of SCENARIOS.entries()) replay(line, lines[i]);
          },
          theirs: 40e6,
        };
      },
    },
  ];
}

function replay(scenarioLine: string, recordingLine: string): void {
  const [scenario] = parseScenarios(scenarioLine, "bench");
  const [recording] = parseRecordings(recordingLine, "bench");
  const run = runScenario(scenario, { kernel: REVISIONS[KERNEL], traced: true });
  const [difference] = compareRecordings(scenario, recording, run.recording);
  if (difference !== undefined) throw new Error(`${scenario.id}: ${difference.what}`);
}
