/** Logged attempts under other limits: what these would have answered, and which limits would do. */
export type { Comparison, KeyCounts } from "./counts.js";
export { type DocumentLimits, limitsOfDocument } from "./document-limits.js";
export { type Limits, limitsOf, type LoggedAttempt, type AskedRule } from "./limits.js";
export { type LoggedAttempts, readLoggedAttempts } from "./logged-attempts.js";
export {
  type RuleComparison,
  simulate,
  type SimulationOptions,
  type SimulationReport,
} from "./simulate.js";
export { type SuggestOptions, type Suggestion, suggestLimits } from "./suggest.js";
export type { TimelineStep } from "./timeline.js";
