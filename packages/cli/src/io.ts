// What a command may do to the world outside: print, and know the time. Tests hand it another one.

export interface Io {
  /** Results, for people or for pipes. */
  out(text: string): void;
  /** Progress and complaints. */
  err(text: string): void;
  /** Does a person look at the results? */
  readonly isTerminal: boolean;
  /** Seconds since some moment in the past. */
  now(): number;
  /** Call `stop` when the user wants the command to end. Returns: a function that undoes it. */
  onInterrupt(stop: () => void): () => void;
}

export function hostIo(): Io {
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    isTerminal: process.stdout.isTTY === true,
    now: () => performance.now() / 1000,
    onInterrupt(stop) {
      process.on("SIGINT", stop);
      process.on("SIGTERM", stop);
      return () => {
        process.off("SIGINT", stop);
        process.off("SIGTERM", stop);
      };
    },
  };
}
