/**
 * `sluice/simulate`: logged attempts under other limits: what these would have answered, and which limits would do.
 */
export type { Comparison, KeyCounts } from "./counts.js";
export { limitsOfDocument } from "./document-limits.js";
export { type Limits, limitsOf } from "./limits.js";
export { type LoggedAttempts, readLoggedAttempts } from "./logged-attempts.js";
export {
  type ComparedKey,
  type RuleComparison,
  simulate,
  type SimulationOptions,
  type SimulationReport,
} from "./simulate.js";
export { type SuggestOptions, type Suggestion, suggestLimits } from "./suggest.js";
export type { TimelineStep } from "./timeline.js";
