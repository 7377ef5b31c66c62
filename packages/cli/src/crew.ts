// Those who do the work: worker threads, or the main thread itself.

import { Tinypool } from "tinypool";
import work, { type Slice, type SliceResult } from "./worker.ts";

export interface Crew {
  readonly size: number;
  run(slice: Slice): Promise<SliceResult>;
  dismiss(): Promise<void>;
}

export function hire(size: number): Crew {
  return size === 1 ? alone() : pool(size);
}

/** The main thread, which looks up from its work between slices. */
function alone(): Crew {
  return {
    size: 1,
    async run(slice) {
      await new Promise((resolve) => setImmediate(resolve));
      return work(slice);
    },
    async dismiss() {},
  };
}

function pool(size: number): Crew {
  const threads = new Tinypool({
    filename: new URL("./worker.js", import.meta.url).href,
    minThreads: size,
    maxThreads: size,
    // A thread may idle while others divide the work.
    idleTimeout: 60_000,
  });
  return {
    size,
    run: (slice) => threads.run(slice) as Promise<SliceResult>,
    dismiss: () => threads.destroy(),
  };
}
