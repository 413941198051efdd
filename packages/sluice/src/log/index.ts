/** sluice/log: an attempt log that the library writes and `sluice audit` reads. Needs Node, Bun or Deno. */
export { AttemptLog, type AttemptLogOptions, type LoggedLimiterOptions } from "./attempt-log.js";
