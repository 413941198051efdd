/** sluice/report: what limiters and semaphores of all processes count, in the store that they share. */
export { type ReadReportsOptions, readReports } from "./read-reports.js";
export { report, type Reporter, type ReportHooks, type ReportOptions } from "./report.js";
export type {
  DeniedId,
  LimiterReport,
  MinuteReport,
  PolicyReport,
  ReportedSums,
  ReportGap,
  ReportingProcess,
  Reports,
  SemaphoreReport,
} from "./view.js";
