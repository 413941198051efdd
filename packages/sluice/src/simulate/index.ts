/** Logged attempts under other limits: what these would have answered, and which limits would do. */
export type { Comparison } from "./counts.js";
export { limitsOfDocument } from "./document-limits.js";
export { type Limits, limitsOf } from "./limits.js";
export { type LoggedAttempts, readLoggedAttempts } from "./logged-attempts.js";
export { simulate, type SimulationReport } from "./simulate.js";
export { type Suggestion, suggestLimits } from "./suggest.js";
