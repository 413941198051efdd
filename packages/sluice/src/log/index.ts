/** sluice/log: an attempt log that the library writes and `sluice audit` reads, and the last attempts in memory. Needs Node, Bun or Deno. */
export type { ByteSource } from "../audit/lines.js";
export type { LogSource } from "../audit/log.js";
export type * from "../policies/index.js";
export { AttemptLog, type AttemptLogOptions, type LoggedLimiterOptions } from "./attempt-log.js";
export {
  type RecentAttempt,
  RecentAttempts,
  type RecentAttemptsOptions,
} from "./recent-attempts.js";
