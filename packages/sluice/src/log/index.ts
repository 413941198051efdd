/** sluice/log: an attempt log that the library writes and `sluice audit` reads, and the last attempts in memory. Needs Node, Bun or Deno. */
export { AttemptLog, type AttemptLogOptions, type LoggedLimiterOptions } from "./attempt-log.js";
export {
  type RecentAttempt,
  RecentAttempts,
  type RecentAttemptsOptions,
} from "./recent-attempts.js";
