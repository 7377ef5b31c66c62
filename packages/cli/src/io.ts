// What a command may do to the world outside: print, read what is piped in, and know the time. Tests hand it
// another one.

import { readFileSync } from "node:fs";
import { basename, relative } from "node:path";

export interface Io {
  /** Results, for people or for pipes. */
  out(text: string): void;
  /** Progress and complaints. */
  err(text: string): void;
  /** All of the standard input. */
  in(): string;
  /** Does a person look at the results? */
  readonly isTerminal: boolean;
  /** What the user typed to get here, for commands that are to be pasted: "npm start --silent --". */
  readonly command: string;
  /** Seconds since some moment in the past. */
  now(): number;
  /** Call `stop` when the user wants the command to end. Returns: a function that undoes it. */
  onInterrupt(stop: () => void): () => void;
}

export function hostIo(): Io {
  // A reader that has seen enough, as `head` has, is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit();
    throw error;
  });
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    in: () => readFileSync(0, "utf8"),
    isTerminal: process.stdout.isTTY === true,
    command: commandTyped(process.env, process.argv[1]),
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

function commandTyped(env: NodeJS.ProcessEnv, script: string): string {
  if (env.npm_lifecycle_event === "start") return "npm start --silent --";
  if (env.npm_command === "exec") return "npx faultline";
  return basename(script) === "faultline" ? "faultline" : `node ${relative("", script)}`;
}
