/**
 * Every schedule of a program within a bound: optimal dynamic partial-order reduction, and what to make of its
 * findings. Stands on the kernel only; whatever is built of its tasks, locks and declared accesses can be
 * explored.
 *
 *   program.ts    what can be explored           access.ts step.ts       what a step did, what commutes
 *   driver.ts     one execution, event by event  happens-before.ts       vector clocks, races
 *   explorer.ts   the search                     path.ts wakeup-tree.ts  what it knows at each point
 *   enumerator.ts without reduction, or bounded  sampler.ts              at random
 *   cut.ts fate.ts several workers or machines  saved.ts                put down and taken up again
 *   finding.ts    what is wrong                  replay.ts shrink.ts narrative.ts no-return.ts  told
 *   certificate.ts nothing is wrong              verify.ts frontier.ts rerun.ts  checked by other means
 */

export { Cell } from "./cell.ts";
export { type Bounds, type Certificate, certify, type FoundMutant } from "./certificate.ts";
export { cut, type EventName, type Order, type Share } from "./cut.ts";
export { type ExploreOptions, explore } from "./explore.ts";
export type { Counts, Part } from "./explorer.ts";
export type { Event, FindingKind, Sighting } from "./finding.ts";
export type { Injection } from "./injections.ts";
export type { ClassEdge, LockVerdict } from "./lock-order.ts";
export type { Program, Running } from "./program.ts";
export { CATALOGUE, type CatalogueEntry } from "./programs/catalogue.ts";
export { replayLines, reportLines } from "./report.ts";
export {
  conclude,
  type ExploreResult,
  type Finding,
  type NoReturnPoint,
  type ToldReplay,
  tellReplay,
} from "./result.ts";
export type { SavedSearch } from "./saved.ts";
export { driverOptions, openSearch, ReducedSearch, type Search, type SearchOptions } from "./search.ts";
export type { Step } from "./step.ts";
export { addTallies, NOTHING, type Tally } from "./tally.ts";
export { type Verification, verify } from "./verify.ts";
