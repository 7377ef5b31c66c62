// Every row of the benchmark, in the order of the table.

import { clusterWorkloads } from "./cluster.ts";
import { fileIoWorkloads } from "./file-io.ts";
import { replayWorkloads } from "./replay.ts";
import { taskWorkloads } from "./tasks.ts";
import { userMemoryWorkloads } from "./user-memory.ts";
import type { Workload } from "./workload.ts";

/** `scale`: 1 for real numbers, less to see that they work. */
export function allWorkloads(scale = 1): Workload[] {
  return [
    ...fileIoWorkloads(),
    ...userMemoryWorkloads(scale),
    ...taskWorkloads(scale),
    ...clusterWorkloads(scale),
    ...replayWorkloads(),
  ];
}
