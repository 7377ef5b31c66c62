// One line a second on stderr, so that a long search can be watched and a pipe stays clean.

import type { Io } from "./io.ts";

export class Progress {
  readonly #io: Io;
  readonly #start: number;
  #last: number;
  #executions = 0;

  constructor(io: Io) {
    this.#io = io;
    this.#start = io.now();
    this.#last = this.#start;
  }

  get seconds(): number {
    return this.#io.now() - this.#start;
  }

  /**
   * Say how far the search is, if it is time to.
   *
   * `depth`: events of the longest execution, where there is one. `done`: from 0 to 1, or null when it cannot be told.
   */
  tell(executions: number, depth: number | null, done: number | null): void {
    const now = this.#io.now();
    if (now - this.#last < 1) return;
    const rate = Math.round((executions - this.#executions) / (now - this.#last));
    const deep = depth === null ? "" : `, depth ${depth}`;
    const left = done === null ? "" : `, about ${percent(done)} done`;
    this.#io.err(`${number(executions)} executions, ${number(rate)} a second${deep}${left}\n`);
    this.#last = now;
    this.#executions = executions;
  }
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}

function percent(share: number): string {
  return share < 0.01 && share > 0 ? "less than 1 %" : `${Math.floor(share * 100)} %`;
}
