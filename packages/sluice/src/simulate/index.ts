/**
 * `sluice/simulate`: logged attempts under other limits: what these would have answered, and which limits would do.
 */
export type { AttemptPolicies } from "../audit/attempts-read.js";
export type { ByteSource } from "../audit/lines.js";
export type { LogSource } from "../audit/log.js";
export type * from "../policies/index.js";
export type { Comparison, KeyCounts } from "./counts.js";
export { limitsOfDocument } from "./document-limits.js";
export { type Limits, limitsOf } from "./limits.js";
export { type LoggedAttempts, type LoggedRequests, readLoggedAttempts } from "./logged-attempts.js";
export {
  type ComparedKey,
  type RuleComparison,
  simulate,
  type SimulationOptions,
  type SimulationReport,
} from "./simulate.js";
export { type SuggestOptions, type Suggestion, suggestLimits } from "./suggest.js";
export type { TimelineStep } from "./timeline.js";
