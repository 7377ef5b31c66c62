// Cuts a search into parts that can be explored independently of each other, in other threads or on other
// machines. Every trace belongs to one part: executions begin with the steps of a part's prefix and do not
// begin, after that, with a step that another part begins with.
//
// Down to the parts every task that can go on is tried, so no part can find anything to explore outside of
// itself. The price is that some executions turn out to belong to another part only when they are under way.

import { conflict } from "./access.ts";
import { Driver, type DriverOptions } from "./driver.ts";
import type { Part } from "./explorer.ts";
import type { Event } from "./finding.ts";
import type { Budgets, Program } from "./program.ts";
import { ALL, isSameStep, NONE, type Step, trimmed } from "./step.ts";

/** Events that a prefix may have, so that cutting ends. */
const LONGEST = 16;

/** Cut the search for `program` into about `count` parts, or fewer if it is small. Always the same ones. */
export function partsOf(program: Program, count: number, options: DriverOptions = {}): Part[] {
  let parts: Part[] = [{ prefix: [], barred: [] }];
  const finished: Part[] = [];
  for (let length = 0; length < LONGEST && parts.length > 0 && parts.length + finished.length < count; length++) {
    const longer: Part[] = [];
    for (const part of parts) {
      const cut = cutOnce(program, part, options);
      if (cut === null) finished.push(part);
      else longer.push(...cut);
    }
    parts = longer;
  }
  return [...finished, ...parts];
}

/** One part for each step that can come next. Returns: null when none can. */
function cutOnce(program: Program, part: Part, options: DriverOptions): Part[] | null {
  const driver = new Driver(program, options);
  const budgets: Budgets = { environment: program.environment ?? {}, ...options };
  const cut: Part[] = [];
  const earlier: Step[] = [];
  let happens = false;
  const candidates = arrive(driver, part).map((pid): Event => ({ pid, choices: NONE }));
  for (const { pid, choices } of candidates) {
    const spent = arriveSpent(driver, part);
    if (driver.able[pid] !== 1 || !driver.perform(pid, choices)) continue;
    happens = true;
    const picked = driver.points.map((point) => point.picked);
    const step: Step = {
      pid,
      accesses: driver.accesses.slice(),
      choices: trimmed(picked),
      settled: ALL,
      asked: picked.length > 0,
    };
    for (const [i, { choice, count }] of driver.points.entries()) {
      if (i < choices.length || !affords(budgets, choice, [...spent, ...driver.points])) continue;
      for (let other = 1; other < count; other++) candidates.push({ pid, choices: [...picked.slice(0, i), other] });
    }
    if (!part.barred.some((barred) => isSameStep(barred, step))) {
      const barred = [...part.barred, ...earlier].filter(
        (other) => other.pid !== pid && !conflict(other.accesses, step.accesses),
      );
      cut.push({ prefix: [...part.prefix, { pid, choices: step.choices }], barred });
    }
    earlier.push(step);
  }
  return happens ? cut : null;
}

/** Run the prefix. Returns: who can go on after it. */
function arrive(driver: Driver, part: Part): number[] {
  arriveSpent(driver, part);
  return [...driver.able.keys()].filter((pid) => driver.able[pid] === 1);
}

/** Run the prefix. Returns: the choices that came up in it. */
function arriveSpent(driver: Driver, { prefix }: Part): Driver["points"] {
  const spent: Driver["points"] = [];
  driver.begin();
  for (const { pid, choices } of prefix) {
    driver.perform(pid, choices);
    spent.push(...driver.points);
  }
  return spent;
}

function affords(
  { environment, failures = Number.POSITIVE_INFINITY }: Budgets,
  choice: string,
  met: Driver["points"],
): boolean {
  const spent = met.filter(({ picked }) => picked !== 0);
  return (
    spent.length < failures && spent.filter((point) => point.choice === choice).length < (environment[choice] ?? 0)
  );
}
