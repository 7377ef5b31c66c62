// The steps of random histories: system calls, accesses, forks, truncations and reclaim, as data that
// fast-check makes and shrinks.

import fc from "fast-check";
import { PROT_READ, PROT_WRITE } from "../index.ts";

/** Pages of the window in which fixed mappings go. */
export const WINDOW_PAGES = 32;

export type Step =
  | {
      readonly op: "mmap";
      readonly kind: "anonymous" | "file a" | "file b, opened for reading";
      readonly how: "free" | "hint" | "fixed" | "fixed, no replacing";
      readonly at: number;
      readonly pages: number;
      readonly prot: number;
      readonly shared: boolean;
      readonly populate: boolean;
      readonly first: number;
    }
  | {
      readonly op: "munmap" | "dontneed" | "populate read" | "populate write";
      readonly at: number;
      readonly pages: number;
    }
  | { readonly op: "mprotect"; readonly at: number; readonly pages: number; readonly prot: number }
  | {
      readonly op: "mremap";
      readonly at: number;
      readonly pages: number;
      readonly newPages: number;
      readonly how: "in place" | "may move" | "fixed" | "leave behind";
      readonly to: number;
    }
  | {
      readonly op:
        | "load"
        | "store"
        | "copy_from_user"
        | "copy_to_user"
        | "copy without faults"
        | "fault in readable"
        | "fault in writeable"
        | "get pages, write";
      readonly at: number;
      readonly offset: number;
      readonly size: number;
    }
  | { readonly op: "fork" | "exit" | "reclaim" }
  | { readonly op: "truncate"; readonly size: number };

/** One step, by which of the spaces. */
export interface Deed {
  readonly by: number;
  readonly step: Step;
}

const at = fc.nat({ max: 4 * WINDOW_PAGES - 1 });
const pages = fc.integer({ min: 1, max: 12 });
const prot = fc.oneof(
  { weight: 2, arbitrary: fc.constant(PROT_READ | PROT_WRITE) },
  { weight: 1, arbitrary: fc.constantFrom(0, PROT_READ, PROT_WRITE) },
);
const range = {
  at,
  offset: fc.constantFrom(0, 0, 1, 100, 2047, 4095),
  size: fc.constantFrom(1, 2, 100, 4096, 5000, 20000),
};

const mmap: fc.Arbitrary<Step> = fc.record({
  op: fc.constant("mmap" as const),
  kind: fc.constantFrom(
    "anonymous" as const,
    "anonymous" as const,
    "file a" as const,
    "file b, opened for reading" as const,
  ),
  how: fc.constantFrom(
    "free" as const,
    "hint" as const,
    "fixed" as const,
    "fixed" as const,
    "fixed, no replacing" as const,
  ),
  at,
  pages,
  prot,
  shared: fc.boolean(),
  populate: fc.boolean(),
  first: fc.nat({ max: 6 }),
});

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: mmap },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constantFrom("munmap" as const, "dontneed" as const, "populate read" as const, "populate write" as const),
      at,
      pages,
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("mprotect" as const), at, pages, prot }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant("mremap" as const),
      at,
      pages: fc.integer({ min: 0, max: 12 }),
      newPages: fc.integer({ min: 0, max: 12 }),
      how: fc.constantFrom("in place" as const, "may move" as const, "fixed" as const, "leave behind" as const),
      to: at,
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      op: fc.constantFrom(
        "load" as const,
        "store" as const,
        "store" as const,
        "copy_from_user" as const,
        "copy_to_user" as const,
        "copy without faults" as const,
        "fault in readable" as const,
        "fault in writeable" as const,
        "get pages, write" as const,
      ),
      ...range,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constantFrom("fork" as const, "exit" as const, "reclaim" as const, "reclaim" as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant("truncate" as const), size: fc.constantFrom(0, 3000, 8192, 20000, 40960) }),
  },
);

const deed = (what: fc.Arbitrary<Step>): fc.Arbitrary<Deed> => fc.record({ by: fc.nat({ max: 3 }), step: what });

/** Histories as fast-check makes and shrinks them. They begin with some memory. */
export const histories: fc.Arbitrary<readonly Deed[]> = fc
  .tuple(deed(mmap), deed(mmap), fc.array(deed(step), { maxLength: 40, size: "max" }))
  .map(([first, second, rest]) => [first, second, ...rest]);

/** A history as a person reads it, a line a step. */
export function tell(history: readonly Deed[]): string {
  return history
    .map(({ by, step: { op, ...args } }, i) => `${String(i).padStart(3)} space ${by}: ${op} ${JSON.stringify(args)}`)
    .join("\n");
}

/** A step for one of several threads: within its own window, with bytes that no other thread writes. */
export function tamed(step: Step): Step {
  switch (step.op) {
    case "mmap": {
      const how = step.how === "free" || step.how === "hint" ? "fixed" : step.how;
      return { ...step, how, shared: step.shared && step.kind !== "file a" };
    }
    case "mremap":
      return { ...step, how: step.how === "may move" ? "fixed" : step.how === "leave behind" ? "in place" : step.how };
    case "fork":
    case "exit":
    case "truncate":
      return { op: "reclaim" };
    default:
      return step;
  }
}
