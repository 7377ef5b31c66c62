/**
 * Scenarios: files of system calls that run on real kernels and on the model, and the recordings of what
 * kernels did.
 */
export {
  type CompareOptions,
  compareRecordings,
  type Difference,
  type EventDifference,
  verdictText,
} from "./compare.ts";
export { convertEvents, type Places } from "./convert.ts";
export { expandRepeats, foldRepeats, pairReturns } from "./events.ts";
export { FormatError, parseScenario, parseScenarios } from "./format.ts";
export type { Op, OpName, Scenario, ScenarioFile } from "./op.ts";
export { Fnv1a, fillPattern, patternByte, runLengths } from "./pattern.ts";
export { type ScenarioEnding, type ScenarioProgram, scenarioProgram } from "./program.ts";
export { parseMeta, parseRecording, parseRecordings, type RecordingMeta, unseenKinds, unseenOn } from "./recording.ts";
export { type Replay, type ReplayOptions, replayRecording } from "./replay-recording.ts";
export { type ReproduceOptions, type Reproduction, reproduce } from "./reproduce.ts";
export type { FinalFile, OpResult, OpTrace, RecordedEvent, Recording } from "./result.ts";
export { type OpSpan, type RunOptions, runScenario, type ScenarioRun, scenarioMemory } from "./run.ts";
export { TIERS, type Tier } from "./tier.ts";
